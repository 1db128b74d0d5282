"""What `export --model` writes: an experiment's model, and what is known of it, from the record of its making."""

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
from selection_platform.models.files import TRAINED_ELSEWHERE

if TYPE_CHECKING:
    from assets.record.provenance import Provenance
    from orchestration.workspace import Workspace
    from selection_platform.report.model_card import ModelCard

COUNTS = ("rows", "tokens_trained", "answer_tokens_trained", "steps", "final_loss", "precision", "devices")
"""What a training's manifest says of what was done, beside its recipe."""
ORIGIN = ("source", "model_id", "commit", "name", "package", "version", "file", "parameters", "weights_hash", "licence")
"""What a base model's manifest says of where it came from."""


def write_model(profile: Profile, key: str, folder: Path, *, adapter: bool) -> None:
    """Write an experiment's model into a folder, and print where its files are.

    Args:
        profile: of the experiment.
        key: of the experiment.
        folder: to write; its own earlier export in it is replaced.
        adapter: write the adapter alone.

    Raises:
        PlatformError: there is no such experiment or no model of it, or the folder holds something else.
    """
    from orchestration.workspace import open_workspace
    from selection_platform.models.exported import ModelExport, check_model_place, export_model
    from selection_platform.report.model_card import model_card

    experiment = trained_experiment(profile, key)
    check_model_place(folder)
    with open_workspace(profile) as workspace:
        made = _Made.of(workspace, experiment)
        origin = made.origin
        export = ModelExport(
            source=made.folder,
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
            card=lambda files: model_card(_card(workspace, made, adapter, files)),
            tell=lambda text: print(f"    {text}", file=sys.stderr, flush=True),
        )
    for path in written:
        print(path)


@dataclass(frozen=True)
class _Made:
    """A model that is there, and the record of its making.

    Attributes:
        experiment: whose it is.
        folder: where it lies.
        manifest: of that folder.
        checkpoint: the record; of a base model too, whose checkpoint is the model itself.
        origin: what is known of where the base model came from.
    """

    experiment: Experiment
    folder: Path
    manifest: Mapping[str, Any]
    checkpoint: "Provenance"
    origin: Mapping[str, Any]

    @classmethod
    def of(cls, workspace: "Workspace", experiment: Experiment) -> "_Made":
        """The model of an experiment.

        Raises:
            PlatformError: there is none yet.
        """
        from assets.keys import CHECKPOINT
        from assets.record.recipes import model_folder

        artifacts = workspace.resources.artifacts
        folder = model_folder(experiment, artifacts)
        manifest, checkpoint = read_manifest(folder), workspace.staleness.provenance(CHECKPOINT, experiment.key)
        if manifest is None or checkpoint is None:
            raise PlatformError(
                f"{experiment.key} has no model yet: run `selection-platform refresh {experiment.key}` first"
            )
        base = read_manifest(artifacts.base_model(experiment.base_model)) or {}
        return cls(experiment, folder, manifest, checkpoint, {name: base[name] for name in ORIGIN if base.get(name)})


def _card(workspace: "Workspace", made: _Made, adapter: bool, written: Path) -> "ModelCard":
    from assets.keys import BENCHMARK_RESULT, CHECKPOINT
    from assets.record.provenance import input_name
    from selection_platform.report.model_card import ModelCard
    from sql.queries import load_sql

    experiment, warehouse = made.experiment, workspace.resources.warehouse
    result = workspace.staleness.provenance(BENCHMARK_RESULT, experiment.key)
    # Results of what was trained before would be another model's.
    of_model = result and result.inputs.get(input_name(CHECKPOINT, experiment.key)) == made.checkpoint.data_version
    values = {"experiment": experiment.key}
    rows = warehouse.query(load_sql("60_export/results"), values)
    licences = warehouse.query(load_sql("60_export/licences"), {**values, "pool": experiment.pool})
    return ModelCard(
        experiment=experiment.key,
        hub_id=made.origin.get("model_id"),
        adapter=adapter,
        base={"name": experiment.base_model, **{_words(name): value for name, value in made.origin.items()}},
        selection=_selection(workspace.profile, made) if experiment.pool else {},
        recipe=_recipe(made) if experiment.pool else {},
        made=_versions(workspace.profile, made),
        use=_use(made, workspace.profile.text_of(experiment.model), adapter, written),
        results=rows if of_model else rows.clear(),
        verdict=_verdict(workspace, made, bool(of_model)),
        licences=licences,
        disclaimer=workspace.profile.disclaimer,
    )


def _selection(profile: Profile, made: _Made) -> dict[str, Any]:
    from assets.keys import SELECTION
    from assets.record.provenance import input_name

    experiment = made.experiment
    selection = made.checkpoint.inputs.get(input_name(SELECTION, experiment.key))
    if TRAINED_ELSEWHERE in made.manifest and made.checkpoint.settings.get("trained_elsewhere.selection") is None:
        selection = f"{selection} by the experiment; who trained the model states none"
    return {
        "method": f"{experiment.method}: {profile.methods[experiment.method].summary}",
        "pool": experiment.selects_from,
        "budget": "all" if experiment.budget is None else f"{experiment.budget:,}",
        "seed": experiment.seed,
        "hash": selection,
    }


def _recipe(made: _Made) -> dict[str, Any]:
    """The recipe that it was trained with, which need not be the profile's of today."""
    if TRAINED_ELSEWHERE in made.manifest:
        where = f"elsewhere, by a recipe that is not known here: {made.manifest[TRAINED_ELSEWHERE]}"
        return {"trained": where, "weights hash": made.manifest["weights_hash"]}
    recipe = dict(made.manifest.get("spec", {}).get("recipe", {}))
    lora = recipe.pop("lora", None)
    return {
        **{_words(name): value for name, value in recipe.items()},
        "adapter": "none: full fine-tuning" if lora is None else ", ".join(f"{key} {lora[key]}" for key in lora),
        **{_words(name): made.manifest.get(name) for name in COUNTS},
        "weights hash": made.manifest.get("weights_hash"),
    }


def _versions(profile: Profile, made: _Made) -> dict[str, Any]:
    settings = made.checkpoint.settings
    return {
        "profile": profile.name,
        "template": made.manifest.get("template_hash") or settings.get("template"),
        "number type of the weights": profile.dtype,
        "warehouse snapshot": made.checkpoint.snapshot,
        **made.checkpoint.packages,
        "exported by": f"selection-platform {version('selection-platform')}",
    }


def _use(made: _Made, text: TextSettings, adapter: bool, written: Path) -> list[str]:
    """How to get the answers that were measured."""
    from selection_platform.models.exported import PROBES, other_prompt_ids
    from selection_platform.models.renderers import load_renderer

    base = made.origin.get("model_id") or made.experiment.base_model
    load = (
        f"An adapter of {base}: load that, and this folder with peft."
        if adapter
        else "Load it with transformers or vLLM."
    )
    other = other_prompt_ids(written, text)
    prompts = (
        f"The chat template gives the token ids that it was evaluated with, on all of {len(PROBES)} probes."
        if not other
        else "The chat template gives the token ids that it was evaluated with, but for prompts with "
        f"{', '.join(other)}: there the evaluation tokenises each message by itself."
    )
    next_turn = load_renderer(written, text).next_turn
    stop = f" The evaluation also ends it before {next_turn!r}: give that as a stop string." if next_turn else ""
    return [
        f"{load} {prompts}",
        "It was evaluated greedily: ask with temperature 0. An answer ends with the tokens that generation_config.json "
        f"names.{stop}",
    ]


def _verdict(workspace: "Workspace", made: _Made, of_model: bool) -> Any:
    """The comparison with random selection that was made of these results."""
    import dagster as dg

    from assets.keys import BENCHMARK_RESULT
    from assets.record.provenance import input_name
    from sql.queries import load_sql

    experiment = made.experiment
    found = workspace.resources.warehouse.query(
        load_sql("60_export/verdict"),
        {name: getattr(experiment, name) for name in ("model", "pool", "budget", "method")},
    )
    verdict = workspace.staleness.provenance(dg.AssetKey("verdict"), None)
    result = workspace.staleness.provenance(BENCHMARK_RESULT, experiment.key)
    name = input_name(BENCHMARK_RESULT, experiment.key)
    current = verdict and result and verdict.inputs.get(name) == result.data_version
    return found if of_model and current and experiment.pool_size is None else found.clear()


def _words(name: str) -> str:
    return name.replace("_", " ")
