"""Cells in which training had no visible effect, so that their verdicts mean nothing."""

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


def unchanged_cells(data: ReportData) -> dict[Cell, Losses]:
    """The cells whose trained models have the base model's held-out loss.

    In such a cell, each trained model is closer to the base model than the margin, and the base model does not differ
    from the random runs. Trainings on the whole pool do not count, because they have many rows.
    """
    of_cells: dict[Cell, list[Run]] = {}
    for run in runs_of(data.runs):
        if run.measure == LOSS and run.method != ALL_DATA.name:
            of_cells.setdefault(run.cell, []).append(run)
    losses = {cell: _losses(runs) for cell, runs in of_cells.items()}
    return {
        cell: losses_of_cell
        for cell, losses_of_cell in losses.items()
        if losses_of_cell
        and _is_unchanged(*losses_of_cell, [run.value for run in of_cells[cell] if run.method == RANDOM], data)
    }


def _losses(runs: Sequence[Run]) -> Losses | None:
    base = next((run.value for run in runs if run.method == BASE.name), None)
    trained = [run.value for run in runs if run.method != BASE.name]
    return None if base is None or not trained else (base, trained)


def _is_unchanged(base: float, trained: Sequence[float], random: Sequence[float], data: ReportData) -> bool:
    if any(abs(loss - base) >= data.margins.loss for loss in trained):
        return False
    if not random:
        return True
    seen = compare([base], random, higher_is_better=False)
    return seen.low is None or seen.high is None or seen.low <= 0 <= seen.high


def unchanged_in_words(unchanged: Mapping[Cell, Losses], data: ReportData) -> str:
    """A sentence about these cells, with the cause and what to do.

    Args:
        unchanged: the result of `unchanged_cells`; at least one cell.
        data: the report's data, with the recipe if it is known.
    """
    digits = digits_of(LOSS)
    named = [
        f"{cell_name(cell)} ({base:.{digits}f} before, {min(trained):.{digits}f} to {max(trained):.{digits}f} after)"
        for cell, (base, trained) in unchanged.items()
    ]
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    return (
        f"Training had no visible effect on the held-out loss of {', '.join([*named[:MOST_NAMED], *more])}: "
        f"the arms there are the same model. {_why(min(cell.budget for cell in unchanged), data)}"
    )


def _why(budget: int, data: ReportData) -> str:
    recipe = data.fine_tuning
    if recipe is None:
        return "The recipe is too weak for so few rows."
    steps = recipe.epochs * -(-budget // recipe.global_batch)
    return (
        f"The recipe is too weak for so few rows: {budget:,} rows give {steps:,} step{'s' * (steps != 1)} "
        f"(epochs: {recipe.epochs}, global_batch: {recipe.global_batch}) "
        f"at a learning rate of at most {recipe.learning_rate:g}. "
        "Select more rows, or raise `learning_rate` or lower `global_batch` under `fine_tuning:`."
    )
