"""Arms with scores that the user gives: a field of the raw rows, or a file."""

from dataclasses import asdict

import dagster as dg

from assets.partitions import Partitions
from assets.record.score_table import replace_scores, score_asset, scored_partition
from assets.record.settings_used import Used, only
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from sql.queries import load_sql

COUNTED = {"rows": "rows of the file", "strangers": "ids that are not in the pool", "repeated": "repeated rows"}


def given_score_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of each such arm. They need no model: a wrong field is found before anything expensive runs."""
    return [_scores(profile, partitions, name) for name, arm in profile.arms.items() if arm.own_summary is not None]


def _scores(profile: Profile, partitions: Partitions, method: str) -> dg.AssetsDefinition:
    arm, pools = profile.arms[method], partitions.pools_to_scored(method)
    raw_pools = dg.AssetDep("raw_pool", partition_mapping=pools[0].partition_mapping)

    def settings(_: str) -> Used:
        from selection_platform.methods.given_scores import file_state

        used: Used = {f"arms.{method}": only(arm, "column", "order")}
        # The file's content counts, and not its name.
        return used if arm.scores is None else {**used, "file of scores": file_state(arm.scores_file) or "missing"}

    @score_asset(
        profile,
        partitions,
        method,
        [raw_pools, *pools],
        {"python", "duckdb"},
        settings=settings,
        sql=["30_features/rows_of_samples", "40_scores/given_scores"],
        by=["given_scores"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.given_scores import score_by_column, score_by_file

        pool, partition = context.partition_key, scored_partition(profile, method, context.partition_key)
        samples = warehouse.query(load_sql("30_features/rows_of_samples"), {"pool": pool})
        raw, file = artifacts.raw_pool(pool), artifacts.picks(method, pool) / "scores.parquet"
        counted: dict[str, int] = {}
        if arm.column is not None:
            score_by_column(raw, arm.column, arm.order, samples, file, f"arms.{method}.column, pool {pool!r}")
        elif arm.scores_file is not None:
            where = f"arms.{method}.scores, pool {pool!r}"
            report = score_by_file(arm.scores_file, arm.order, samples, raw, file, where)
            counted = {COUNTED[name]: count for name, count in asdict(report).items()}
        result = replace_scores(warehouse, profile.methods[method], partition, "given_scores", {"file": file})
        file.unlink()
        return result._replace(metadata={**(result.metadata or {}), **counted})

    return scores
