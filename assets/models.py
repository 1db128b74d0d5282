"""Base models: what every arm is fine-tuned from, and what scores the samples."""

import dagster as dg

from assets.partitions import Partitions
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.profile import Profile
from selection_platform.queries import load_sql


def model_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @dg.asset(
        partitions_def=partitions.models,
        deps=[dg.AssetDep("pool", partition_mapping=partitions.pools_to_pretrained_models())],
        group_name="models",
        kinds={"pytorch", "huggingface"},
        owners=["team:selection"],
        code_version="1",
        pool="gpu",
    )
    def base_model(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """Weights and tokenizer of a base model, at a fixed revision.

        From a hub, from an installed package, or pre-trained here on the rows that the pools set aside for it.
        """
        from selection_platform.models.base_model import PACKAGED_MODELS, HubModel, make_base_model
        from selection_platform.training.pretraining import PretrainingSpec

        settings = profile.models[context.partition_key]
        folder = artifacts.base_model(context.partition_key)
        if settings.hub is not None:
            source = HubModel(settings.hub, settings.revision or "")
        elif settings.package is not None:
            source = PACKAGED_MODELS[settings.package]
        else:
            assert settings.pretraining is not None
            conversations = folder.with_name(f"{folder.name}.conversations.parquet")
            warehouse.export(load_sql("20_models/pretraining_conversations"), conversations)
            source = PretrainingSpec(str(conversations), **settings.pretraining.model_dump())
        manifest = make_base_model(source, folder)
        shown = {key: value for key, value in manifest.items() if isinstance(value, int | float | str)}
        return dg.MaterializeResult(
            metadata={**shown, "folder": dg.MetadataValue.path(folder)},
            data_version=dg.DataVersion(manifest["weights_hash"]),
        )

    return [base_model]
