"""Facility location: picks such that every sample of a pool is near to one of them."""

from pathlib import Path

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from assets.partitions import Partitions
from assets.record.score_table import score_asset
from assets.record.vector_picks import replace_picks
from assets.record.vectors import of_base_model
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile

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
        from selection_platform.methods.facility_location import facility_location

        found = of_base_model(profile, artifacts, warehouse, profile.scored(METHOD)[context.partition_key])
        counts: dict[str, int] = {}

        def pick(vectors: NDArray[np.float32], _: Path) -> NDArray[np.int64]:
            counts.update({"samples to cover": min(settings.covered_samples, len(vectors)), "of": len(vectors)})
            checkpoint = artifacts.picks(METHOD, context.partition_key) / "checkpoint.npz"
            return facility_location(vectors, settings.covered_samples, max(profile.budgets), checkpoint)

        result = replace_picks(profile, METHOD, context, artifacts, warehouse, found, pick)
        return result._replace(metadata={**(result.metadata or {}), **counts})

    return [scores]
