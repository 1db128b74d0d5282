"""The section of the benchmark items that each arm wins and loses against random selection."""

import polars as pl

from selection_platform.report.cells import (
    MOST_CELLS,
    about_cell,
    left_out,
    methods_in_order,
    parts_of,
    word_columns,
)
from selection_platform.report.item_outcomes import CELL
from selection_platform.report.parts import Section, Table, TableCell, cells

COUNTED = (
    "An item is won if the mean over the arm's seeds is higher than the mean over the random runs, and lost if it is "
    "lower."
)


def items(counts: pl.DataFrame | None) -> Section | None:
    """How many items each arm wins and loses, for each cell.

    Args:
        counts: the result of `counted`; None if no items were measured, and so without section.
    """
    if counts is None:
        return None
    parts = list(parts_of(counts, CELL))
    tables = [_table(of_cell, about_cell(about)) for about, of_cell in parts[:MOST_CELLS]]
    paragraphs = [
        f"{COUNTED} Random runs win and lose items against each other too; the verdicts say whether a sum is more than "
        "luck. An arm's page lists the items.",
        *left_out(len(parts)),
    ]
    title = "Which benchmark items are won and lost?"
    return Section("items", title, paragraphs, tables, file="items_won_and_lost.csv", arm_pages=True)


def _table(of_cell: pl.DataFrame, name: str) -> Table:
    benchmarks = sorted(set(of_cell["benchmark"]))
    rows = []
    for method in methods_in_order(of_cell["method"]):
        of_arm = {row["benchmark"]: row for row in of_cell.filter(pl.col("method") == method).iter_rows(named=True)}
        sums = [sum(row[column] for row in of_arm.values()) for column in ("items", "won", "lost")]
        pairs = [_pair(of_arm.get(benchmark)) for benchmark in benchmarks]
        rows.append([*cells(method, *(f"{each:,}" for each in sums)), *pairs])
    return Table(f"Won : lost, {name}", ["arm", "items", "won", "lost", *benchmarks], rows, cell=name)


def _pair(row: dict[str, int] | None) -> TableCell:
    """Won and lost items of one benchmark. Their columns are sorted by the difference of the two."""
    return (
        TableCell("") if row is None else TableCell(f"{row['won']:,} : {row['lost']:,}", order=row["won"] - row["lost"])
    )


def items_of_arm(of_arm: pl.DataFrame) -> Table:
    """The number of items that one arm wins and loses, by benchmark.

    Args:
        of_arm: rows of `counted` for one arm in one cell.
    """
    rows = [
        cells(row["benchmark"], *(f"{row[column]:,}" for column in ("items", "won", "lost")))
        for row in of_arm.iter_rows(named=True)
    ]
    return Table(
        "Benchmark items, against random", ["benchmark", "items", "won", "lost"], rows, word_columns(), arms=None
    )
