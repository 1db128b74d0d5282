"""Benchmarks: the evaluation of each experiment's model."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.keys import CHECKPOINT
from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import TEMPLATE, template_result
from assets.record.provenance import input_name, texts
from assets.record.recipes import model_folder
from assets.record.reuse import forced
from assets.record.settings_used import Used, only
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.job_launcher import JobLauncher
from resources.replacement import Replacement
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.evaluation.engine_names import TRANSFORMERS
from selection_platform.evaluation.own_benchmarks import content_of, hub_benchmarks
from selection_platform.evaluation.spec import computations, logits_read
from selection_platform.experiments.keys import Experiment
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.evaluation.spec import EvaluationSpec


def benchmark_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @platform_asset(
        partitions=partitions.hub_benchmarks,
        group="benchmarks",
        kinds={"huggingface"},
        settings=lambda name: _asked(profile, name),
        by=["task_dataset"],
        folder=ArtifactStore.task_dataset,
    )
    def task_dataset(context: dg.AssetExecutionContext, artifacts: ArtifactStore) -> dg.MaterializeResult:
        """The datasets that a benchmark's lm-eval tasks read, at a commit of the hub: evaluation needs no network."""
        from selection_platform.evaluation.fetch_datasets import fetch

        name = context.partition_key
        folder = artifacts.task_dataset(name)
        manifest = fetch(name, profile.evaluation.benchmarks[name], folder, newest=forced(context) == "all")
        found = manifest["datasets"]
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": sum(rows for each in found for rows in each["rows"].values()),
                "datasets": dg.MetadataValue.json(found),
                "folder": dg.MetadataValue.path(folder),
            },
            data_version=dg.DataVersion(manifest["content_hash"]),
        )

    fetched = dg.AssetDep("task_dataset", partition_mapping=dg.AllPartitionMapping())
    reads_hub = bool(partitions.hub_benchmarks.get_partition_keys())

    @platform_asset(
        partitions=partitions.trained_experiments,
        deps=[
            "checkpoint",
            "benchmark_data",
            dg.AssetDep("pool", partition_mapping=dg.AllPartitionMapping()),
            *([fetched] if reads_hub else []),
        ],
        checks=[TEMPLATE],
        group="benchmarks",
        kinds={"pytorch", "duckdb"},
        settings=lambda _: _settings(profile),
        rendered=lambda key: profile.text_of(profile.experiments[key].model),
        gpu=True,
        sql=["70_benchmarks/held_out_samples"],
        by=computations(profile.evaluation),
    )
    def benchmark_result(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """The model's answers to the benchmarks' items, and its loss on the pools' held-out conversations.

        Tables `benchmarks.results` and `benchmarks.items`.
        """
        from selection_platform.evaluation.harness import EVALUATION

        # Checked before the evaluation: results with another template cannot be compared.
        checkpoint = input_name(CHECKPOINT, context.partition_key)
        experiment = profile.experiments[context.partition_key]
        now = profile.text_of(experiment.base_model)
        template = template_result(texts(context, [checkpoint], now, profile.keys_of(experiment.base_model)))
        folder = artifacts.benchmark_result(experiment.key)
        manifest = jobs.run(context, EVALUATION, evaluation_spec(profile, experiment, artifacts, warehouse), folder)
        partition = {"experiment": experiment.key}
        warehouse.replace_together(
            *(
                Replacement.of_parquet(f"benchmarks.{table}", partition, [folder / f"{table}.parquet"])
                for table in ("results", "items")
            )
        )
        results = warehouse.query(load_sql("70_benchmarks/results_of_experiment"), partition)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "benchmarks.results",
                **{f"{row['benchmark']} {row['metric']}": row["value"] for row in results.to_dicts()},
                "lm-eval": manifest["lm_eval"],
                # Results of earlier versions name none.
                **{name: manifest[name] for name in ("engine", "agreement") if name in manifest},
                "left out": manifest["left_out"],
            },
            check_results=[template],
            data_version=_version(
                [warehouse.content_hash(f"benchmarks.{table}", partition) for table in ("results", "items")], manifest
            ),
        )

    return [*([task_dataset] if reads_hub else []), benchmark_result]


def _asked(profile: Profile, name: str) -> Used:
    """What decides which datasets a benchmark's tasks ask for. Another lm-eval may ask for others."""
    benchmark = profile.evaluation.benchmarks[name]
    return {
        f"evaluation.benchmarks.{name}": only(benchmark, "task"),
        "lm_eval": version("lm_eval"),
        **_contents(profile, [name]),
    }


def _version(hashes: list[str], manifest: Mapping[str, Any]) -> dg.DataVersion:
    """The version of a result: what its tables hold, and vLLM if it answered, since reports say who did."""
    engine = manifest.get("engine", TRANSFORMERS)
    return dg.DataVersion("-".join([*hashes, *([] if engine.startswith(TRANSFORMERS) else [engine])]))


def _settings(profile: Profile) -> Used:
    return {
        "dtype": profile.dtype,
        **logits_read(
            profile.evaluation, profile.dtype, held_out=any(each.held_out for each in profile.pools.values())
        ),
        "evaluation": profile.evaluation,
        **_contents(profile, profile.evaluation.benchmarks),
        "scoring": only(profile.scoring, "tokens_per_batch"),
        "fine_tuning": only(profile.fine_tuning, "max_length"),
    }


def _contents(profile: Profile, benchmarks: Iterable[str]) -> Used:
    """What lies in the files of benchmarks, and not only where they lie. What is not there is told before the run."""
    named = {name: profile.evaluation.benchmarks[name].path for name in benchmarks}
    files = {name: path for name, path in named.items() if path is not None}
    contents = {name: content_of(name, path)[:32] if path.is_file() else "missing" for name, path in files.items()}
    return {"evaluation.files": contents} if contents else {}


def evaluation_spec(
    profile: Profile, experiment: Experiment, artifacts: ArtifactStore, warehouse: Warehouse
) -> "EvaluationSpec":
    """The spec of an experiment's evaluation. Writes the held-out conversations to the files that it names."""
    from selection_platform.evaluation.spec import EvaluationSpec

    settings = profile.evaluation
    held_out = {pool: artifacts.held_out(pool) for pool in profile.pools if profile.pools[pool].held_out}
    for pool, file in held_out.items():
        values = {"pool": pool, "limit": settings.held_out_limit}
        warehouse.export(conversations_sql(warehouse, "70_benchmarks/held_out_samples", values), file, values)
    return EvaluationSpec(
        model_folder=str(model_folder(experiment, artifacts)),
        data_folder=str(artifacts.benchmark_data()),
        evaluation=settings,
        files={name: str(each.path) for name, each in settings.benchmarks.items() if each.path is not None},
        datasets={name: str(artifacts.task_dataset(name)) for name in hub_benchmarks(settings)},
        held_out={pool: str(file) for pool, file in held_out.items()},
        dtype=profile.dtype,
        text=profile.text_of(experiment.base_model),
        tokens_per_batch=profile.scoring.tokens_per_batch,
        max_length=profile.fine_tuning.max_length,
    )
