"""A verdict for every arm, in every cell and on every measure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from selection_platform.errors import PlatformError
from selection_platform.verdict.looks import Looks, Schedule
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.sequential import compare_by_looks
from selection_platform.verdict.statistics import (
    CONFIDENCE,
    Comparison,
    Spread,
    Word,
    adjust,
    compare,
    pooled_spread,
    seeds_to_see,
)

LOSS = "held_out_loss"
RANDOM = "random"
BASE = "base"
CONTROLS = (BASE, "all_data")
"""Arms that select nothing. They show whether training has an effect, and do not answer the question. Their comparisons
are a separate family, so that they and the methods do not cost each other power."""

Family = Literal["method", "control"]
Role = Literal["primary", "exploratory"]


@dataclass(frozen=True)
class Pooled:
    """The same comparison with one spread for all cells and arms of the measure. The verdict does not use it.

    Attributes:
        equal_spreads_p: p-value of equal spreads (Brown and Forsythe). Few runs cannot show that spreads differ.
        spread: standard deviation of one run; this and the fields below are None if the test shows that spreads differ.
        freedom: its degrees of freedom.
        low: lower end of the 95% interval of the difference.
        high: upper end.
        p_adjusted: p-value adjusted by Holm for all comparisons of the family.
        word: the verdict with this spread.
    """

    equal_spreads_p: float
    spread: float | None = None
    freedom: float | None = None
    low: float | None = None
    high: float | None = None
    p_adjusted: float | None = None
    word: Word | None = None


@dataclass(frozen=True)
class Verdict:
    """The verdict on an arm against random selection.

    Attributes:
        measure: see `Run`.
        cell: model, pool and budget.
        method: the arm.
        comparison: the numbers.
        word: better, same, worse, or not enough seeds.
        seeds_needed: seeds of each of the two arms to see a difference of the margin four times in five at Holm's first
            step; None if the verdict is settled, more than 1,000 are needed, or the spread is not known.
        seeds_needed_alone: the same for a single comparison.
        family: the comparisons that are adjusted together: the measure's comparisons of methods, or of controls.
        role: whether the measure is the primary one, which answers the question, or an exploratory one.
        pooled: the comparison with one spread; None if there are too few runs, or if seeds are added by looks.
    """

    measure: str
    cell: Cell
    method: str
    comparison: Comparison
    word: Word
    seeds_needed: int | None
    seeds_needed_alone: int | None = None
    family: Family = "method"
    role: Role = "primary"
    pooled: Pooled | None = None


def with_random(runs: Iterable[Run]) -> list[Run]:
    """The runs that have a random run in their cell, on their measure."""
    runs = list(runs)
    known = {(run.measure, run.cell) for run in runs if run.method == RANDOM}
    return [run for run in runs if (run.measure, run.cell) in known]


def primary_of(measures: Iterable[str], named: str | None = None) -> str:
    """The measure that answers the question: the named one, else the average, else the held-out loss.

    Args:
        measures: the measures of the runs.
        named: the measure that the profile names before the runs.
    """
    known = list(measures)
    usual = (measure for measure in (AVERAGE, LOSS) if measure in known)
    return named or next(usual, known[0] if known else AVERAGE)


def named_measure(primary: str | None, runs: Iterable[Run]) -> str | None:
    """The primary measure from the command line.

    Raises:
        PlatformError: no run has this measure.
    """
    known = list(dict.fromkeys(run.measure for run in runs))
    if primary is not None and primary not in known:
        raise PlatformError(f"--primary: no measure {primary!r}; the measures are {', '.join(known)}")
    return primary


def verdicts(
    runs: Iterable[Run],
    margins: Mapping[str, float],
    margin: float,
    primary: str | None = None,
    schedule: Schedule | None = None,
) -> list[Verdict]:
    """Compare every arm with random selection.

    All comparisons of methods on one measure are adjusted for each other. Those of the base model and of all data are a
    separate family.

    Args:
        runs: runs of all arms, including random.
        margins: margins by measure, if they differ from `margin`.
        margin: difference that is too small to matter, in percentage points.
        primary: see `primary_of`.
        schedule: the looks of the arms that are looked at while seeds are added; none are by default.

    Raises:
        PlatformError: a cell has no random run.
    """
    by_measure: dict[str, dict[Cell, dict[str, list[Run]]]] = {}
    for run in runs:
        arms = by_measure.setdefault(run.measure, {}).setdefault(run.cell, {})
        arms.setdefault(run.method, []).append(run)
    named = primary_of(by_measure, primary)
    return [
        verdict
        for measure, cells in by_measure.items()
        for verdict in _of_measure(
            measure,
            cells,
            margins.get(measure, margin),
            "primary" if measure == named else "exploratory",
            schedule or {},
        )
    ]


Arms = Mapping[str, Sequence[Run]]
"""The runs of each arm of a cell."""


def _of_measure(
    measure: str, cells: Mapping[Cell, Arms], margin: float, role: Role, schedule: Schedule
) -> list[Verdict]:
    for cell, arms in cells.items():
        if RANDOM not in arms:
            raise PlatformError(
                f"{cell.model} on {cell.pool}: there is no random run to compare with; add an arm `random`"
            )
    compared = [(cell, method) for cell, arms in cells.items() for method in arms if method != RANDOM]
    families: tuple[Family, ...] = ("method", "control")
    by_arm: dict[tuple[Cell, str], Verdict] = {}
    for family in families:
        keys = [key for key in compared if (key[1] in CONTROLS) == (family == "control")]
        own = _adjusted(measure, cells, keys, margin, None, schedule)
        pooled = [None] * len(keys) if schedule else _pooled(measure, cells, keys, margin)
        for (cell, method), comparison, with_one in zip(keys, own, pooled, strict=True):
            alone, together = _seeds_needed(comparison, margin, schedule.get(method))
            by_arm[cell, method] = Verdict(
                measure, cell, method, comparison, comparison.word, together, alone, family, role, with_one
            )
    return [by_arm[key] for key in compared]


def _pooled(
    measure: str, cells: Mapping[Cell, Arms], keys: Sequence[tuple[Cell, str]], margin: float
) -> Sequence[Pooled | None]:
    """The comparisons of a family with one spread."""
    pool = pooled_spread([_values(runs) for arms in cells.values() for runs in arms.values()])
    if pool is None:
        return [None] * len(keys)
    spread, equal_p = pool
    if equal_p < 1 - CONFIDENCE:
        return [Pooled(equal_p)] * len(keys)
    return [
        Pooled(equal_p, one.spread, one.freedom, one.low, one.high, one.p_adjusted, one.word)
        for one in _adjusted(measure, cells, keys, margin, spread, {})
    ]


def _adjusted(
    measure: str,
    cells: Mapping[Cell, Arms],
    keys: Sequence[tuple[Cell, str]],
    margin: float,
    spread: Spread | None,
    schedule: Schedule,
) -> list[Comparison]:
    """The comparisons of a family."""
    compared = []
    for cell, method in keys:
        arm, random = cells[cell][method], cells[cell][RANDOM]
        how = {"higher_is_better": measure != LOSS, "arm_varies": method != BASE}
        looks = schedule.get(method)
        if looks is None:
            compared.append(compare(_values(arm), _values(random), **how, spread=spread))
        else:
            compared.append(compare_by_looks(_by_seed(arm), _by_seed(random), looks, margin, **how))
    return adjust(compared, margin)


def _values(runs: Sequence[Run]) -> list[float]:
    return [run.value for run in runs]


def _by_seed(runs: Sequence[Run]) -> dict[int, float]:
    return {run.seed: run.value for run in runs}


def _seeds_needed(comparison: Comparison, margin: float, looks: Looks | None) -> tuple[int | None, int | None]:
    """The seeds needed in a single comparison, and at Holm's first step; by the last look if seeds are added."""
    if comparison.word != "not enough seeds" or comparison.spread is None:
        return None, None
    spread, times = comparison.spread, 1 if looks is None else 1 / looks.all[-1].share
    return seeds_to_see(margin, spread, times), seeds_to_see(margin, spread, (comparison.compared or 1) * times)
