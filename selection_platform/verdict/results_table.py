"""Results from elsewhere, from a CSV file with one row per run and measure, or one row per item.

Runs have the columns arm, seed, pool, model, measure and value, and may have budget. Values are in percent, higher is
better, but for `held_out_loss`, in bits per byte, where lower is. Items have a column `item` too: measure is then a
benchmark, and value the item's, 0 to 1. With a column `subset`, a benchmark's number is the mean of its subsets' means.
With a column `cluster`, the interval over items draws whole clusters: items that share a passage or a template.

A row of a control (`base`, `all_data`) without a pool or budget counts for all pools or budgets of its model.
"""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import polars as pl

from selection_platform.errors import PlatformError
from selection_platform.verdict.runs import AVERAGE, Run
from selection_platform.verdict.tables import OverItems, over_items, runs_of
from selection_platform.verdict.verdicts import CONTROLS, LOSS, RANDOM

NEEDED = ("arm", "seed", "pool", "model", "measure", "value")
OPTIONAL = ("budget", "item", "subset", "cluster")
CELL = ["model", "pool", "budget"]
RUN = [*CELL, "method", "seed"]
NO_BUDGET = 0


class Results(NamedTuple):
    """The content of a table.

    Attributes:
        runs: the runs, with their average over the benchmarks.
        intervals: intervals over items; empty for a table of runs.
    """

    runs: list[Run]
    intervals: OverItems


def paper_runs() -> list[Run]:
    """The averages of "Rethinking Data Selection at Scale" (arXiv 2410.09335), 10,000 samples, in percent.

    The main results for Qwen2-7B and Llama3-8B: five random runs, one run of each method, the base model and all data.
    They come from a review that quotes the paper's table of averages, and agree with the numbers in other reviews; the
    table itself was not available. Results of single benchmarks are not readable there.

    The paper's script sets the training seed to 0. If all five random runs used it, they only differ by the draw, while
    ours also differ by the order of training.
    """
    return read_results(Path(str(files("selection_platform.verdict") / "paper.csv"))).runs


def read_results(path: Path) -> Results:
    """Read a table of results.

    Raises:
        PlatformError: the file is not such a table; the message names the row, from 1, and the column.
    """
    rows = _beside_each(path, _read(path))
    if "item" in rows.columns:
        return _of_items(path, rows)
    _refuse_repeated(path, rows, [*RUN, "measure"])
    benchmarks = rows.filter(pl.col("measure") != LOSS)["value"]
    if len(benchmarks) and benchmarks.is_between(0, 1).all():
        raise PlatformError(f"{path}: all values are between 0 and 1; multiply them by 100 to get percent")
    return Results(_runs(path, rows), {})


def _read(path: Path) -> pl.DataFrame:
    """The rows with checked values. `row` is the number in the file, from 1. Empty pools and budgets are null."""
    rows = _texts(path)
    for name in rows.columns:
        if name not in ("row", "pool", "budget"):
            _refuse(path, rows.filter(pl.col(name).is_null()), name, "is empty")
    for name in ("pool", "budget"):
        empty = rows.filter(pl.col(name).is_null() & ~pl.col("arm").is_in(CONTROLS))
        _refuse(path, empty, name, f"is empty, which only rows of {' and '.join(CONTROLS)} may be")
    for name in ("seed", "budget"):
        number = pl.col(name).cast(pl.Int32, strict=False)
        wrong = rows.filter(pl.col(name).is_not_null() & (number.is_null() | (number < 0)))
        _refuse(path, wrong, name, "is not a whole number")
        rows = rows.with_columns(number)
    value = pl.col("value").cast(pl.Float64, strict=False)
    _refuse(path, rows.filter(value.is_null() | ~value.is_finite()), "value", "is not a number")
    return rows.with_columns(value).rename({"arm": "method"})


def _texts(path: Path) -> pl.DataFrame:
    """The rows as text, after a check that all needed columns and no unknown columns are present."""
    if not path.is_file():
        raise PlatformError(f"{path}: no such file; name a CSV file with the columns {', '.join(NEEDED)}")
    try:
        rows = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise PlatformError(f"{path}: is not a CSV file in UTF-8: {str(error).splitlines()[0]}") from error
    missing = [name for name in NEEDED if name not in rows.columns]
    unknown = [name for name in rows.columns if name not in (*NEEDED, *OPTIONAL)]
    if missing:
        raise PlatformError(f"{path}: the column {', '.join(missing)} is missing; it has {', '.join(rows.columns)}")
    if unknown:
        known = ", ".join((*NEEDED, *OPTIONAL))
        raise PlatformError(f"{path}: does not know the column {', '.join(unknown)}; take it out. Known are {known}")
    of_items = [name for name in ("subset", "cluster") if name in rows.columns]
    if of_items and "item" not in rows.columns:
        raise PlatformError(f"{path}: has a column {of_items[0]} and no column item; {of_items[0]}s are of items")
    if rows.is_empty():
        raise PlatformError(f"{path}: it has no rows; add a row for each run and measure")
    if "budget" not in rows.columns:
        rows = rows.with_columns(pl.lit(f"{NO_BUDGET}").alias("budget"))
    return rows.with_columns(pl.all().str.strip_chars().replace("", None)).with_row_index("row", offset=1)


def _beside_each(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, with those without a pool or budget repeated for each pool or budget of their model."""
    cells = rows.filter(pl.col("method") == RANDOM).select("model", "pool", "budget").unique(maintain_order=True)
    whole = rows.filter(pl.col("pool").is_not_null() & pl.col("budget").is_not_null())
    open_ = rows.filter(pl.col("pool").is_null() | pl.col("budget").is_null())
    placed = open_.join(cells, on="model", suffix="_of_cell").filter(
        (pl.col("pool").is_null() | (pl.col("pool") == pl.col("pool_of_cell")))
        & (pl.col("budget").is_null() | (pl.col("budget") == pl.col("budget_of_cell")))
    )
    _refuse_unplaced(path, open_.filter(~pl.col("row").is_in(placed["row"].implode())), cells)
    placed = placed.with_columns(pool=pl.col("pool_of_cell"), budget=pl.col("budget_of_cell")).select(rows.columns)
    rows = pl.concat([whole, placed]).sort("row", maintain_order=True)
    known = rows.filter(pl.col("method") == RANDOM).select(*CELL, "measure").unique()
    for row in rows.join(known, on=[*CELL, "measure"], how="anti", maintain_order="left").iter_rows(named=True):
        where = ", ".join(f"{name} {row[name]!r}" for name in (*CELL, "measure"))
        raise PlatformError(f"{path}, row {row['row']}: no row of the arm `{RANDOM}` has {where}; add random runs")
    return rows


def _refuse_unplaced(path: Path, rows: pl.DataFrame, cells: pl.DataFrame) -> None:
    """Refuse the first row that matches no random run, with the first column that does not match.

    Raises:
        PlatformError: there is such a row.
    """
    for row in rows.head(1).iter_rows(named=True):
        left, column = cells, "model"
        for column in CELL:
            left = left if row[column] is None else left.filter(pl.col(column) == row[column])
            if left.is_empty():
                break
        _refuse(path, rows.head(1), column, f"matches no row of the arm `{RANDOM}`; add random runs with it")


def _runs(path: Path, rows: pl.DataFrame) -> list[Run]:
    """The runs, with the average over the benchmarks if the table does not have it."""
    measures = list(dict.fromkeys(rows["measure"]))
    benchmarks = [name for name in measures if name != LOSS]
    if AVERAGE not in measures and benchmarks:
        of_runs = rows.filter(pl.col("measure") != LOSS).group_by(RUN, maintain_order=True)
        averages = of_runs.agg(pl.col("value").mean(), pl.col("measure").len().alias("there"), pl.col("row").first())
        incomplete = averages.filter(pl.col("there") < len(benchmarks))
        _refuse(
            path,
            incomplete.rename({"method": "arm"}),
            "arm",
            f"does not have all of {', '.join(benchmarks)} in this run",
        )
        rows = pl.concat([rows, averages.with_columns(measure=pl.lit(AVERAGE))], how="diagonal")
    return runs_of(rows)


def _of_items(path: Path, rows: pl.DataFrame) -> Results:
    subset = ["subset"] if "subset" in rows.columns else []
    _refuse(path, rows.filter(~pl.col("value").is_between(0, 1)), "value", "is not between 0 and 1, as an item's is")
    cluster = ["cluster"] if "cluster" in rows.columns else []
    _refuse_repeated(path, rows, [*RUN, "measure", *subset, "item"])
    _refuse_split(path, rows, cluster, subset)
    item = ["measure", *subset, *cluster, "item"]
    runs = rows.select(RUN).unique().group_by(CELL).len("runs")
    counted = rows.group_by(*CELL, *item).agg(pl.len().alias("of_runs"), pl.col("row").first()).join(runs, on=CELL)
    _refuse(
        path, counted.filter(pl.col("of_runs") < pl.col("runs")).sort("row"), "item", "is not in every run of its cell"
    )
    of_subsets = rows.group_by(*RUN, "measure", *subset, maintain_order=True).agg(
        pl.col("row").first(), value=100 * pl.col("value").mean()
    )
    of_runs = of_subsets.group_by(*RUN, "measure", maintain_order=True).agg(
        pl.col("value").mean(), pl.col("row").first()
    )
    of_arms = rows.group_by(*CELL, "method", *item, maintain_order=True).agg(value=100 * pl.col("value").mean())
    random = of_arms.filter(pl.col("method") == RANDOM).drop("method")
    differences = (
        of_arms.filter(pl.col("method") != RANDOM)
        .join(random, on=[*CELL, *item], suffix="_of_random", maintain_order="left")
        .with_columns(difference=pl.col("value") - pl.col("value_of_random"), weight=pl.lit(1.0))
        .rename({"measure": "benchmark"})
    )
    if not subset:
        differences = differences.with_columns(subset=pl.lit(""))
    return Results(_runs(path, of_runs), over_items(differences))


def _refuse_split(path: Path, rows: pl.DataFrame, cluster: list[str], subset: list[str]) -> None:
    """Refuse an item in two clusters, or a cluster in two subsets: neither could be drawn as a whole.

    Raises:
        PlatformError: there is one.
    """
    if not cluster:
        return
    clusters = pl.col("cluster").n_unique().over("measure", *subset, "item")
    _refuse(path, rows.filter(clusters > 1), "item", "is in several clusters; name the same one in each run")
    for name in subset:
        subsets = pl.col(name).n_unique().over("measure", "cluster")
        _refuse(path, rows.filter(subsets > 1), "cluster", "is in several subsets; name one for each subset")


def _refuse_repeated(path: Path, rows: pl.DataFrame, keys: list[str]) -> None:
    repeated = rows.filter(~pl.struct(keys).is_first_distinct()).rename({"method": "arm"})
    _refuse(path, repeated, "arm", "has a row with the same run and measure above; give each run its own seed")


def _refuse(path: Path, rows: pl.DataFrame, column: str, what: str) -> None:
    """Refuse the first of some rows.

    Raises:
        PlatformError: there is a row.
    """
    for row in rows.iter_rows(named=True):
        text = "" if row[column] is None else f" {row[column]!r}"
        raise PlatformError(f"{path}, row {row['row']}, column {column}:{text} {what}")
