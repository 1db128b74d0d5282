"""SelectIT: each model's ratings of each sample, and the scores from these ratings."""

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import COMPLETENESS, TRUNCATION, Completeness
from assets.record.features import window_metadata
from assets.record.job_inputs import samples_file
from assets.record.score_table import replace_scores, score_asset, scored_partition
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import PassSettings
from selection_platform.job.folder import read_manifest
from selection_platform.job.versions import logits_in
from sql.queries import load_sql


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the method alone, upstream before downstream."""
    uses = {"scoring": profile.scoring.part(PassSettings), "dtype": profile.dtype}

    @platform_asset(
        partitions=partitions.ratings,
        deps=[
            dg.AssetDep("pool", partition_mapping=partitions.pools_to_ratings()),
            dg.AssetDep("base_model", partition_mapping=partitions.models_to_ratings()),
        ],
        checks=[COMPLETENESS, TRUNCATION],
        group="features",
        kinds={"pytorch", "duckdb"},
        settings={**uses, **logits_in(profile.dtype)},
        rendered=lambda key: profile.text_of(profile.ratings[key].model),
        gpu=True,
        sql=["30_features/samples_to_score", "30_features/rating_probability"],
        by=["rating_probability"],
    )
    def rating_probability(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """How likely a model rates each sample 1 to 5, by five prompts. Table `features.rating_probability`."""
        from selection_platform.job.growing import score_new_samples
        from selection_platform.methods.selectit.rating_probability import (
            RATING_PROBABILITY,
            RatingSpec,
            RatingSummary,
            job_settings,
        )
        from selection_platform.methods.selectit.rating_prompts import RATING_PROMPTS

        rating = profile.ratings[context.partition_key]
        folder = artifacts.scoring(rating.key)
        spec = RatingSpec(
            model_folder=str(artifacts.base_model(rating.model)),
            samples_file=str(samples_file(rating.pool, folder, warehouse)),
            text=profile.text_of(rating.model),
            **uses,
        )
        grown = score_new_samples(
            spec,
            folder / "rating_probability",
            jobs.runner(context, RATING_PROBABILITY),
            RatingSummary,
            job_settings(spec),
        )
        values = {"files": grown.files, "pool": rating.pool}
        partition = {"pool": rating.pool, "model": rating.model}
        table, rows_each = "features.rating_probability", len(RATING_PROMPTS)
        complete = Completeness(table, partition, rows_each)
        rows = warehouse.replace(table, partition, load_sql("30_features/rating_probability"), values, complete.verify)
        summary = grown.summary
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": table,
                "dagster/partition_row_count": rows,
                "samples rated now": grown.new_samples,
                "tokens": summary.tokens,
                **window_metadata(summary.cut_prompts, summary.truncated, summary.prompt_fills_context),
                "seconds": summary.seconds,
                "peak memory, bytes": summary.peak_memory_bytes,
            },
            check_results=[complete.result(), complete.truncation_result()],
            data_version=dg.DataVersion(grown.content_hash),
        )

    return [
        rating_probability,
        _scores(profile, partitions, "selectit", softmax_twice=False),
        _scores(profile, partitions, "selectit.published", softmax_twice=True),
    ]


def _scores(profile: Profile, partitions: Partitions, method: str, *, softmax_twice: bool) -> dg.AssetsDefinition:
    ratings = dg.AssetDep("rating_probability", partition_mapping=partitions.ratings_to_scorings())

    @score_asset(
        profile,
        partitions,
        method,
        [ratings],
        {"sql", "duckdb"},
        settings={"selectit": profile.selectit},
        sql=["40_scores/selectit"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        scoring = profile.scorings[context.partition_key]
        raters = profile.raters_of(scoring.model)
        manifests = [read_manifest(artifacts.base_model(rater)) or {} for rater in raters]
        values = {
            "pool": scoring.pool,
            "raters": raters,
            "weights": [float(manifest["parameters"]) for manifest in manifests],
            "alpha": profile.selectit.alpha,
            "level": profile.selectit.level,
            "softmax_twice": softmax_twice,
        }
        return replace_scores(
            warehouse,
            profile.methods[method],
            scored_partition(profile, method, context.partition_key),
            "selectit",
            values,
        )

    return scores
