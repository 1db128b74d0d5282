"""What the sections share: cells, the order of the arms, and parts of tables by cell."""

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
"""Cells side by side in a table; more stand in another one below, so that a page of paper holds each."""
MOST_CELLS = 12
"""Cells (models, pools and sizes) whose figures and detail are shown. The CSV files have all."""


def methods_in_order(methods: Iterable[str]) -> list[str]:
    """The methods, each once, in the order in which `methods` lists them."""
    return in_order(dict.fromkeys(methods), lambda name: name)


def in_order(each: Iterable[Named], method: Callable[[Named], str]) -> list[Named]:
    """What is named after methods, in the one order of methods that all of the page has."""
    places = {name: place for place, name in enumerate(METHODS)}
    # Arms with scores of the user's own, or of a table that was made elsewhere, come last, in the order of the table.
    return sorted(each, key=lambda one: places.get(method(one), len(places)))


def cells_of(found: Sequence[Verdict]) -> list[Cell]:
    """The cells, each once, in order of appearance."""
    return list(dict.fromkeys(each.cell for each in found))


def spreads(found: Sequence[Verdict], measure: str) -> dict[Cell, float | None]:
    """Standard deviation of one random run in each cell."""
    return {each.cell: each.comparison.spread for each in found if each.measure == measure}


def random_values(runs: Sequence[Run], measure: str, cell: Cell) -> list[float]:
    """Values of the random runs of a cell on one measure."""
    return [run.value for run in runs if run.measure == measure and run.cell == cell and run.method == RANDOM]


def parts_of(rows: pl.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[object, ...], pl.DataFrame]]:
    """A table's rows by the values of some columns, in order of appearance."""
    yield from rows.group_by(keys, maintain_order=True)


def cell_of(key: Sequence[object]) -> Cell:
    """The cell of model, pool and budget."""
    model, pool, budget = key
    return Cell(str(model), str(pool), int(str(budget)))


def about_cell(key: Sequence[object]) -> str:
    """The name of a cell, from its model (None where nothing depends on one), pool and budget."""
    name = cell_name(cell_of(key))
    return name if key[0] is not None else name.partition(" · ")[2]


def word_columns(*columns: int) -> frozenset[int]:
    """Columns, from 0, that hold words."""
    return frozenset(columns)


def rows_in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """A table's rows in the order of their column `method`; those of unknown methods last."""
    known = list(METHODS)
    places = pl.col("method").replace_strict(known, range(len(known)), default=len(known), return_dtype=pl.Int32)
    return rows.sort(places, maintain_order=True)


def left_out(cells: int) -> list[str]:
    """A sentence that says so where not all cells are shown."""
    if cells <= MOST_CELLS:
        return []
    return [f"The first {MOST_CELLS} of {cells} combinations of model, pool and size are shown; the CSV file has all."]


def means_of(runs: Sequence[Run]) -> dict[str, tuple[float, int]]:
    """Mean over the seeds of each arm, and their number. Rounded, so that equal means are equal."""
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run.method, []).append(run.value)
    return {method: (round(sum(each) / len(each), 9), len(each)) for method, each in values.items()}


def words_of(found: Sequence[Verdict]) -> dict[tuple[str, Cell, str], Word]:
    """Each verdict's word, by measure, cell and method."""
    return {(each.measure, each.cell, each.method): each.word for each in found}
