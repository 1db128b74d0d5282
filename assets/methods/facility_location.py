"""Facility location: picks such that every sample of a pool is near to one of them."""

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from assets.partitions import Partitions
from assets.record.score_table import score_asset, scored_partition
from assets.record.vector_picks import replace_picks
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.experiments.keys import Scoring
from sql.queries import load_sql

METHOD = "facility_location"


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of the method."""
    settings = profile.facility_location

    @score_asset(
        profile,
        partitions,
        METHOD,
        partitions.scorings_to_scored(METHOD, "sample_embedding"),
        {"python", "duckdb"},
        settings={"facility_location": settings, "budgets": max(profile.budgets)},
        sql=["30_features/embedded_samples", "40_scores/one_by_one"],
        by=["facility_location"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.job.growing import finished_shards
        from selection_platform.methods.facility_location import facility_location

        partition = scored_partition(profile, METHOD, context.partition_key)
        pool, model = partition["pool"] or "", partition["model"] or ""
        whole = Scoring(profile.whole_pool(pool), model)
        of = {"pool": pool, "model": model, "embedded_pool": whole.pool}
        wanted = set(warehouse.query(load_sql("30_features/embedded_samples"), of)["sample_id"])
        shards = finished_shards(artifacts.scoring(whole.key) / "answer_likelihood")
        counts: dict[str, int] = {}

        def pick(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
            counts.update({"samples to cover": min(settings.covered_samples, len(vectors)), "of": len(vectors)})
            checkpoint = artifacts.picks(METHOD, context.partition_key) / "checkpoint.npz"
            return facility_location(vectors, settings.covered_samples, max(profile.budgets), checkpoint)

        result = replace_picks(profile, METHOD, context, artifacts, warehouse, shards, wanted, pick)
        return result._replace(metadata={**(result.metadata or {}), **counts})

    return [scores]
