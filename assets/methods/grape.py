"""GRAPE: of several answers to a prompt, the one that the base model finds likeliest."""

import dagster as dg

from assets.partitions import Partitions
from assets.record.score_table import replace_scores, score_asset, scored_partition
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile

METHOD = "grape"


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of the method."""
    # All that there may be, as of `random`.
    seeds = profile.arms[METHOD].all_seeds if METHOD in profile.arms else ()
    likelihood = partitions.scorings_to_scored(METHOD, "answer_likelihood")[0]

    @score_asset(
        profile,
        partitions,
        METHOD,
        [likelihood, *partitions.pools_to_scored(METHOD)],
        {"sql", "duckdb"},
        settings={f"arms.{METHOD}.seeds": seeds},
        sql=["40_scores/grape"],
    )
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = scored_partition(profile, METHOD, context.partition_key)
        features_pool = profile.whole_pool(partition["pool"] or "")
        values = {**partition, "features_pool": features_pool, "seeds": list(seeds)}
        return replace_scores(warehouse, profile.methods[METHOD], partition, "grape", values)

    return [scores]
