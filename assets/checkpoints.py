"""Checkpoints: each experiment's fine-tuned model."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import FINAL_LOSS, TRAINED_SAMPLES, final_loss_result, trained_samples_result
from assets.record.metadata import markdown_links, model_result, partition_link
from assets.record.recipes import model_folder
from assets.record.settings_used import Used, text_used, trained_in, without
from assets.selections import CONTENT
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.elsewhere_settings import ElsewhereSettings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.job.folder import look_of, read_manifest
from selection_platform.models.files import checkpoint_files
from sql.queries import load_sql


def checkpoint_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @platform_asset(
        partitions=partitions.trained_experiments,
        deps=[
            dg.AssetDep("selection", partition_mapping=partitions.selections_to_checkpoints()),
            dg.AssetDep("pool", partition_mapping=partitions.pools_to_checkpoints()),
            dg.AssetDep("base_model", partition_mapping=partitions.models_to_checkpoints()),
        ],
        checks=[FINAL_LOSS, TRAINED_SAMPLES],
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
        """The base model fine-tuned on the selection. The `base` arm is the base model itself, and trains nothing.

        A model that was trained elsewhere (`trained_elsewhere` in the profile) is copied and checked. Only trainings
        of the platform have a row in the table `experiments.training`.
        """
        from selection_platform.training.fine_tuning import FINE_TUNING, FineTuningSpec

        experiment = profile.experiments[context.partition_key]
        folder = model_folder(experiment, artifacts)
        elsewhere = profile.trained_elsewhere.get(experiment.key)
        of_experiment = {"experiment": experiment.key}
        if experiment.pool is None:
            manifest = read_manifest(folder) or {}
        elif elsewhere is not None:
            manifest = _registered(elsewhere, experiment, profile.text_of(experiment.model), artifacts, warehouse)
            no_rows = "SELECT * EXCLUDE (experiment) FROM experiments.training WHERE false"
            warehouse.replace("experiments.training", of_experiment, no_rows)
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
                precision=profile.dtype,
            )
            manifest = jobs.run(context, FINE_TUNING, spec, folder)
            facts = training_facts(manifest, profile.fine_tuning.epochs)
            warehouse.replace("experiments.training", of_experiment, load_sql("55_checkpoints/training"), facts)
        checks = [final_loss_result(manifest), trained_samples_result(manifest)]
        result = model_result(manifest, folder)
        metadata = {"made from": markdown_links(_made_from(partitions, experiment)), **(result.metadata or {})}
        return result._replace(metadata=metadata, check_results=checks)

    return [checkpoint]


def _made_from(partitions: Partitions, experiment: Experiment) -> list[str]:
    """Links to the inputs of an experiment, with the scores first."""
    scores = partitions.scores_of_experiment(experiment)
    return [
        *([] if scores is None else [partition_link(f"scores/{experiment.method}", scores)]),
        partition_link("selection", experiment.key),
        *([] if experiment.model is None else [partition_link("base_model", experiment.model)]),
    ]


def training_facts(manifest: Mapping[str, Any], epochs: int) -> dict[str, int | None]:
    """The parameters of `55_checkpoints/training`, from a training's manifest, whose tokens are over all epochs."""
    return {
        "trained": manifest["rows"],
        "cut": manifest["truncated_rows"],
        "dropped": manifest["dropped_rows"],
        "answer_tokens": manifest["answer_tokens_trained"] // epochs,
        "answer_tokens_cut": manifest.get("answer_tokens_cut"),
    }


def _settings(profile: Profile, key: str) -> Used:
    experiment = profile.experiments[key]
    # The base arm trains nothing.
    if experiment.pool is None:
        return {}
    elsewhere = profile.trained_elsewhere.get(key)
    text = text_used(profile.text_of(experiment.model))
    if elsewhere is None:
        return {**text, **trained_in(profile), "fine_tuning": profile.fine_tuning}
    # The content of the folder, not its path.
    look = {} if elsewhere.folder is None else {"trained_elsewhere.path": look_of(checkpoint_files(elsewhere.folder))}
    return {**text, **look, "trained_elsewhere": without(elsewhere, "path")}


def _registered(
    elsewhere: ElsewhereSettings,
    experiment: Experiment,
    text: TextSettings,
    artifacts: ArtifactStore,
    warehouse: Warehouse,
) -> dict[str, Any]:
    """Copy a checkpoint that was trained elsewhere, and return its manifest."""
    from selection_platform.models.base_model import HubModel, fetch_snapshot
    from selection_platform.models.trained_elsewhere import register

    selection = warehouse.content_hash("selections.samples", {"experiment": experiment.key}, CONTENT)
    if elsewhere.selection not in (None, selection):
        raise PlatformError(
            f"trained_elsewhere.{experiment.key}: it was trained on the selection {elsewhere.selection}, but the "
            f"experiment now selects {selection}; export that, train on it, and name the new checkpoint"
        )
    if elsewhere.folder is not None:
        source, origin = elsewhere.folder, {"source": "folder", "name": elsewhere.folder.resolve().name}
    else:
        hub = HubModel(elsewhere.hub or "", elsewhere.revision or "")
        source = fetch_snapshot(hub)
        origin = {"source": "hub", "model_id": hub.model_id, "commit": source.name}
    base = artifacts.base_model(experiment.base_model)
    return register(source, origin, base, text, artifacts.checkpoint(experiment.key))
