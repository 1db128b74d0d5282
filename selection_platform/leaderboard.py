"""The leaderboard as text: one row an arm, one column a model and pool, best and second best of a column marked."""

import math
from collections.abc import Mapping
from typing import Literal

import polars as pl

from selection_platform.rounding import is_rounding

Rank = Literal["best", "second"]
MARKS: dict[Rank, str] = {"best": "**", "second": "_"}
AVERAGE, HELD_OUT_LOSS = "average", "held_out_loss"


def markdown_leaderboards(results: pl.DataFrame) -> dict[str, str]:
    """A Markdown table for each measure, by title: the average first, then the held-out loss, then each benchmark.

    Args:
        results: columns `measure`, `arm`, `model`, `pool`, `value` of `reports.leaderboard`, in its order.
    """
    benchmarks = sorted(set(results["measure"]) - {AVERAGE, HELD_OUT_LOSS})
    tables = {}
    if AVERAGE in set(results["measure"]):
        title = f"Average of {', '.join(benchmarks)}, in percent (higher is better)"
        tables[title] = _leaderboard(results, AVERAGE, higher_is_better=True, digits=2)
    if HELD_OUT_LOSS in set(results["measure"]):
        title = "Held-out loss, in bits per byte of the pool's held-out answers (lower is better)"
        tables[title] = _leaderboard(results, HELD_OUT_LOSS, higher_is_better=False, digits=4)
    for benchmark in benchmarks:
        title = f"{benchmark}, in percent (higher is better)"
        tables[title] = _leaderboard(results, benchmark, higher_is_better=True, digits=2)
    return tables


def _leaderboard(results: pl.DataFrame, measure: str, *, higher_is_better: bool, digits: int) -> str:
    """A Markdown table of one measure; arms and columns in order of appearance."""
    shown = results.filter(pl.col("measure") == measure).with_columns(
        (pl.col("model") + " · " + pl.col("pool")).alias("column")
    )
    columns = shown["column"].unique(maintain_order=True).to_list()
    arms = shown["arm"].unique(maintain_order=True).to_list()
    cells = {column: _cells(shown.filter(pl.col("column") == column), higher_is_better, digits) for column in columns}
    rows = [[arm, *(cells[column].get(arm, "") for column in columns)] for arm in arms]
    return markdown_table(["arm", *columns], rows)


def _cells(column: pl.DataFrame, higher_is_better: bool, digits: int) -> dict[str, str]:
    """Each arm's cell."""
    values = dict(column.select("arm", "value").iter_rows())
    marks = {arm: MARKS[rank] for arm, rank in ranks(values, higher_is_better=higher_is_better).items()}
    return {
        arm: "" if value is None else f"{marks.get(arm, '')}{value:.{digits}f}{marks.get(arm, '')}"
        for arm, value in values.items()
    }


def ranks(values: Mapping[str, float | None], *, higher_is_better: bool) -> dict[str, Rank]:
    """Who is best and who is second. Values that are equal but for rounding share a rank; of equals none is best.

    Args:
        values: by name; who has none has no rank.
        higher_is_better: whether larger values are better.
    """
    known = {name: value for name, value in values.items() if value is not None}
    groups: list[list[str]] = []
    last = math.inf
    for name in sorted(known, key=known.__getitem__, reverse=higher_is_better):
        if not is_rounding(abs(known[name] - last), known.values()):
            groups.append([])
        groups[-1].append(name)
        last = known[name]
    marked: tuple[Rank, ...] = ("best", "second") if len(groups) > 1 else ()
    return {name: rank for group, rank in zip(groups, marked, strict=False) for name in group}


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its columns aligned for a terminal too; all but the first to the right."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    align = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(header), line(align), *(line(row) for row in rows)])
