"""Base models, which score samples and are fine-tuned by every arm."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.metadata import model_result
from assets.record.settings_used import Used, text_used, trained_in, without
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.checks import adapters, check_positions
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import ModelSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.evaluation.spec import check_engine
from selection_platform.job.folder import file_hash, look_of
from selection_platform.models.files import MODEL_FILES, model_files
from sql.queries import load_sql

CHAT_TEMPLATE_FILE = "chat_template.jinja"


def model_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @platform_asset(
        partitions=partitions.models,
        deps=[dg.AssetDep("pool", partition_mapping=partitions.pools_to_pretrained_models())],
        group="models",
        kinds={"pytorch", "huggingface"},
        settings=partial(_settings, profile),
        gpu=True,
        sql=["20_models/pretraining_conversations"],
        by=["pretraining"],
        folder=ArtifactStore.base_model,
    )
    def base_model(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """Weights and tokenizer of a base model, at a fixed revision.

        It comes from a folder, a hub or an installed package, or is pre-trained here on rows that the pools set aside.
        """
        from selection_platform.models.look import positions_of
        from selection_platform.models.lora_targets import lora_targets
        from selection_platform.models.renderers import load_renderer

        settings = profile.models[context.partition_key]
        folder = artifacts.base_model(context.partition_key)
        if settings.pretraining is not None:
            from selection_platform.training.pretraining import PRETRAINING, PretrainingSpec

            conversations = folder.with_name(f"{folder.name}.conversations.parquet")
            warehouse.export(load_sql("20_models/pretraining_conversations"), conversations)
            spec = PretrainingSpec(
                train_file=str(conversations), pretraining=settings.pretraining, precision=profile.dtype
            )
            manifest = jobs.run(context, PRETRAINING, spec, folder)
        else:
            manifest = _ready_made(settings, folder)
        positions = positions_of(folder)
        if positions is not None:
            check_positions(profile, context.partition_key, positions)
        if any(each.model == context.partition_key for each in profile.trained_experiments.values()):
            check_engine(profile.evaluation, folder)
        for lora in adapters(profile, context.partition_key):
            lora_targets(folder, lora)
        text = profile.text_of(context.partition_key)
        renderer = load_renderer(folder, text)
        result = model_result({**manifest, "template": renderer.name, "stops at": str(renderer.ends)}, folder)
        own = folder / CHAT_TEMPLATE_FILE
        if own.exists() and result.data_version is not None:
            version = f"{result.data_version.value}-{file_hash(own)[:16]}"
            result = result._replace(data_version=dg.DataVersion(version))
        return result

    return [base_model]


def _settings(profile: Profile, model: str) -> Used:
    settings = profile.models[model]
    # Pre-training here reads conversations, in the paper's text.
    used: dict[str, Any] = {**text_used(PAPER), **trained_in(profile)} if settings.pretraining else {}
    if settings.folder is not None:
        # The content of the folder, not its path.
        used |= {f"models.{model}.path": look_of(model_files(settings.folder))}
    if settings.hub is not None:
        # Which files of the hub are used.
        used |= {f"models.{model}.files": list(MODEL_FILES)}
    return {**used, f"models.{model}": without(settings, "fine_tune", "path", "text")}


def _ready_made(settings: ModelSettings, folder: Path) -> dict[str, Any]:
    """Fetch or convert an existing model, and return its manifest."""
    from selection_platform.models.base_model import PACKAGED_MODELS, HubModel, convert_packaged, copy_model, download

    if settings.folder is not None:
        return copy_model(settings.folder, folder)
    if settings.hub is not None:
        return download(HubModel(settings.hub, settings.revision or ""), folder)
    assert settings.package is not None
    return convert_packaged(PACKAGED_MODELS[settings.package], folder)
