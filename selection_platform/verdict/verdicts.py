"""A verdict for every arm, in every cell, on every measure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selection_platform.errors import PlatformError
from selection_platform.verdict.runs import Cell, Run
from selection_platform.verdict.statistics import Comparison, Word, adjust, compare, seeds_to_see

LOSS = "held_out_loss"
RANDOM = "random"


@dataclass(frozen=True)
class Verdict:
    """What can be said of an arm against random selection.

    Attributes:
        measure: see `Run`.
        cell: model, pool and budget.
        method: the arm.
        comparison: the numbers.
        word: better, same, worse, or not enough seeds.
        seeds_needed: seeds of each of the two arms with which a difference of the margin would most likely be seen;
            None where the verdict is there already, or more than 1,000 were needed, or the spread is unknown.
    """

    measure: str
    cell: Cell
    method: str
    comparison: Comparison
    word: Word
    seeds_needed: int | None


def with_random(runs: Iterable[Run]) -> list[Run]:
    """The runs that stand in a cell with a random one, on their measure. The others compare with nothing."""
    runs = list(runs)
    known = {(run.measure, run.cell) for run in runs if run.method == RANDOM}
    return [run for run in runs if (run.measure, run.cell) in known]


def verdicts(runs: Iterable[Run], margins: Mapping[str, float], margin: float) -> list[Verdict]:
    """Compare every arm with random selection.

    All comparisons on one measure are looked at together, and adjusted for each other.

    Args:
        runs: of all arms, random among them.
        margins: by measure, what is too small to matter, where it is not `margin`.
        margin: in percentage points.

    Raises:
        PlatformError: a cell has no random run to compare with.
    """
    by_measure: dict[str, dict[Cell, dict[str, list[Run]]]] = {}
    for run in runs:
        arms = by_measure.setdefault(run.measure, {}).setdefault(run.cell, {})
        arms.setdefault(run.method, []).append(run)
    return [
        verdict
        for measure, cells in by_measure.items()
        for verdict in _of_measure(measure, cells, margins.get(measure, margin))
    ]


def _of_measure(measure: str, cells: Mapping[Cell, Mapping[str, Sequence[Run]]], margin: float) -> list[Verdict]:
    compared: list[tuple[Cell, str, Comparison]] = []
    for cell, arms in cells.items():
        if RANDOM not in arms:
            raise PlatformError(
                f"{cell.model} on {cell.pool}: there is no random run to compare with; add an arm `random`"
            )
        random = [run.value for run in arms[RANDOM]]
        for method, of_arm in arms.items():
            if method != RANDOM:
                values = [run.value for run in of_arm]
                compared.append((cell, method, compare(values, random, higher_is_better=measure != LOSS)))
    adjusted = adjust([comparison for *_, comparison in compared])
    return [
        _verdict(measure, cell, method, comparison, margin)
        for (cell, method, _), comparison in zip(compared, adjusted, strict=True)
    ]


def _verdict(measure: str, cell: Cell, method: str, comparison: Comparison, margin: float) -> Verdict:
    word = comparison.word(margin)
    needed = None
    if word == "not enough seeds" and comparison.spread is not None:
        needed = seeds_to_see(margin, comparison.spread)
    return Verdict(measure, cell, method, comparison, word, needed)
