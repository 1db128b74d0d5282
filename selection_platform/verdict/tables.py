"""Runs and verdicts as rows of the warehouse."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple
from typing import Any, cast

import numpy as np
import polars as pl

from selection_platform.evaluation.results import SCORING
from selection_platform.verdict.items import ItemInterval, Items, item_interval, seeds_and_items
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.statistics import Comparison, Word
from selection_platform.verdict.verdicts import CONTROLS, Pooled, Verdict, primary_of

_NUMBERS = {
    "arm_runs": pl.Int32,
    "random_runs": pl.Int32,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "visible": pl.Float64,
    "p_value": pl.Float64,
    "p_adjusted": pl.Float64,
    "equivalent_within": pl.Float64,
    "spread": pl.Float64,
}
_LATER_NUMBERS = {
    "standard_error": pl.Float64,
    "freedom": pl.Float64,
    "spread_assumed": pl.Boolean,
    "compared": pl.Int32,
    "detectable": pl.Float64,
    "p_same": pl.Float64,
    "p_same_adjusted": pl.Float64,
}
_OF_LOOKS = {"look": pl.Int32, "looks": pl.Int32, "share": pl.Float64}
NUMBERS = _NUMBERS | _LATER_NUMBERS | _OF_LOOKS
SCHEMA = {
    "measure": pl.String,
    "model": pl.String,
    "pool": pl.String,
    "budget": pl.Int32,
    "method": pl.String,
    "verdict": pl.String,
    "seeds_needed": pl.Int32,
    **_NUMBERS,
    "items_low": pl.Float64,
    "items_high": pl.Float64,
    "both_low": pl.Float64,
    "both_high": pl.Float64,
    "role": pl.String,
    "family": pl.String,
    "seeds_needed_alone": pl.Int32,
    **_LATER_NUMBERS,
    "equal_spreads_p": pl.Float64,
    "pooled_spread": pl.Float64,
    "pooled_freedom": pl.Float64,
    "pooled_low": pl.Float64,
    "pooled_high": pl.Float64,
    "pooled_p_adjusted": pl.Float64,
    "pooled_verdict": pl.String,
    **_OF_LOOKS,
}
_POOLED = [name for name in SCHEMA if name == "equal_spreads_p" or name.startswith("pooled_")]
"""The columns of `Pooled`, in the order of its fields."""
RUN_SCHEMA = {
    "measure": pl.String,
    "model": pl.String,
    "pool": pl.String,
    "budget": pl.Int32,
    "method": pl.String,
    "seed": pl.Int32,
    "value": pl.Float64,
}


OverItems = Mapping[tuple[Cell, str], ItemInterval]
"""The interval over items of each arm in each cell."""


def runs_of(rows: pl.DataFrame) -> list[Run]:
    """The runs in a table with the columns of RUN_SCHEMA, as from `90_reports/runs.sql`."""
    return [
        Run(measure, Cell(model, pool, budget), *rest)
        for measure, model, pool, budget, *rest in rows.select(list(RUN_SCHEMA)).iter_rows()
    ]


def run_rows(runs: Iterable[Run]) -> pl.DataFrame:
    """Runs as a table with the columns of RUN_SCHEMA."""
    rows = [(run.measure, *run.cell, run.method, run.seed, run.value) for run in runs]
    return pl.DataFrame(rows, schema=RUN_SCHEMA, orient="row")


def over_items(rows: pl.DataFrame) -> OverItems:
    """The interval over items of each arm, from rows as `items_of_arms` takes them."""
    return {key: item_interval(benchmarks) for key, benchmarks in items_of_arms(rows).items()}


def items_of_arms(rows: pl.DataFrame) -> dict[tuple[Cell, str], dict[str, Items]]:
    """The items of each benchmark by cell and arm.

    Args:
        rows: of `90_reports/item_differences.sql`, which know an item's task; or with a column `subset`, which names
            those that count alike in a benchmark's number. Items with the same value of a column `cluster` become one,
            with the sum of their weights.
    """
    by_arm: dict[tuple[Cell, str], dict[str, Items]] = {}
    keys = ["model", "pool", "budget", "method", "benchmark"]
    for (model, pool, budget, method, benchmark), items in with_subsets(rows).group_by(keys, maintain_order=True):
        of_arm = by_arm.setdefault((Cell(str(model), str(pool), cast(int, budget)), str(method)), {})
        of_arm[str(benchmark)] = _items(items)
    return by_arm


def with_subsets(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as `items_of_arms` takes them, with the column `subset`."""
    if "subset" in rows.columns:
        return rows
    # As in the evaluation: a benchmark's result is the mean of its subsets' means, or of all items.
    by_subset = pl.col("benchmark").is_in([name for name, scoring in SCORING.items() if scoring.macro])
    return rows.with_columns(pl.when(by_subset).then(pl.col("task")).otherwise(pl.lit("")).alias("subset"))


def _items(rows: pl.DataFrame) -> Items:
    rows = _clusters(rows) if "cluster" in rows.columns else rows
    return Items(rows["difference"].to_numpy(), rows["weight"].to_numpy(), rows["subset"].to_numpy().astype(np.str_))


def _clusters(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per cluster and subset: its draw is one of all its items. Means stay what they are, and errors grow."""
    weighted = (pl.col("difference") * pl.col("weight")).sum() / pl.col("weight").sum()
    return rows.group_by("subset", "cluster", maintain_order=True).agg(weighted, pl.col("weight").sum())


def verdict_rows(verdicts: Iterable[Verdict], intervals: OverItems) -> pl.DataFrame:
    """Verdicts as rows of `reports.verdict`; the interval over items stands beside the average."""
    rows = []
    for each in verdicts:
        interval = intervals.get((each.cell, each.method)) if each.measure == AVERAGE else None
        both = seeds_and_items(each.comparison, interval) if interval else None
        rows.append(
            {
                "measure": each.measure,
                **each.cell._asdict(),
                "method": each.method,
                "verdict": each.word,
                "seeds_needed": each.seeds_needed,
                **asdict(each.comparison),
                "items_low": interval.low if interval else None,
                "items_high": interval.high if interval else None,
                "both_low": both and both[0],
                "both_high": both and both[1],
                "role": each.role,
                "family": each.family,
                "seeds_needed_alone": each.seeds_needed_alone,
                **dict(zip(_POOLED, astuple(each.pooled), strict=True) if each.pooled else {}),
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def verdicts_of(rows: pl.DataFrame) -> list[Verdict]:
    """The verdicts in rows of `reports.verdict`, which have fewer columns in earlier versions."""
    rows = pl.concat([rows, pl.DataFrame(schema=SCHEMA)], how="diagonal_relaxed")
    primary = primary_of(dict.fromkeys(rows["measure"]))
    return [_verdict(row, primary) for row in rows.iter_rows(named=True)]


def _verdict(row: Mapping[str, Any], primary: str) -> Verdict:
    """A verdict from its row. `primary` is the primary measure if the row has no role."""
    numbers = {name: row[name] for name in NUMBERS} | {"spread_assumed": bool(row["spread_assumed"])}
    return Verdict(
        measure=row["measure"],
        cell=Cell(row["model"], row["pool"], row["budget"]),
        method=row["method"],
        comparison=Comparison(**numbers),
        word=cast(Word, row["verdict"]),
        seeds_needed=row["seeds_needed"],
        seeds_needed_alone=row["seeds_needed_alone"],
        family=row["family"] or ("control" if row["method"] in CONTROLS else "method"),
        role=row["role"] or ("primary" if row["measure"] == primary else "exploratory"),
        pooled=Pooled(*(row[name] for name in _POOLED)) if row[_POOLED[0]] is not None else None,
    )
