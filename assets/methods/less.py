"""LESS: a warm-up on a sample of the pool, and the similarity of each sample's gradients to those of the targets."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import COMPLETENESS, TRUNCATION, Completeness, truncation_result
from assets.record.features import window_metadata
from assets.record.job_inputs import job_content_hash, samples_file
from assets.record.metadata import model_result
from assets.record.score_table import sql_score
from assets.record.settings_used import only, without
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.method_settings import PUBLISHED_LESS_WEIGHTS, WarmUpSettings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import ScoringSettings
from selection_platform.job.shards import shard_files
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.methods.less.gradient_influence import Direction


PORT = {"answers": "last", "cut": "tail"}
"""How the warm-up in the paper's code reads a conversation (LESS/less/data_selection/get_training_dataset.py)."""


class _Way(NamedTuple):
    """One way to warm up and to measure influence.

    Attributes:
        suffix: suffix of the assets' names.
        training: recipe of the warm-up.
        scoring: sizes of the pass that measures influence, and where it cuts.
        directions: forms of Adam's direction.
    """

    suffix: str
    training: WarmUpSettings
    scoring: ScoringSettings
    directions: "tuple[Direction, ...]"


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the method alone, upstream before downstream."""
    training, scoring = profile.less.training, profile.scoring
    ours = _Way("", training, scoring, ("adam",))
    theirs = _Way(
        ".published",
        training.model_copy(update=PORT),
        scoring.model_copy(update={"cut": "answer_end"}),
        ("published",),
    )
    ways = [ours, theirs]
    if (theirs.training, theirs.scoring) == (training, scoring):
        # One pass gives both directions.
        directions = (*ours.directions, *theirs.directions)
        ways = [ours._replace(directions=directions if "less.published" in profile.arms else ours.directions)]
    score = partial(sql_score, profile, partitions, statement="less")
    return [
        *(_warmup_checkpoint(profile, partitions, way) for way in ways),
        *(_gradient_influence(profile, partitions, way) for way in ways),
        score("less", deps=["gradient_influence"], direction="adam", weights=None),
        score(
            "less.published",
            deps=[f"gradient_influence{ways[-1].suffix}"],
            direction="published",
            weights=list(PUBLISHED_LESS_WEIGHTS),
        ),
    ]


def _warmup_checkpoint(profile: Profile, partitions: Partitions, way: _Way) -> dg.AssetsDefinition:
    name, settings = f"warmup_checkpoint{way.suffix}", profile.less.model_copy(update={"training": way.training})

    @platform_asset(
        key=[name],
        description="LoRA adapters and Adam's moments after each epoch of a training on a random sample of the pool"
        f"{', as the published script trains' if way.suffix else ''}.",
        partitions=partitions.scorings,
        deps=partitions.pool_and_model(),
        group="models",
        kinds={"pytorch", "huggingface"},
        settings={"less": only(settings, "warmup_samples", "seed", "training")},
        rendered=profile.text_of_scoring,
        gpu=True,
        sql=["36_influence/random_samples"],
        by=["fine_tuning"],
        folder=lambda artifacts, key: artifacts.warmup_checkpoint(key, name),
    )
    def warmup_checkpoint(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.training.fine_tuning import FINE_TUNING, FineTuningSpec

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.warmup_checkpoint(scoring.key, name)
        samples = folder.with_name(f"{folder.name}.samples.parquet")
        draw = {"pool": scoring.pool, "seed": f"warmup/{settings.seed}", "limit": settings.warmup_samples}
        warehouse.export(conversations_sql(warehouse, "36_influence/random_samples", draw), samples, draw)
        spec = FineTuningSpec(
            base_model_folder=str(artifacts.base_model(scoring.model)),
            train_file=str(samples),
            recipe=way.training,
            text=profile.text_of(scoring.model),
            seed=settings.seed,
            keep_epochs=True,
        )
        return model_result(jobs.run(context, FINE_TUNING, spec, folder), folder)

    return warmup_checkpoint


def _gradient_influence(profile: Profile, partitions: Partitions, way: _Way) -> dg.AssetsDefinition:
    name, settings, table = f"gradient_influence{way.suffix}", profile.less, "features.gradient_influence"

    @platform_asset(
        key=[name],
        description="How much a training step on each sample would help on the targets"
        f"{', as the published scripts measure it' if way.suffix else ''}. Table `{table}`.",
        partitions=partitions.scorings,
        deps=[
            f"warmup_checkpoint{way.suffix}",
            dg.AssetDep("pool", partition_mapping=partitions.pools_to_scorings()),
        ],
        checks=[COMPLETENESS, TRUNCATION],
        group="features",
        kinds={"pytorch", "duckdb"},
        settings={
            "dtype": profile.dtype,
            "scoring": without(way.scoring, "tokens_per_batch"),
            "less": only(settings, "targets", "target_samples", "seed", "tokens_per_batch"),
            "directions": way.directions,
        },
        rendered=profile.text_of_scoring,
        gpu=True,
        sql=["30_features/samples_to_score", "36_influence/random_samples"],
        by=["gradient_influence"],
    )
    def gradient_influence(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.methods.less.gradient_influence import GRADIENT_INFLUENCE, InfluenceSpec

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key)
        spec = InfluenceSpec(
            warmup_folder=str(artifacts.warmup_checkpoint(scoring.key, f"warmup_checkpoint{way.suffix}")),
            samples_file=str(samples_file(scoring.pool, folder, warehouse)),
            targets_file=str(_targets(profile, scoring.pool, folder, warehouse)),
            directions=way.directions,
            # A backward pass takes more memory than the passes of the other methods.
            scoring=way.scoring.model_copy(update={"tokens_per_batch": settings.tokens_per_batch}),
            dtype=profile.dtype,
            text=profile.text_of(scoring.model),
        )
        summary = jobs.run(context, GRADIENT_INFLUENCE, spec, folder / name)
        rows, checks = 0, [truncation_result(summary.cut_prompts, summary.truncated, summary.samples)]
        for direction in way.directions:
            partition = {"pool": scoring.pool, "model": scoring.model, "direction": direction}
            complete = Completeness(table, partition, summary.epochs * summary.targets)
            values = {"files": shard_files(folder / name), "of_direction": direction}
            query = load_sql("30_features/gradient_influence")
            rows += warehouse.replace(table, partition, query, values, complete.verify)
            # An incomplete direction raises an error, so one result is enough for all.
            checks[1:] = [complete.result()]
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": table,
                "dagster/partition_row_count": rows,
                **window_metadata(summary.cut_prompts, summary.truncated, summary.prompt_fills_context),
                "seconds": summary.seconds,
                "peak memory, bytes": summary.peak_memory_bytes,
            },
            check_results=checks,
            data_version=dg.DataVersion(job_content_hash(folder / name)),
        )

    return gradient_influence


def _targets(profile: Profile, pool: str, folder: Path, warehouse: Warehouse) -> Path:
    """Write the targets, whose gradients the samples' gradients are compared with, to a file."""
    path, settings = folder / "targets.parquet", profile.less
    if settings.targets == "pool":
        draw = {"pool": pool, "seed": f"targets/{settings.seed}", "limit": settings.target_samples}
        warehouse.export(conversations_sql(warehouse, "36_influence/random_samples", draw), path, draw)
        return path
    from selection_platform.evaluation.worked_examples import worked_examples, write_targets

    groups = {name: group for benchmark in settings.targets for name, group in worked_examples(benchmark).items()}
    write_targets(groups, path)
    return path
