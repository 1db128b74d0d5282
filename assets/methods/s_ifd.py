"""S-IFD: IFD from the answer tokens alone whose likelihood the prompt changes most."""

import dagster as dg

from assets.partitions import Partitions
from assets.record.score_table import replace_scores, score_asset, scored_partition
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.experiments.keys import Scoring
from sql.queries import load_sql

METHOD = "s_ifd"


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of the method."""
    likelihood = partitions.scorings_to_scored(METHOD, "answer_likelihood")[0]

    @score_asset(
        profile,
        partitions,
        METHOD,
        [likelihood, *partitions.scorings_to_scored(METHOD, "prompt_effect")],
        {"python", "duckdb"},
        settings={},
        sql=["30_features/sample_ids", "40_scores/s_ifd"],
        by=["s_ifd"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.features.answer_likelihood import FILES_APART, PROMPT_EFFECT
        from selection_platform.job.growing import finished_apart
        from selection_platform.methods.selective_ifd import write_selective_ifd

        partition = scored_partition(profile, METHOD, context.partition_key)
        pool, model = partition["pool"] or "", partition["model"] or ""
        whole = profile.whole_pool(pool)
        wanted = set(warehouse.query(load_sql("30_features/sample_ids"), {"pool": pool})["sample_id"])
        shards = finished_apart(
            artifacts.scoring(Scoring(whole, model).key) / "answer_likelihood", FILES_APART[PROMPT_EFFECT]
        )
        file = artifacts.picks(METHOD, context.partition_key) / "selective_ifd.parquet"
        threshold = write_selective_ifd(shards, wanted, file)
        values = {"features_pool": whole, "model": model, "file": str(file)}
        result = replace_scores(warehouse, profile.methods[METHOD], partition, "s_ifd", values)
        file.unlink()
        return result._replace(metadata={**(result.metadata or {}), "threshold, nats": threshold})

    return [scores]
