"""Facility location: picks such that every sample of a pool is near to one of them."""

import shutil

import dagster as dg

from assets.partitions import Partitions
from assets.record.score_table import replace_scores, score_asset, scored_partition
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
        from selection_platform.features.sample_embedding import read_embeddings
        from selection_platform.job.growing import finished_shards
        from selection_platform.methods.facility_location import facility_location
        from selection_platform.methods.positions import write_positions

        partition = scored_partition(profile, METHOD, context.partition_key)
        pool, model = partition["pool"] or "", partition["model"] or ""
        whole = Scoring(profile.whole_pool(pool), model)
        folder = artifacts.picks(METHOD, context.partition_key)
        # A fixed place, so that what a killed run left there, which may be gigabytes, goes now.
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        of = {"pool": pool, "model": model, "embedded_pool": whole.pool}
        wanted = set(warehouse.query(load_sql("30_features/embedded_samples"), of)["sample_id"])
        shards = finished_shards(artifacts.scoring(whole.key) / "answer_likelihood")
        ids, vectors = read_embeddings(shards, scratch / "samples.npy", "embedding", wanted)
        checkpoint = folder / "checkpoint.npz"
        picked = facility_location(vectors, settings.covered_samples, max(profile.budgets), checkpoint)
        write_positions([ids[row] for row in picked], scratch / "picks.parquet")
        values = {"pool": pool, "picks": str(scratch / "picks.parquet")}
        result = replace_scores(warehouse, profile.methods[METHOD], partition, "one_by_one", values)
        shutil.rmtree(scratch)
        covered = min(settings.covered_samples, len(ids))
        return result._replace(metadata={**(result.metadata or {}), "samples to cover": covered, "of": len(ids)})

    return [scores]
