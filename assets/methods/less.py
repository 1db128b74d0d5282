"""LESS: a warm-up on a sample of the pool, and the similarity of each sample's gradients to those of the targets."""

from collections.abc import Sequence
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
from assets.record.score_table import replace_scores, score_asset, scored_partition, sql_score
from assets.record.settings_used import only, trained_in, without
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.method_settings import PUBLISHED_LESS_WEIGHTS, WarmUpSettings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import ScoringSettings
from selection_platform.experiments.keys import PoolTargets
from selection_platform.experiments.methods import DEFAULT_TARGETS, name_for_targets
from selection_platform.job.shards import shard_files
from selection_platform.job.versions import logits_in
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
    methods = profile.methods
    with_twin = any(methods[name].without_targets == "less.published" for name in profile.arms)
    if (theirs.training, theirs.scoring) == (training, scoring):
        # One pass gives both directions.
        directions = (*ours.directions, *theirs.directions)
        ways = [ours._replace(directions=directions if with_twin else ours.directions)]
    return [
        *(_warmup_checkpoint(profile, partitions, way) for way in ways),
        *(asset for targets in profile.target_sets for asset in _for_targets(profile, partitions, ways, targets)),
    ]


def _for_targets(
    profile: Profile, partitions: Partitions, ways: Sequence[_Way], targets: str
) -> list[dg.AssetsDefinition]:
    """What is made once for each target set."""
    score = partial(sql_score, profile, partitions, statement="less")
    ours, theirs = (name_for_targets(f"gradient_influence{way.suffix}", targets) for way in (ways[0], ways[-1]))
    return [
        *(_gradient_influence(profile, partitions, way, targets) for way in ways),
        score(name_for_targets("less", targets), deps=[ours], direction=_direction("adam", targets), weights=None),
        score(
            name_for_targets("less.published", targets),
            deps=[theirs],
            direction=_direction("published", targets),
            weights=list(PUBLISHED_LESS_WEIGHTS),
        ),
        _in_turns(profile, partitions, targets, ours),
    ]


def _direction(direction: str, targets: str) -> str:
    """The value of the table's column `direction` for a target set."""
    return direction if targets == DEFAULT_TARGETS else f"{direction}/{targets}"


def _in_turns(profile: Profile, partitions: Partitions, targets: str, influence: str) -> dg.AssetsDefinition:
    method = name_for_targets("less.round_robin", targets)

    @score_asset(
        profile,
        partitions,
        method,
        partitions.scorings_to_scored(method, influence),
        {"python", "duckdb"},
        settings={"budgets": max(profile.budgets)},
        sql=["36_influence/by_group", "40_scores/in_turns"],
        by=["round_robin"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.round_robin import write_picks

        partition = scored_partition(profile, method, context.partition_key)
        pool = partition["pool"] or ""
        of = {**partition, "features_pool": profile.whole_pool(pool), "direction": _direction("adam", targets)}
        groups = warehouse.query(load_sql("36_influence/by_group"), of).partition_by("target", maintain_order=True)
        ranked = [(group["sample_id"].to_list(), group["influence"].to_numpy()) for group in groups]
        picks = artifacts.picks(method, context.partition_key) / "picks.parquet"
        write_picks(ranked, max(profile.budgets), picks)
        values = {"pool": pool, "picks": picks}
        result = replace_scores(warehouse, profile.methods[method], partition, "in_turns", values)
        picks.unlink()
        return result

    return scores


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
        settings={"less": only(settings, "warmup_samples", "seed", "training"), **trained_in(profile)},
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
            precision=profile.dtype,
            keep_epochs=True,
        )
        return model_result(jobs.run(context, FINE_TUNING, spec, folder), folder)

    return warmup_checkpoint


def _gradient_influence(profile: Profile, partitions: Partitions, way: _Way, targets: str) -> dg.AssetsDefinition:
    name, table = name_for_targets(f"gradient_influence{way.suffix}", targets), "features.gradient_influence"
    settings, own = profile.less, profile.targets is None
    # Where LESS's own settings name the targets, it draws them itself, as before there were others.
    of_targets = ("targets", "target_samples", "seed") if own else ()

    @platform_asset(
        key=[name],
        description="How much a training step on each sample would help on the targets"
        f"{', as the published scripts measure it' if way.suffix else ''}. Table `{table}`.",
        partitions=partitions.scorings,
        deps=[
            f"warmup_checkpoint{way.suffix}",
            dg.AssetDep("pool", partition_mapping=partitions.pools_to_scorings()),
            *([] if own else [partitions.targets_to_scorings(targets)]),
        ],
        checks=[COMPLETENESS, TRUNCATION],
        group="features",
        kinds={"pytorch", "duckdb"},
        settings={
            "dtype": profile.dtype,
            **logits_in(profile.dtype),
            "scoring": without(way.scoring, "tokens_per_batch"),
            "less": only(settings, *of_targets, "tokens_per_batch"),
            "directions": way.directions,
        },
        rendered=profile.text_of_scoring,
        gpu=True,
        sql=["30_features/samples_to_score", f"36_influence/{'random_samples' if own else 'targets'}"],
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
            targets_file=str(_targets(profile, PoolTargets(scoring.pool, targets), folder, warehouse)),
            directions=way.directions,
            # A backward pass takes more memory than the passes of the other methods.
            scoring=way.scoring.model_copy(update={"tokens_per_batch": settings.tokens_per_batch}),
            dtype=profile.dtype,
            text=profile.text_of(scoring.model),
        )
        summary = jobs.run(context, GRADIENT_INFLUENCE, spec, folder / name)
        rows, checks = 0, [truncation_result(summary.cut_prompts, summary.truncated, summary.samples)]
        for direction in way.directions:
            partition = {"pool": scoring.pool, "model": scoring.model, "direction": _direction(direction, targets)}
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


def _targets(profile: Profile, of: PoolTargets, folder: Path, warehouse: Warehouse) -> Path:
    """Write the targets, whose gradients the samples' gradients are compared with, to a file."""
    path, settings = folder / f"{name_for_targets('targets', of.targets)}.parquet", profile.less
    if profile.targets is not None:
        values = {"pool": of.pool, "targets": of.targets}
        warehouse.export(load_sql("36_influence/targets"), path, values)
        return path
    if settings.targets == "pool":
        draw = {"pool": of.pool, "seed": f"targets/{settings.seed}", "limit": settings.target_samples}
        warehouse.export(conversations_sql(warehouse, "36_influence/random_samples", draw), path, draw)
        return path
    from selection_platform.evaluation.worked_examples import worked_examples, write_targets

    groups = {name: group for benchmark in settings.targets for name, group in worked_examples(benchmark).items()}
    write_targets(groups, path)
    return path
