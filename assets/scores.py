"""Scores: one asset and one table per method; a higher score is picked first."""

from functools import partial

import dagster as dg

from assets.partitions import Partitions
from assets.record.score_table import replace_scores, score_asset, scored_partition, sql_score
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile


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
    wrapped = profile.methods[profile.methods[method].best_of_clusters or ""]

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
        values = {
            **partition,
            "scores": wrapped.table,
            "scores_pool": profile.whole_pool(partition["pool"] or ""),
            "scores_model": partition["model"] if wrapped.scored_per == "scoring" else None,
            "budgets": list(profile.budgets),
        }
        return replace_scores(warehouse, profile.methods[method], partition, "best_of_clusters", values)

    return scores
