"""Where training changed nothing that can be seen: the models learn nothing, and their verdicts say nothing."""

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

    That is so where each of them lies closer to it than the margin, and where it cannot be told from the random runs.
    Trainings on the whole pool do not count: their rows are many.
    """
    of_cells: dict[Cell, list[Run]] = {}
    for run in runs_of(data.runs):
        if run.measure == LOSS and run.method != ALL_DATA.name:
            of_cells.setdefault(run.cell, []).append(run)
    losses = {cell: _losses(runs) for cell, runs in of_cells.items()}
    return {
        cell: found
        for cell, found in losses.items()
        if found and _is_unchanged(*found, [run.value for run in of_cells[cell] if run.method == RANDOM], data)
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
    """That training changed nothing there, why, and what to do.

    Args:
        unchanged: of `unchanged_cells`; at least one.
        data: with the recipe, where it is known.
    """
    digits = digits_of(LOSS)
    named = [
        f"{cell_name(cell)} ({base:.{digits}f} before, {min(trained):.{digits}f} to {max(trained):.{digits}f} after)"
        for cell, (base, trained) in unchanged.items()
    ]
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    return (
        f"Training changed nothing that can be seen in the held-out loss of {', '.join([*named[:MOST_NAMED], *more])}: "
        f"what is compared there is one model with itself. {_why(min(cell.budget for cell in unchanged), data)}"
    )


def _why(budget: int, data: ReportData) -> str:
    recipe = data.fine_tuning
    if recipe is None:
        return "The recipe is not meant for so few rows."
    steps = recipe.epochs * -(-budget // recipe.global_batch)
    return (
        f"The recipe is not meant for so few rows: {budget:,} of them make {steps:,} step{'s' * (steps != 1)} "
        f"(epochs: {recipe.epochs}, global_batch: {recipe.global_batch}) "
        f"at a learning rate of at most {recipe.learning_rate:g}. "
        "Select more rows, or raise `learning_rate` or lower `global_batch` under `fine_tuning:`."
    )
