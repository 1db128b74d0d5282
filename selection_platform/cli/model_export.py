"""`export --model`: writes an experiment's model, and a model card from the records of its training."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection_platform.cli.shared import trained_experiment
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.job.folder import read_manifest
from selection_platform.job.integrity import check_files
from selection_platform.models.files import TRAINED_ELSEWHERE

if TYPE_CHECKING:
    from assets.record.provenance import Provenance
    from orchestration.workspace import Workspace
    from selection_platform.report.model_card import ModelCard

COUNTS = ("rows", "tokens_trained", "answer_tokens_trained", "steps", "final_loss", "precision", "devices")
"""Keys of a training's manifest for the card, besides the recipe."""
ORIGIN = ("source", "model_id", "commit", "name", "package", "version", "file", "parameters", "weights_hash", "licence")
"""Keys of a base model's manifest for its origin."""


def write_model(profile: Profile, key: str, folder: Path, *, adapter: bool) -> None:
    """Write an experiment's model to a folder, and print the paths of its files.

    Args:
        profile: the profile of the experiment.
        key: key of the experiment.
        folder: the folder to write to; an earlier export in it is replaced.
        adapter: write only the adapter.

    Raises:
        PlatformError: the experiment or its model does not exist, or the folder has other files.
    """
    from orchestration.workspace import open_workspace
    from selection_platform.models.exported import ModelExport, check_model_place, export_model
    from selection_platform.report.model_card import model_card

    experiment = trained_experiment(profile, key)
    check_model_place(folder)
    with open_workspace(profile) as workspace:
        trained = _TrainedModel.of(workspace, experiment)
        origin = trained.origin
        export = ModelExport(
            source=trained.folder,
            dtype=profile.dtype,
            text=profile.text_of(experiment.model),
            trained=experiment.pool is not None,
            adapter=adapter,
            base_name=origin.get("model_id") or experiment.base_model,
            base_revision=origin.get("commit"),
        )
        written = export_model(
            export,
            folder,
            card=lambda files: model_card(_card(workspace, trained, adapter, files)),
            tell=lambda text: print(f"    {text}", file=sys.stderr, flush=True),
        )
    for path in written:
        print(path)


@dataclass(frozen=True)
class _TrainedModel:
    """An experiment's model, and the record of its training.

    Attributes:
        experiment: the experiment.
        folder: the model's folder.
        manifest: the manifest of that folder.
        checkpoint: the record of the checkpoint. The checkpoint of the `base` arm is the base model itself.
        origin: the origin of the base model, as far as it is known.
    """

    experiment: Experiment
    folder: Path
    manifest: Mapping[str, Any]
    checkpoint: "Provenance"
    origin: Mapping[str, Any]

    @classmethod
    def of(cls, workspace: "Workspace", experiment: Experiment) -> "_TrainedModel":
        """The model of an experiment.

        Raises:
            PlatformError: it does not exist yet, its weights were dropped, or it is not what was written.
        """
        from assets.keys import CHECKPOINT
        from assets.record.recipes import model_folder
        from selection_platform.models.dropped_weights import weights_dropped

        artifacts = workspace.resources.artifacts
        folder = model_folder(experiment, artifacts)
        manifest, checkpoint = read_manifest(folder), workspace.staleness.provenance(CHECKPOINT, experiment.key)
        if manifest is None or checkpoint is None:
            raise PlatformError(
                f"{experiment.key} has no model yet: run `selection-platform refresh {experiment.key}` first"
            )
        if weights_dropped(folder):
            raise PlatformError(
                f"the weights of {experiment.key} were deleted after its evaluation "
                f"(`checkpoints: keep` in the profile); "
                f"train them again with `selection-platform refresh {experiment.key} --rebuild`"
            )
        check_files(folder)
        base = read_manifest(artifacts.base_model(experiment.base_model)) or {}
        return cls(experiment, folder, manifest, checkpoint, {name: base[name] for name in ORIGIN if base.get(name)})


def _card(workspace: "Workspace", trained: _TrainedModel, adapter: bool, written: Path) -> "ModelCard":
    from assets.keys import BENCHMARK_RESULT, CHECKPOINT
    from assets.record.provenance import input_name
    from selection_platform.report.model_card import ModelCard
    from sql.queries import load_sql

    experiment, warehouse = trained.experiment, workspace.resources.warehouse
    result = workspace.staleness.provenance(BENCHMARK_RESULT, experiment.key)
    # Results of an earlier checkpoint are of another model.
    of_model = result and result.inputs.get(input_name(CHECKPOINT, experiment.key)) == trained.checkpoint.data_version
    values = {"experiment": experiment.key}
    rows = warehouse.query(load_sql("60_export/results"), values)
    licences = warehouse.query(load_sql("60_export/licences"), {**values, "pool": experiment.pool})
    return ModelCard(
        experiment=experiment.key,
        hub_id=trained.origin.get("model_id"),
        adapter=adapter,
        base={"name": experiment.base_model, **{_words(name): value for name, value in trained.origin.items()}},
        selection=_selection(workspace.profile, trained) if experiment.pool else {},
        recipe=_recipe(trained) if experiment.pool else {},
        made=_versions(workspace.profile, trained),
        use=_use(trained, workspace.profile.text_of(experiment.model), adapter, written),
        results=rows if of_model else rows.clear(),
        verdict=_verdict(workspace, trained, bool(of_model)),
        licences=licences,
        disclaimer=workspace.profile.disclaimer,
    )


def _selection(profile: Profile, trained: _TrainedModel) -> dict[str, Any]:
    from assets.keys import SELECTION
    from assets.record.provenance import input_name

    experiment = trained.experiment
    selection = trained.checkpoint.inputs.get(input_name(SELECTION, experiment.key))
    if TRAINED_ELSEWHERE in trained.manifest and trained.checkpoint.settings.get("trained_elsewhere.selection") is None:
        selection = f"{selection} in the experiment; not stated for the training"
    return {
        "method": f"{experiment.method}: {profile.methods[experiment.method].summary}",
        "pool": experiment.selects_from,
        "budget": "all" if experiment.budget is None else f"{experiment.budget:,}",
        "seed": experiment.seed,
        "hash": selection,
    }


def _recipe(trained: _TrainedModel) -> dict[str, Any]:
    """The recipe of its training, which may differ from the profile's current one."""
    if TRAINED_ELSEWHERE in trained.manifest:
        where = f"elsewhere, by a recipe that is not known here: {trained.manifest[TRAINED_ELSEWHERE]}"
        return {"trained": where, "weights hash": trained.manifest["weights_hash"]}
    recipe = dict(trained.manifest.get("spec", {}).get("recipe", {}))
    lora = recipe.pop("lora", None)
    return {
        **{_words(name): value for name, value in recipe.items()},
        "adapter": "none: full fine-tuning" if lora is None else ", ".join(f"{key} {lora[key]}" for key in lora),
        **{_words(name): trained.manifest.get(name) for name in COUNTS},
        "weights hash": trained.manifest.get("weights_hash"),
    }


def _versions(profile: Profile, trained: _TrainedModel) -> dict[str, Any]:
    settings = trained.checkpoint.settings
    return {
        "profile": profile.name,
        "template": trained.manifest.get("template_hash") or settings.get("template"),
        "number type of the weights": profile.dtype,
        "warehouse snapshot": trained.checkpoint.snapshot,
        **trained.checkpoint.packages,
        "exported by": f"selection-platform {version('selection-platform')}",
    }


def _use(trained: _TrainedModel, text: TextSettings, adapter: bool, written: Path) -> list[str]:
    """How to use the model so that it answers as in the evaluation."""
    from selection_platform.models.exported import PROBES, other_prompt_ids
    from selection_platform.models.renderers import load_renderer

    base = trained.origin.get("model_id") or trained.experiment.base_model
    load = (
        f"This is an adapter of {base}: load that model, and this folder with peft."
        if adapter
        else "Load it with transformers or vLLM."
    )
    other = other_prompt_ids(written, text)
    prompts = (
        f"On all {len(PROBES)} probes, the chat template gives the same token ids as the evaluation."
        if not other
        else "The chat template gives the same token ids as the evaluation, except for prompts with "
        f"{', '.join(other)}: there the evaluation tokenises each message separately."
    )
    next_turn = load_renderer(written, text).next_turn
    stop = f" The evaluation also ends it before {next_turn!r}: give that as a stop string." if next_turn else ""
    return [
        f"{load} {prompts}",
        "It was evaluated with greedy decoding: use temperature 0. An answer ends with the tokens that "
        f"generation_config.json names.{stop}",
    ]


def _verdict(workspace: "Workspace", trained: _TrainedModel, of_model: bool) -> Any:
    """The comparison of these results with random selection."""
    import dagster as dg

    from assets.keys import BENCHMARK_RESULT
    from assets.record.provenance import input_name
    from sql.queries import load_sql

    experiment = trained.experiment
    rows = workspace.resources.warehouse.query(
        load_sql("60_export/verdict"),
        {name: getattr(experiment, name) for name in ("model", "pool", "budget", "method")},
    )
    verdict = workspace.staleness.provenance(dg.AssetKey("verdict"), None)
    result = workspace.staleness.provenance(BENCHMARK_RESULT, experiment.key)
    name = input_name(BENCHMARK_RESULT, experiment.key)
    current = verdict and result and verdict.inputs.get(name) == result.data_version
    return rows if of_model and current and experiment.pool_size is None else rows.clear()


def _words(name: str) -> str:
    return name.replace("_", " ")
