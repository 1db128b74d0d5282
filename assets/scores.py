"""Scores: one asset and one table per method; a higher score is picked first."""

from functools import partial

import dagster as dg

from assets.partitions import Partitions
from assets.record.score_table import replace_scores, score_asset, scored_partition, sql_score
from assets.record.vectors import clustered_shards
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from sql.queries import load_sql


def score_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of methods that only use shared features. Methods with their own assets are in `methods`."""
    score = partial(sql_score, profile, partitions)
    return [
        _random(profile, partitions),
        score("token_length", "token_length", ["token_count"], published=False),
        score("token_length.published", "token_length", ["token_count"], published=True),
        score("entropy", "entropy", ["answer_likelihood"], published=False),
        score("entropy.published", "entropy", ["answer_likelihood"], published=True),
        *(
            _best_of_clusters(profile, partitions, name)
            for name, method in profile.methods.items()
            if method.best_of_clusters
        ),
        *(_coverage(profile, partitions, name) for name, method in profile.methods.items() if method.covers_by),
    ]


def _random(profile: Profile, partitions: Partitions) -> dg.AssetsDefinition:
    # All that there may be: a plan makes nothing stale, and a selection depends on its own seed alone.
    seeds = profile.arms["random"].all_seeds if "random" in profile.arms else ()

    @score_asset(
        profile,
        partitions,
        "random",
        ["pool"],
        {"sql", "duckdb"},
        settings={"arms.random.seeds": seeds},
        sql=["40_scores/random"],
    )
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = scored_partition(profile, "random", context.partition_key)
        values = {"pool": partition["pool"], "seeds": list(seeds)}
        return replace_scores(warehouse, profile.methods["random"], partition, "random", values)

    return scores


def _best_of_clusters(profile: Profile, partitions: Partitions, method: str) -> dg.AssetsDefinition:
    @score_asset(
        profile,
        partitions,
        method,
        partitions.clusters_and_scores_to_scored(method),
        {"sql", "duckdb"},
        settings={"budgets": profile.budgets},
        sql=["40_scores/best_of_clusters"],
    )
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = scored_partition(profile, method, context.partition_key)
        values = {**_wrapped_scores(profile, method, partition), "budgets": list(profile.budgets)}
        return replace_scores(warehouse, profile.methods[method], partition, "best_of_clusters", values)

    return scores


def _wrapped_scores(profile: Profile, method: str, partition: dict[str, str | None]) -> dict[str, str | None]:
    """Where a wrapper's partition finds its clusters and the scores that it picks by: parameters of its statements."""
    wrapped = profile.methods[profile.methods[method].wraps or ""]
    return {
        **partition,
        "scores": wrapped.table,
        "scores_pool": profile.whole_pool(partition["pool"] or ""),
        "scores_model": partition["model"] if wrapped.scored_per == "scoring" else None,
    }


def _coverage(profile: Profile, partitions: Partitions, method: str) -> dg.AssetsDefinition:
    @score_asset(
        profile,
        partitions,
        method,
        [*partitions.clusters_and_scores_to_scored(method), partitions.vectors_to_covered(method)],
        {"python", "duckdb"},
        settings={"coverage": profile.coverage, "budgets": max(profile.budgets)},
        sql=["30_features/clusters", "40_scores/candidates", "40_scores/coverage"],
        by=["coverage"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.coverage import cluster_centres, cover, spread_among
        from selection_platform.methods.positions import write_positions

        partition = scored_partition(profile, method, context.partition_key)
        shards = clustered_shards(profile, artifacts, profile.scored(method)[context.partition_key])
        clusters = warehouse.query(load_sql("30_features/clusters"), partition)
        centres = cluster_centres(shards, "embedding", clusters["sample_id"].to_list(), clusters["cluster"].to_numpy())
        spread = spread_among(*centres, profile.coverage.similarity)
        values = _wrapped_scores(profile, method, partition)
        found = warehouse.query(load_sql("40_scores/candidates"), values)
        of_rows = found["cluster"].to_numpy(), found["quality"].to_numpy()
        picked = cover(*of_rows, spread, max(profile.budgets), profile.coverage.power)
        picks = artifacts.picks(method, context.partition_key) / "picks.parquet"
        write_positions(found["sample_id"].gather(picked).to_list(), picks)
        result = replace_scores(
            warehouse, profile.methods[method], partition, "coverage", {**values, "picks": str(picks)}
        )
        picks.unlink()
        return result._replace(metadata={**(result.metadata or {}), "pairs of similar clusters": spread.pairs})

    return scores
