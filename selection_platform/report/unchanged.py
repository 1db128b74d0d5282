"""Cells in which training had no effect, or a smaller one than the margin, so that their verdicts mean little."""

from collections.abc import Mapping, Sequence

from selection_platform.experiments.methods import ALL_DATA, BASE
from selection_platform.report.data import ReportData
from selection_platform.verdict.runs import Cell, Run
from selection_platform.verdict.statistics import compare
from selection_platform.verdict.tables import runs_of
from selection_platform.verdict.verdicts import LOSS, RANDOM
from selection_platform.verdict.words import cell_name, digits_of

MOST_NAMED = 3
Losses = tuple[float, Sequence[float]]
"""The base model's held-out loss, and those of the models trained on selections; in bits per byte."""


def unchanged_cells(data: ReportData) -> tuple[dict[Cell, Losses], dict[Cell, Losses]]:
    """The cells in which each trained model's held-out loss is closer to the base model's than the margin.

    Trainings on the whole pool do not count, because they have many rows.

    Returns:
        The cells in which the base model does not differ from the random runs, and those in which it does.
    """
    of_cells: dict[Cell, list[Run]] = {}
    for run in runs_of(data.runs):
        if run.measure == LOSS and run.method != ALL_DATA.name:
            of_cells.setdefault(run.cell, []).append(run)
    losses = {cell: _losses(runs) for cell, runs in of_cells.items()}
    unseen: dict[Cell, Losses] = {}
    seen: dict[Cell, Losses] = {}
    for cell, of_cell in losses.items():
        if of_cell and all(abs(loss - of_cell[0]) < data.margins.loss for loss in of_cell[1]):
            random = [run.value for run in of_cells[cell] if run.method == RANDOM]
            (seen if _differs(of_cell[0], random) else unseen)[cell] = of_cell
    return unseen, seen


def _losses(runs: Sequence[Run]) -> Losses | None:
    base = next((run.value for run in runs if run.method == BASE.name), None)
    trained = [run.value for run in runs if run.method != BASE.name]
    return None if base is None or not trained else (base, trained)


def _differs(base: float, random: Sequence[float]) -> bool:
    if not random:
        return False
    seen = compare([base], random, higher_is_better=False, arm_varies=False)
    return seen.low is not None and seen.high is not None and not seen.low <= 0 <= seen.high


def unchanged_in_words(unchanged: Mapping[Cell, Losses], data: ReportData) -> str:
    """A sentence about cells in which training had no visible effect, with the cause and what to do.

    Args:
        unchanged: the first of `unchanged_cells`; at least one cell.
        data: the report's data, with the recipe if it is known.
    """
    return (
        f"Training had no visible effect on the held-out loss of {_named(unchanged)}: the arms there are the same "
        f"model. The recipe is too weak for so few rows{_why(unchanged, data)}"
    )


def little_changed_in_words(changed: Mapping[Cell, Losses], data: ReportData) -> str:
    """A sentence about cells in which training had a smaller effect than the margin, with the cause and what to do.

    Args:
        changed: the second of `unchanged_cells`; at least one cell.
        data: the report's data, with the recipe if it is known.
    """
    return (
        f"Training changed the held-out loss of {_named(changed)} by less than the margin of {data.margins.loss:g}: "
        'there, "same" only says that no arm learnt much. '
        f"The recipe is weak for so few rows{_why(changed, data)}"
    )


def _named(cells: Mapping[Cell, Losses]) -> str:
    digits = digits_of(LOSS)
    named = [
        f"{cell_name(cell)} ({base:.{digits}f} before, {min(trained):.{digits}f} to {max(trained):.{digits}f} after)"
        for cell, (base, trained) in cells.items()
    ]
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    return ", ".join([*named[:MOST_NAMED], *more])


def _why(cells: Mapping[Cell, Losses], data: ReportData) -> str:
    recipe, budget = data.fine_tuning, min(cell.budget for cell in cells)
    if recipe is None:
        return "."
    steps = recipe.epochs * -(-budget // recipe.global_batch)
    return (
        f": {budget:,} rows give {steps:,} step{'s' * (steps != 1)} "
        f"(epochs: {recipe.epochs}, global_batch: {recipe.global_batch}) "
        f"at a learning rate of at most {recipe.learning_rate:g}. "
        "Select more rows, or raise `learning_rate` or lower `global_batch` under `fine_tuning:`."
    )
