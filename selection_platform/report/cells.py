"""Functions that the sections share: cells, the order of the arms, and the rows of tables by cell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import polars as pl

from selection_platform.experiments.methods import METHODS
from selection_platform.verdict.runs import Cell, Run
from selection_platform.verdict.statistics import Word
from selection_platform.verdict.verdicts import RANDOM, Verdict
from selection_platform.verdict.words import cell_name

Named = TypeVar("Named")

MOST_COLUMNS = 5
"""Most cells side by side in a table. More cells go into another table below, so that each fits on a printed page."""
MOST_CELLS = 12
"""Most cells (models, pools and sizes) whose figures and details are shown. The CSV files have all."""


def methods_in_order(methods: Iterable[str]) -> list[str]:
    """The methods, each once, in the order of `selection-platform methods`."""
    return in_order(dict.fromkeys(methods), lambda name: name)


def in_order(values: Iterable[Named], method: Callable[[Named], str]) -> list[Named]:
    """Values sorted by their method, in the order of methods that the whole page uses."""
    places = {name: place for place, name in enumerate(METHODS)}
    # Arms with scores of your own, or from a table of results from elsewhere, come last, in the order of the table.
    return sorted(values, key=lambda value: places.get(method(value), len(places)))


def cells_of(verdicts: Sequence[Verdict]) -> list[Cell]:
    """The cells, each once, in order of appearance."""
    return list(dict.fromkeys(each.cell for each in verdicts))


def spreads(verdicts: Sequence[Verdict], measure: str) -> dict[Cell, float | None]:
    """Standard deviation of one random run in each cell."""
    found: dict[Cell, float | None] = {}
    for each in verdicts:
        # An arm that waits for its first look knows none.
        if each.measure == measure and found.get(each.cell) is None:
            found[each.cell] = each.comparison.spread
    return found


def random_values(runs: Sequence[Run], measure: str, cell: Cell) -> list[float]:
    """Values of the random runs of a cell on one measure."""
    return [run.value for run in runs if run.measure == measure and run.cell == cell and run.method == RANDOM]


def parts_of(rows: pl.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[object, ...], pl.DataFrame]]:
    """A table's rows by the values of some columns, in order of appearance."""
    yield from rows.group_by(keys, maintain_order=True)


def cell_of(key: Sequence[object]) -> Cell:
    """The cell with a model, pool and budget."""
    model, pool, budget = key
    return Cell(str(model), str(pool), int(str(budget)))


def about_cell(key: Sequence[object]) -> str:
    """The name of a cell, from its model (None if there is none), pool and budget."""
    name = cell_name(cell_of(key))
    return name if key[0] is not None else name.partition(" · ")[2]


def word_columns(*columns: int) -> frozenset[int]:
    """The numbers, from 0, of columns with text."""
    return frozenset(columns)


def rows_in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """A table's rows in the order of their column `method`; those of unknown methods last."""
    known = list(METHODS)
    places = pl.col("method").replace_strict(known, range(len(known)), default=len(known), return_dtype=pl.Int32)
    return rows.sort(places, maintain_order=True)


def left_out(cells: int) -> list[str]:
    """A sentence if not all cells are shown."""
    if cells <= MOST_CELLS:
        return []
    return [f"The first {MOST_CELLS} of {cells} combinations of model, pool and size are shown; the CSV file has all."]


def means_of(runs: Sequence[Run]) -> dict[str, tuple[float, int]]:
    """The mean over the seeds of each arm, and their number. Means are rounded, so that equal ones compare equal."""
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run.method, []).append(run.value)
    return {method: (round(sum(of_arm) / len(of_arm), 9), len(of_arm)) for method, of_arm in values.items()}


def words_of(verdicts: Sequence[Verdict]) -> dict[tuple[str, Cell, str], Word]:
    """Each verdict's word, by measure, cell and method."""
    return {(each.measure, each.cell, each.method): each.word for each in verdicts}
