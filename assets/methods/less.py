"""LESS: a warm-up on a sample of the pool, and how far each sample's gradients point the way of the targets'."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import COMPLETENESS, TRUNCATION, Completeness, truncation_result
from assets.record.job_inputs import job_content_hash, samples_file
from assets.record.metadata import model_result
from assets.record.score_table import sql_score
from assets.record.settings_used import only, without
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.method_settings import PUBLISHED_LESS_WEIGHTS
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.job.shards import shard_files

if TYPE_CHECKING:
    from selection_platform.methods.less.gradient_influence import Direction


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the method alone, upstream before downstream."""
    settings = profile.less

    def text_of(scoring: str) -> TextSettings:
        return profile.text_of(profile.scorings[scoring].model)

    directions: tuple[Direction, ...] = ("adam", "published") if "less.published" in profile.arms else ("adam",)

    @platform_asset(
        partitions=partitions.scorings,
        deps=partitions.pool_and_model(),
        group="models",
        kinds={"pytorch", "huggingface"},
        settings={"less": only(settings, "warmup_samples", "seed", "training")},
        rendered=text_of,
        gpu=True,
        sql=["36_influence/random_samples"],
        by=["fine_tuning"],
        folder=ArtifactStore.warmup_checkpoint,
    )
    def warmup_checkpoint(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """LoRA adapters and Adam's moments after each epoch of a training on a random sample of the pool."""
        from selection_platform.training.fine_tuning import FINE_TUNING, FineTuningSpec

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.warmup_checkpoint(scoring.key)
        samples = folder.with_name(f"{folder.name}.samples.parquet")
        draw = {"pool": scoring.pool, "seed": f"warmup/{settings.seed}", "limit": settings.warmup_samples}
        warehouse.export(conversations_sql(warehouse, "36_influence/random_samples", draw), samples, draw)
        spec = FineTuningSpec(
            base_model_folder=str(artifacts.base_model(scoring.model)),
            train_file=str(samples),
            recipe=settings.training,
            text=text_of(scoring.key),
            seed=settings.seed,
            keep_epochs=True,
        )
        return model_result(jobs.run(context, FINE_TUNING, spec, folder), folder)

    @platform_asset(
        partitions=partitions.scorings,
        deps=["warmup_checkpoint", dg.AssetDep("pool", partition_mapping=partitions.pools_to_scorings())],
        checks=[COMPLETENESS, TRUNCATION],
        group="features",
        kinds={"pytorch", "duckdb"},
        settings={
            "dtype": profile.dtype,
            "scoring": without(profile.scoring, "tokens_per_batch"),
            "less": only(settings, "targets", "target_samples", "seed", "tokens_per_batch"),
            "directions": directions,
        },
        rendered=text_of,
        gpu=True,
        sql=["30_features/samples_to_score", "36_influence/random_samples"],
        by=["gradient_influence"],
    )
    def gradient_influence(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """How far a training step on each sample would serve the targets. Table `features.gradient_influence`."""
        from selection_platform.methods.less.gradient_influence import GRADIENT_INFLUENCE, InfluenceSpec

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key)
        spec = InfluenceSpec(
            warmup_folder=str(artifacts.warmup_checkpoint(scoring.key)),
            samples_file=str(samples_file(scoring.pool, folder, warehouse)),
            targets_file=str(_targets(profile, scoring.pool, folder, warehouse)),
            directions=directions,
            # A backward pass takes more memory than the passes of the other methods.
            scoring=profile.scoring.model_copy(update={"tokens_per_batch": settings.tokens_per_batch}),
            dtype=profile.dtype,
            text=text_of(scoring.key),
        )
        summary = jobs.run(context, GRADIENT_INFLUENCE, spec, folder / "gradient_influence")
        table = "features.gradient_influence"
        partition = {"pool": scoring.pool, "model": scoring.model}
        complete = Completeness(table, partition, summary.epochs * summary.targets * len(spec.directions))
        files = shard_files(folder / "gradient_influence")
        rows = warehouse.replace_from_parquet(table, partition, files, complete.verify)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": table,
                "dagster/partition_row_count": rows,
                "seconds": summary.seconds,
                "peak memory, bytes": summary.peak_memory_bytes,
            },
            check_results=[complete.result(), truncation_result(summary.truncated, summary.samples)],
            data_version=dg.DataVersion(job_content_hash(folder / "gradient_influence")),
        )

    score = partial(sql_score, profile, partitions, statement="less", deps=["gradient_influence"])
    return [
        warmup_checkpoint,
        gradient_influence,
        score("less", direction="adam", weights=None),
        score("less.published", direction="published", weights=list(PUBLISHED_LESS_WEIGHTS)),
    ]


def _targets(profile: Profile, pool: str, folder: Path, warehouse: Warehouse) -> Path:
    """The file of what the samples' gradients are compared with."""
    path, settings = folder / "targets.parquet", profile.less
    if settings.targets == "pool":
        draw = {"pool": pool, "seed": f"targets/{settings.seed}", "limit": settings.target_samples}
        warehouse.export(conversations_sql(warehouse, "36_influence/random_samples", draw), path, draw)
        return path
    from selection_platform.evaluation.worked_examples import worked_examples, write_targets

    groups = {name: group for benchmark in settings.targets for name, group in worked_examples(benchmark).items()}
    write_targets(groups, path)
    return path
