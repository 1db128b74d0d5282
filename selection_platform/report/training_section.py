"""The section of trainings: the samples that each arm was trained on, and how many were cut."""

from collections.abc import Iterator

import polars as pl

from selection_platform.report.parts import Section, Table, cells

MOST_ROWS = 100
"""Most rows of the table; the CSV file has all."""


def training(rows: pl.DataFrame | None) -> Section | None:
    """Which trainings cut samples or left them out.

    Args:
        rows: `ReportData.tables["training"]`; None for trainings of earlier versions, which have no counts, and so
            without section.
    """
    if rows is None:
        return None
    count = len(rows)
    cut = rows.filter(pl.col("cut") > 0)
    said = [
        smaller_trainings(rows) or f"All {count} trainings used every selected sample.",
        f"In {len(cut)} of {count} trainings, samples longer than the recipe's `max_length` were cut."
        if len(cut)
        else "No sample was longer than the recipe's `max_length`.",
    ]
    odd = rows.filter((pl.col("cut") > 0) | (pl.col("dropped") > 0))
    if odd.is_empty():
        return Section("training", "What was trained on", said, file="training.csv")
    header = ["model · pool · samples", "arm", "seed", "selected", "trained", "cut", "left out", "answer tokens cut"]
    shown = [cells(*texts) for texts in _rows(odd.head(MOST_ROWS))]
    if len(odd) > MOST_ROWS:
        said.append(f"The first {MOST_ROWS} of {len(odd)} such trainings are shown; the CSV file has all.")
    table = Table("Trainings whose samples were cut or left out", header, shown, frozenset({1}), arms=1)
    return Section("training", "What was trained on", said, [table], file="training.csv")


def smaller_trainings(rows: pl.DataFrame) -> str | None:
    """A sentence about arms that were trained on fewer samples than they selected; None if there are none."""
    fewer = rows.filter(pl.col("dropped") > 0)
    if fewer.is_empty():
        return None
    arms = ", ".join(fewer["method"].unique(maintain_order=True).to_list())
    return (
        f"{len(fewer)} of {len(rows)} trainings ({arms}) left out samples, because nothing to train on was left of "
        "them within the recipe's `max_length`: raise it, or set `fine_tuning: {cut: shared}`."
    )


def _rows(rows: pl.DataFrame) -> Iterator[list[str]]:
    for row in rows.iter_rows(named=True):
        size = "all" if row["budget"] is None else f"{row['budget']:,}"
        counts = [f"{row[name]:,}" for name in ("selected", "trained", "cut", "dropped")]
        yield [f"{row['model']} · {row['pool']} · {size}", row["method"], f"{row['seed']}", *counts, _share_cut(row)]


def _share_cut(row: dict[str, int | None]) -> str:
    """The share of the answers' tokens that were cut."""
    lost, kept = row["answer_tokens_cut"], row["answer_tokens"]
    return "not counted" if lost is None or kept is None else f"{lost / (lost + kept):.1%}"
