"""ZIP: samples that compress worst together with the earlier picks."""

import dagster as dg

from assets.partitions import Partitions
from assets.record.job_inputs import samples_file
from assets.record.score_table import replace_scores, score_asset, scored_partition
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of the method and of its variant."""
    return [
        _scores(profile, partitions, "zip", published=False),
        _scores(profile, partitions, "zip.published", published=True),
    ]


def _scores(profile: Profile, partitions: Partitions, method: str, *, published: bool) -> dg.AssetsDefinition:
    # The published search compresses more of a row than its text.
    samples_query = "30_features/samples_with_source" if published else "30_features/samples_to_score"

    @score_asset(
        profile,
        partitions,
        method,
        partitions.pools_to_scored(method),
        {"python", "duckdb"},
        settings={"zip": profile.zip, "budgets": max(profile.budgets)},
        sql=[samples_query, "40_scores/zip"],
        by=["zip"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.zip.picks import write_picks
        from selection_platform.methods.zip.selection import ZipSettings

        partition = scored_partition(profile, method, context.partition_key)
        folder = artifacts.picks(method, context.partition_key)
        samples = samples_file(context.partition_key, folder, warehouse, samples_query)
        settings = ZipSettings(**profile.zip.content(), published=published)
        picks = write_picks(samples, max(profile.budgets), settings, folder)
        return replace_scores(
            warehouse, profile.methods[method], partition, "zip", {"pool": partition["pool"], "picks": picks}
        )

    return scores
