"""The benchmark items on which an arm and random selection differ."""

import polars as pl

CELL = ["model", "pool", "budget"]
ROUNDING = 1e-6
"""Percentage points. Differences from rounding are smaller, and the difference of one item is larger."""


def won_and_lost(differences: pl.DataFrame) -> pl.DataFrame:
    """The items on which an arm and the random runs differ.

    Args:
        differences: rows of `90_reports/item_differences.sql`.

    Returns:
        Columns `method`, `model`, `pool`, `budget`, `benchmark`, `task`, `item_id`, `outcome` (won or lost) and
        `difference`, in percentage points.
    """
    outcome = pl.when(pl.col("difference") > 0).then(pl.lit("won")).otherwise(pl.lit("lost")).alias("outcome")
    differing = differences.filter(pl.col("difference").abs() > ROUNDING).with_columns(outcome)
    return differing.select("method", *CELL, "benchmark", "task", "item_id", "outcome", "difference")


def counted(differences: pl.DataFrame) -> pl.DataFrame:
    """The number of items that each arm wins and loses.

    Args:
        differences: rows of `90_reports/item_differences.sql`.

    Returns:
        Columns `model`, `pool`, `budget`, `method`, `benchmark`, `items`, `won` and `lost`.
    """
    return differences.group_by([*CELL, "method", "benchmark"], maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("items"),
        (pl.col("difference") > ROUNDING).sum().cast(pl.Int64).alias("won"),
        (pl.col("difference") < -ROUNDING).sum().cast(pl.Int64).alias("lost"),
    )
