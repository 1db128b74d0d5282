"""The command that writes a selection or a model to files."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selection_platform.cli.model_export import write_model
from selection_platform.cli.shared import Commands, add_experiment, open_resources, selecting_experiment
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.job.folder import read_manifest
from selection_platform.report.formats import FILES, PLAIN, TRAINERS, Format

if TYPE_CHECKING:
    from resources import Resources
    from resources.warehouse import Warehouse
    from selection_platform.report.trainers import Training


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write an experiment's selected conversations, or its model, to files",
        epilog="Example: selection-platform export ifd --to chosen --format jsonl",
    )
    add_experiment(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write to")
    add_formats(parser)
    parser.add_argument("--model", action="store_true", help="write its model, for transformers and vLLM")
    parser.add_argument("--adapter", action="store_true", help="with --model: write only the LoRA adapter, not merged")
    parser.set_defaults(command=export)


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Add the option for the formats to write."""
    parser.add_argument(
        "--format",
        action="append",
        choices=FILES,
        help=f"a data format, or a trainer; may be repeated (default: {', '.join(PLAIN)})",
    )


def export(profile: Profile, options: argparse.Namespace) -> None:
    """Write the selected conversations and a data card, or the model and its card."""
    from selection_platform.report.export import check_place

    if options.adapter and not options.model:
        raise PlatformError("--adapter: it needs --model; add that, or leave it out")
    if options.model:
        if options.format:
            raise PlatformError("--format: it is for selected conversations; leave it out with --model")
        check_folder(options.to)
        write_model(profile, options.experiment, options.to, adapter=options.adapter)
        return
    experiment = selecting_experiment(profile, options.experiment)
    formats = options.format or PLAIN
    check_folder(options.to)
    check_place(options.to, formats)
    check_trainers(profile, experiment, formats)
    write_selection(profile, experiment, options.to, formats)


def check_folder(folder: Path) -> None:
    """Raise PlatformError if the folder to write to, or one of its parents, is a file."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise PlatformError(f"--to: {existing} is a file; name a folder")


def check_trainers(profile: Profile, experiment: Experiment, formats: Sequence[Format]) -> None:
    """Check that an experiment has a base model, if files for a trainer are written.

    Raises:
        PlatformError: it has no base model, or one whose tokenizer the platform does not fetch.
    """
    trainers = [name for name in TRAINERS if name in formats]
    if trainers and experiment.model not in profile.used_models:
        raise PlatformError(
            f"--format: {trainers[0]} needs a base model, and {experiment.key} is neither scored nor trained with one; "
            f"name one, or write {' or '.join(PLAIN)}"
        )


def write_selection(profile: Profile, experiment: Experiment, folder: Path, formats: Sequence[Format]) -> None:
    """Write an experiment's selected conversations and a data card, and print where they are.

    Args:
        profile: the profile of the experiment.
        experiment: an experiment that selects.
        folder: the folder to write to.
        formats: the formats to write.

    Raises:
        PlatformError: the experiment has not selected yet.
    """
    from resources.conversations import conversations_sql
    from selection_platform.report.export import export_selection
    from sql.queries import load_sql

    resources = open_resources(profile)
    warehouse = resources.warehouse
    values = {"experiment": experiment.key, "pool": experiment.pool}
    rows = warehouse.query(conversations_sql(warehouse, "50_selections/training_samples", values), values)
    origins = warehouse.query(load_sql("50_selections/origins"), values)
    rows = rows.join(origins, on="sample_id", how="left", maintain_order="left")
    if rows.is_empty():
        raise PlatformError(f"{experiment.key} has not selected yet: run `selection-platform run` first")
    facts = {
        "experiment": experiment.key,
        "method": f"{experiment.method}: {profile.methods[experiment.method].summary}",
        "pool": experiment.pool,
        "base model": experiment.model,
        "seed": experiment.seed,
        "selection hash": _selection_hash(warehouse, experiment),
        **_facts_of_pool(warehouse, experiment),
        "warehouse snapshot": warehouse.snapshot(),
        "profile": profile.name,
    }
    training = None if set(formats) <= set(PLAIN) else _training(profile, experiment, resources)
    for path in export_selection(rows, facts, folder, formats, training):
        print(path)


def _training(profile: Profile, experiment: Experiment, resources: "Resources") -> "Training":
    """The training of a model on an experiment's selection, by the profile's recipe."""
    from selection_platform.models.lora_targets import lora_targets
    from selection_platform.models.renderers import load_renderer
    from selection_platform.report.trainers import Training

    folder = resources.artifacts.base_model(experiment.base_model)
    manifest = read_manifest(folder)
    if manifest is None:
        raise PlatformError(
            f"--format: trainers need the base model {experiment.base_model}, which does not exist yet: run "
            "`selection-platform refresh base_model` first"
        )
    hub, recipe = manifest.get("source") == "hub", profile.fine_tuning
    if recipe.lora:
        # Trainers do not know `auto`.
        lora = recipe.lora.model_copy(update={"target_modules": tuple(lora_targets(folder, recipe.lora))})
        recipe = recipe.model_copy(update={"lora": lora})
    return Training(
        model=manifest["model_id"] if hub else str(folder),
        revision=manifest["commit"] if hub else None,
        renderer=load_renderer(folder, profile.text_of(experiment.model)),
        recipe=recipe,
        seed=experiment.seed,
    )


def _selection_hash(warehouse: "Warehouse", experiment: Experiment) -> str:
    """A hash of the ids and their order, the same as in the record of a training on them."""
    from assets.selections import CONTENT

    return warehouse.content_hash("selections.samples", {"experiment": experiment.key}, CONTENT)


def _facts_of_pool(warehouse: "Warehouse", experiment: Experiment) -> dict[str, str]:
    """The number of conversations in the pool, and of the rows that were dropped."""
    from sql.queries import load_sql

    sizes = dict(warehouse.query(load_sql("10_pools/sizes")).iter_rows())
    dropped = warehouse.query(load_sql("10_pools/dropped_by_reason"), {"pool": experiment.pool}).iter_rows()
    return {
        "selected from": f"{sizes[experiment.selects_from]:,} conversations",
        "rows of the source that were dropped": "; ".join(f"{rows:,} {reason}" for reason, rows in dropped) or "none",
    }
