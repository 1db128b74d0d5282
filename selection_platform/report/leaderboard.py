"""The leaderboard as text: one row per arm, one column per model and pool, with marks for best and second best."""

import polars as pl

from selection_platform.text.tables import MARKS, TextTable, ranks

AVERAGE, HELD_OUT_LOSS = "average", "held_out_loss"


def markdown_leaderboards(results: pl.DataFrame) -> dict[str, str]:
    """The tables of `leaderboards` in Markdown."""
    return {title: table.markdown() for title, table in leaderboards(results).items()}


def leaderboards(results: pl.DataFrame) -> dict[str, TextTable]:
    """A table for each measure, by title: the average first, then the held-out loss, then the benchmarks.

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


def _leaderboard(results: pl.DataFrame, measure: str, *, higher_is_better: bool, digits: int) -> TextTable:
    """The table of one measure; arms and columns in order of appearance."""
    shown = results.filter(pl.col("measure") == measure).with_columns(
        (pl.col("model") + " · " + pl.col("pool")).alias("column")
    )
    columns = shown["column"].unique(maintain_order=True).to_list()
    arms = shown["arm"].unique(maintain_order=True).to_list()
    cells = {column: _cells(shown.filter(pl.col("column") == column), higher_is_better, digits) for column in columns}
    rows = [[arm, *(cells[column].get(arm, "") for column in columns)] for arm in arms]
    return TextTable(["arm", *columns], rows)


def _cells(column: pl.DataFrame, higher_is_better: bool, digits: int) -> dict[str, str]:
    """Each arm's cell."""
    values = dict(column.select("arm", "value").iter_rows())
    marks = {arm: MARKS[rank] for arm, rank in ranks(values, higher_is_better=higher_is_better).items()}
    return {
        arm: "" if value is None else f"{marks.get(arm, '')}{value:.{digits}f}{marks.get(arm, '')}"
        for arm, value in values.items()
    }
