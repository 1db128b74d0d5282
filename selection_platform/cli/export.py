"""Take a selection away."""

import argparse
from pathlib import Path

from selection_platform.cli.shared import Commands, open_resources, selecting_experiment
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.experiments.methods import METHODS


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("export", help="write an experiment's selected conversations to files")
    parser.add_argument("experiment", help="key of an experiment, such as those that status lists")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--format", action="append", choices=("jsonl", "parquet", "dataset"), help="may be repeated (default: all)"
    )
    parser.set_defaults(command=export)


def export(profile: Profile, options: argparse.Namespace) -> None:
    """Write the selected conversations and a data card."""
    from resources.conversations import conversations_sql
    from selection_platform.report.export import export_selection

    experiment = selecting_experiment(profile, options.experiment)
    if options.to.exists() and not options.to.is_dir():
        raise PlatformError(f"--to: {options.to} is a file; name a folder")
    warehouse = open_resources(profile).warehouse
    values = {"experiment": experiment.key, "pool": experiment.pool}
    rows = warehouse.query(conversations_sql(warehouse, "50_selections/training_samples", values), values)
    if rows.is_empty():
        raise PlatformError(f"{experiment.key} has not selected yet: run `selection-platform run` first")
    facts = {
        "experiment": experiment.key,
        "method": f"{experiment.method}: {METHODS[experiment.method].summary}",
        "pool": experiment.pool,
        "base model": experiment.model,
        "seed": experiment.seed,
        "warehouse snapshot": warehouse.snapshot(),
        "profile": profile.name,
    }
    for path in export_selection(rows, facts, options.to, options.format or ("jsonl", "parquet", "dataset")):
        print(path)
