"""Take a selection away."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selection_platform.cli.shared import Commands, open_resources, selecting_experiment
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.experiments.methods import METHODS

if TYPE_CHECKING:
    from resources.warehouse import Warehouse
    from selection_platform.report.export import Format

FORMATS: "tuple[Format, ...]" = ("jsonl", "parquet", "dataset")


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write an experiment's selected conversations to files",
        epilog="Example: selection-platform export ifd --to chosen --format jsonl",
    )
    parser.add_argument("experiment", help="key of an experiment, such as those that status lists")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write to")
    add_formats(parser)
    parser.set_defaults(command=export)


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what is written."""
    parser.add_argument("--format", action="append", choices=FORMATS, help="may be repeated (default: all)")


def export(profile: Profile, options: argparse.Namespace) -> None:
    """Write the selected conversations and a data card."""
    from selection_platform.report.export import check_place

    experiment = selecting_experiment(profile, options.experiment)
    formats = options.format or FORMATS
    check_folder(options.to)
    check_place(options.to, formats)
    write_selection(profile, experiment, options.to, formats)


def check_folder(folder: Path) -> None:
    """Raise PlatformError where a file is in the place of the folder to write to, or of one that it lies in."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise PlatformError(f"--to: {there} is a file; name a folder")


def write_selection(profile: Profile, experiment: Experiment, folder: Path, formats: "Sequence[Format]") -> None:
    """Write an experiment's selected conversations and a data card, and print where they are.

    Args:
        profile: of the experiment.
        experiment: one that selects.
        folder: to write to.
        formats: what is written.

    Raises:
        PlatformError: it has not selected yet.
    """
    from resources.conversations import conversations_sql
    from selection_platform.report.export import export_selection
    from sql.queries import load_sql

    warehouse = open_resources(profile).warehouse
    values = {"experiment": experiment.key, "pool": experiment.pool}
    rows = warehouse.query(conversations_sql(warehouse, "50_selections/training_samples", values), values)
    origins = warehouse.query(load_sql("50_selections/origins"), values)
    rows = rows.join(origins, on="sample_id", how="left", maintain_order="left")
    if rows.is_empty():
        raise PlatformError(f"{experiment.key} has not selected yet: run `selection-platform run` first")
    facts = {
        "experiment": experiment.key,
        "method": f"{experiment.method}: {METHODS[experiment.method].summary}",
        "pool": experiment.pool,
        "base model": experiment.model,
        "seed": experiment.seed,
        **_facts_of_pool(warehouse, experiment),
        "warehouse snapshot": warehouse.snapshot(),
        "profile": profile.name,
    }
    for path in export_selection(rows, facts, folder, formats):
        print(path)


def _facts_of_pool(warehouse: "Warehouse", experiment: Experiment) -> dict[str, str]:
    """How many conversations there were to select from, and what became of the other rows."""
    from sql.queries import load_sql

    sizes = dict(warehouse.query(load_sql("10_pools/sizes")).iter_rows())
    dropped = warehouse.query(load_sql("10_pools/dropped_by_reason"), {"pool": experiment.pool}).iter_rows()
    return {
        "selected from": f"{sizes[experiment.selects_from]:,} conversations",
        "rows of the source that were dropped": "; ".join(f"{rows:,} {reason}" for reason, rows in dropped) or "none",
    }
