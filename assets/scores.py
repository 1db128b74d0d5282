"""Scores: one asset and one table for each method, higher is picked first."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import dagster as dg
import duckdb

from assets.metadata import markdown_counts, markdown_histogram
from assets.partitions import Partitions
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.methods import METHODS
from selection_platform.profile import Profile
from selection_platform.queries import load_sql

HISTOGRAM_BINS = 20


def score_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """One asset for each scored method that the profile has an arm for. This list is all that the graph knows."""
    sql_score = partial(_sql_score, profile, partitions)
    assets = {
        "random": lambda: sql_score("random", ["pool"], seeds=list(profile.arms["random"].seeds)),
        "token_length": lambda: sql_score("token_length", ["token_count"]),
        "entropy": lambda: sql_score("entropy", ["answer_likelihood"]),
        "ifd": lambda: sql_score("ifd", ["answer_likelihood"]),
        "zip": lambda: _zip(profile, partitions),
    }
    return [build() for method, build in assets.items() if method in profile.arms]


def _sql_score(
    profile: Profile, partitions: Partitions, method: str, deps: list[str], **values: Any
) -> dg.AssetsDefinition:
    """An asset whose scores are a formula: the statement `sql/40_scores/<method>.sql`."""

    @_score_asset(partitions, method, deps, {"sql", "duckdb"})
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = _partition(profile, method, context.partition_key)
        bound = {name: value for name, value in partition.items() if value is not None}
        return _replace(warehouse, method, partition, {**bound, **values})

    return scores


def _zip(profile: Profile, partitions: Partitions) -> dg.AssetsDefinition:
    @_score_asset(partitions, "zip", ["pool"], {"python", "duckdb"})
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.scoring.zip import ZipSettings
        from selection_platform.scoring.zip_picks import write_picks

        partition = _partition(profile, "zip", context.partition_key)
        folder = artifacts.zip_picks(context.partition_key)
        warehouse.export(
            load_sql("30_features/samples_to_score"), folder / "samples.parquet", {"pool": partition["pool"]}
        )
        picks = write_picks(
            folder / "samples.parquet", max(profile.budgets), ZipSettings(**profile.zip.model_dump()), folder
        )
        return _replace(warehouse, "zip", partition, {"pool": partition["pool"], "picks": str(picks)})

    return scores


def _score_asset(partitions: Partitions, method: str, deps: list[str], kinds: set[str]) -> Callable[..., Any]:
    per_pool = METHODS[method].scored_per == "pool"
    return dg.asset(
        key=["scores", method],
        description=f"{METHODS[method].summary[0].upper()}{METHODS[method].summary[1:]}. Table `scores.{method}`.",
        partitions_def=partitions.pools if per_pool else partitions.scorings,
        deps=deps,
        group_name="scores",
        kinds=kinds,
        owners=["team:selection"],
        code_version="1",
    )


def _partition(profile: Profile, method: str, partition_key: str) -> dict[str, str | None]:
    if METHODS[method].scored_per == "pool":
        return {"pool": partition_key, "model": None}
    scoring = profile.scorings[partition_key]
    return {"pool": scoring.pool, "model": scoring.model}


def score_partition(method: str, pool: str, model: str) -> dict[str, str | None]:
    """The columns and values that name a partition of the method's table."""
    return {"pool": pool, "model": None if METHODS[method].scored_per == "pool" else model}


def _replace(
    warehouse: Warehouse, method: str, partition: dict[str, str | None], values: dict[str, Any]
) -> dg.MaterializeResult:
    """Write the partition's scores and describe them."""
    started = time.monotonic()
    table = f"scores.{method}"
    named = {"table": table, **partition}

    def verify(connection: duckdb.DuckDBPyConnection) -> None:
        scored, not_finite, *_ = connection.execute(load_sql("40_scores/summary"), named).fetchall()[0]
        if scored == 0 or not_finite:
            raise ValueError(
                f"{table} of {partition['pool']}: {scored:,} samples have a score, {not_finite:,} of them NaN or "
                "infinite; look at the features that the scores are made of"
            )

    warehouse.replace(table, partition, load_sql(f"40_scores/{method}"), values, verify)
    summary = warehouse.query(load_sql("40_scores/summary"), named).row(0, named=True)
    dropped = dict(warehouse.query(load_sql("40_scores/dropped"), named).iter_rows())
    bins = dict(warehouse.query(load_sql("40_scores/histogram"), {**named, "bins": HISTOGRAM_BINS}).iter_rows())
    return dg.MaterializeResult(
        metadata={
            "dagster/table_name": table,
            "dagster/partition_row_count": summary["scored"],
            "lowest": summary["lowest"],
            "median": summary["median"],
            "highest": summary["highest"],
            "dropped": markdown_counts(dropped),
            "seconds": time.monotonic() - started,
            "histogram": markdown_histogram(summary["lowest"], summary["highest"], bins, HISTOGRAM_BINS),
        },
        data_version=dg.DataVersion(warehouse.content_hash(table, partition)),
    )
