"""Checkpoints: each experiment's fine-tuned model."""

from functools import partial

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import FINAL_LOSS, final_loss_result
from assets.record.metadata import model_result
from assets.record.recipes import model_folder
from assets.record.settings_used import Used, text_used
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.job.folder import read_manifest


def checkpoint_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @platform_asset(
        partitions=partitions.trained_experiments,
        deps=[
            dg.AssetDep("selection", partition_mapping=partitions.selections_to_checkpoints()),
            dg.AssetDep("pool", partition_mapping=partitions.pools_to_checkpoints()),
            dg.AssetDep("base_model", partition_mapping=partitions.models_to_checkpoints()),
        ],
        checks=[FINAL_LOSS],
        group="checkpoints",
        kinds={"pytorch", "huggingface"},
        settings=partial(_settings, profile),
        gpu=True,
        sql=["50_selections/training_samples"],
        by=["fine_tuning"],
        folder=lambda artifacts, key: artifacts.checkpoint(key) if profile.experiments[key].pool else None,
    )
    def checkpoint(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """The base model fine-tuned on the selection. The `base` arm is the base model itself, and trains nothing."""
        from selection_platform.training.fine_tuning import FINE_TUNING, FineTuningSpec

        experiment = profile.experiments[context.partition_key]
        folder = model_folder(experiment, artifacts)
        if experiment.pool is None:
            manifest = read_manifest(folder) or {}
        else:
            samples = folder.with_name(f"{folder.name}.samples.parquet")
            values = {"experiment": experiment.key, "pool": experiment.pool}
            warehouse.export(conversations_sql(warehouse, "50_selections/training_samples", values), samples, values)
            spec = FineTuningSpec(
                base_model_folder=str(artifacts.base_model(experiment.base_model)),
                train_file=str(samples),
                recipe=profile.fine_tuning,
                text=profile.text_of(experiment.base_model),
                seed=experiment.seed,
            )
            manifest = jobs.run(context, FINE_TUNING, spec, folder)
        return model_result(manifest, folder)._replace(check_results=[final_loss_result(manifest)])

    return [checkpoint]


def _settings(profile: Profile, key: str) -> Used:
    experiment = profile.experiments[key]
    # The base arm trains nothing.
    if experiment.pool is None:
        return {}
    return {**text_used(profile.text_of(experiment.model)), "fine_tuning": profile.fine_tuning}
