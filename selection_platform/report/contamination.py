"""What an arm's gain owes to benchmark items that its samples hold."""

from collections.abc import Iterable

import polars as pl

from selection_platform.report.cells import MOST_CELLS, about_cell, left_out, parts_of, rows_in_order
from selection_platform.report.item_outcomes import CELL
from selection_platform.report.parts import Section, Table, TableCell, cells
from selection_platform.verdict.items import Items, mean_difference
from selection_platform.verdict.tables import items_of_arms
from selection_platform.verdict.verdicts import RANDOM

SCHEMA = dict.fromkeys(["model", "pool"], pl.String) | {
    "budget": pl.Int64, "method": pl.String, "samples": pl.Float64, "items": pl.Int64, "compared": pl.Int64,
    "gain": pl.Float64, "gain_without": pl.Float64,
}  # fmt: skip


def with_and_without(differences: pl.DataFrame, overlaps: pl.DataFrame) -> pl.DataFrame:
    """Each arm's gain over random runs on all items, and on those that neither's samples hold.

    Args:
        differences: rows of `90_reports/item_differences.sql`.
        overlaps: rows of `90_reports/contamination.sql`.

    Returns:
        Columns `model`, `pool`, `budget`, `method`; `samples`, the mean over the arm's runs of how many of its samples
        hold an item; `items`, how many of the evaluated items its or random's samples hold, of `compared`; `gain` and
        `gain_without`, differences of averages in percentage points. `gain` is null for random, and `gain_without`
        where a benchmark has no other items.
    """
    held = {tuple(row[:4]): set(row[4]) for row in overlaps.select(*CELL, "method", "items").iter_rows()}
    by_arm = {(*cell, method): items for (cell, method), items in items_of_arms(differences).items()}
    # An item that has the content of an earlier one has a number behind its id.
    numberless = differences.with_columns(pl.col("item_id").str.split("#").list.first())
    ids = {
        tuple(key): of_benchmark["item_id"]
        for key, of_benchmark in numberless.group_by([*CELL, "method", "benchmark"], maintain_order=True)
    }
    rows = []
    for row in overlaps.iter_rows(named=True):
        arm = (row["model"], row["pool"], row["budget"], row["method"])
        benchmarks = by_arm.get(arm, {})
        known = held[arm] | held.get((*arm[:3], RANDOM), set())
        masks = {name: ids[(*arm, name)].is_in(known) for name in benchmarks}
        others = {name: items.where(~masks[name].to_numpy()) for name, items in benchmarks.items()}
        rows.append(
            {
                **{name: row[name] for name in (*CELL, "method", "samples")},
                "items": sum(int(mask.sum()) for mask in masks.values()),
                "compared": sum(len(mask) for mask in masks.values()),
                "gain": mean_difference(benchmarks) if benchmarks else None,
                "gain_without": _gain(others),
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _gain(benchmarks: dict[str, Items]) -> float | None:
    """The gain on some items; None where a benchmark has none of them."""
    if not benchmarks or any(len(items.difference) == 0 for items in benchmarks.values()):
        return None
    return mean_difference(benchmarks)


def owed_to_items(rows: pl.DataFrame, arms: Iterable[tuple[str, str, int, str]]) -> list[str]:
    """A sentence for each of some arms that loses over half of its gain without the items that samples hold.

    Args:
        rows: of `with_and_without`.
        arms: model, pool, budget and method of each.
    """
    wanted = set(arms)
    sentences = []
    for row in rows.filter(pl.col("items") > 0).iter_rows(named=True):
        arm = tuple(row[name] for name in (*CELL, "method"))
        if arm not in wanted or (row["gain_without"] is not None and row["gain_without"] > row["gain"] / 2):
            continue
        left = "no item is left" if row["gain_without"] is None else f"{row['gain_without']:+.2f} are left"
        sentences.append(
            f"Of the gain of {row['method']} ({about_cell(arm[:3])}), {row['gain']:+.2f} points, {left} without the "
            f"{row['items']:,} benchmark items that its samples or those of random runs hold."
        )
    return sentences


def contamination(rows: pl.DataFrame | None) -> Section | None:
    """How many selected samples hold benchmark items, and what is left of each gain without these items.

    Args:
        rows: of `with_and_without`; None where nothing was compared, and so without section.
    """
    if rows is None:
        return None
    title = "Did a selection hold benchmark items?"
    paragraphs = [
        "A sample holds an item if a message of it has 13 consecutive words in common with the item's question or "
        "answer, or is nearly the same (half of all runs of five words). Compared are the items of the packaged "
        "benchmarks; an item of another task counts where its content is the same."
    ]
    parts = list(parts_of(rows, CELL))
    if rows["samples"].max() == 0:
        paragraphs.append("No selected sample holds one.")
        return Section("contamination", title, paragraphs, file="contamination.csv")
    paragraphs.append(
        "The last column is the gain over random on the items that neither the arm's samples nor those of random runs "
        "hold. An arm that gains only on items that it was trained on has learnt the test."
    )
    tables = [_table(of_cell, about_cell(about)) for about, of_cell in parts[:MOST_CELLS]]
    return Section("contamination", title, [*paragraphs, *left_out(len(parts))], tables, file="contamination.csv")


def _table(of_cell: pl.DataFrame, name: str) -> Table:
    rows = []
    for row in rows_in_order(of_cell).iter_rows(named=True):
        counts = f"{row['items']:,} of {row['compared']:,}" if row["compared"] else ""
        items = TableCell(counts, order=row["items"] if row["compared"] else None)
        gains = cells(_points(row["gain"]), _points(row["gain_without"]))
        rows.append([*cells(row["method"], f"{row['samples']:,.1f}"), items, *gains])
    header = ["arm", "samples that hold items", "items", "gain", "gain without them"]
    return Table(f"Items held, {name}", header, rows, cell=name)


def _points(gain: float | None) -> str:
    return "" if gain is None else f"{gain:+.2f}"
