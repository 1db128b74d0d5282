"""The command that selects from data, without a profile of your own."""

import argparse
import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from selection_platform.cli.completion import completed, methods
from selection_platform.cli.data_options import add_data, pool_of
from selection_platform.cli.export import add_formats, check_folder, check_trainers, write_selection
from selection_platform.cli.shared import Commands
from selection_platform.configuration.new_profile import (
    as_yaml,
    files_of,
    model_of,
    name_of_folder,
    pool_name,
    write_text,
)
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE, home, read_profile
from selection_platform.configuration.settings import did_you_mean
from selection_platform.errors import PlatformError
from selection_platform.experiments.methods import METHODS
from selection_platform.report.formats import PLAIN

PROFILE = "profile.yaml"
WRITTEN = "# Written by `selection-platform select`, which writes it again: copy it before you change it.\n"
"""First line of the profile."""


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "select",
        help="select from files or a hub dataset in one command",
        epilog="Example: selection-platform select chats.jsonl --method zip --budget 10000 --to chosen",
    )
    add_data(parser)
    method = parser.add_argument(
        "--method", required=True, metavar="NAME", help="a method, as in `selection-platform methods`"
    )
    completed(method, methods)
    parser.add_argument("--budget", type=int, required=True, metavar="N", help="number of conversations to select")
    parser.add_argument(
        "--near-duplicates",
        type=float,
        metavar="SHARE",
        help="drop rows that share this much with an earlier row, such as 0.8",
    )
    parser.add_argument("--model", help="base model, for methods that score with one: a folder or a hub id")
    parser.add_argument("--seed", type=int, default=0, help="seed, for methods that draw (default: 0)")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for the result and its profile")
    add_formats(parser)
    parser.set_defaults(command=select, makes_profile=True)


def select(options: argparse.Namespace) -> None:
    """Write a profile, refresh its only selection, and write the selected conversations to the same folder."""
    from orchestration.refresh import refresh
    from selection_platform.report.export import check_place

    pool = pool_of(options)
    formats = options.format or PLAIN
    check_folder(options.to)
    check_place(options.to, formats)
    _check_source(options.to, pool["source"])
    path = options.to / PROFILE
    if path.exists() and not path.read_bytes().startswith(WRITTEN.encode()):
        raise PlatformError(f"--to: {path} is your own profile, which is never overwritten; name another folder")
    text = _profile_text(options, pool)
    # Check the profile before anything is written.
    profile = read_profile(path, text)
    experiment = next(iter(profile.experiments.values()))
    check_trainers(profile, experiment, formats)
    write_text(path, text)
    # Dagster's processes load the definitions themselves, and read the profile from here.
    os.environ[PROFILE_VARIABLE] = str(path)
    refresh(profile, [experiment.key], tell=partial(print, flush=True))
    write_selection(profile, experiment, options.to, formats)
    where = "" if os.environ.get(HOME_VARIABLE) else f"{HOME_VARIABLE}={shlex.quote(str(home(profile).parent))} "
    look = f"selection-platform --profile {shlex.quote(str(path.absolute()))} ui"
    print(f"\nTo see how they were selected: {where}{look}")


def _check_source(folder: Path, source: dict[str, Any]) -> None:
    """Raise PlatformError if the source has files in the folder to write to: it would then read our own files too."""
    from selection_platform.pools.sources.files import find_files

    for path in find_files(files_of(source), Path()).paths.values():
        if path.resolve().is_relative_to(folder.resolve()):
            raise PlatformError(f"--to: {path} is a file of the source; name another folder")


def _profile_text(options: argparse.Namespace, pool: dict[str, Any]) -> str:
    method = METHODS.get(options.method)
    if method is None or method.scored_per is None:
        selecting = [name for name, known in METHODS.items() if known.scored_per is not None]
        raise PlatformError(
            f"--method: no method {options.method!r} that selects{did_you_mean(options.method, selecting)}"
        )
    if method.scored_per == "scoring" and options.model is None:
        raise PlatformError(f"--method: {method.name} scores with a base model; name it with --model")
    if options.near_duplicates is not None:
        pool = {**pool, "near_duplicates": options.near_duplicates}
    profile = {
        "name": name_of_folder(options.to),
        "pools": {pool_name(pool["source"]): pool},
        **({} if options.model is None else {"models": model_of(options.model)}),
        "budgets": [options.budget],
        "arms": {method.name: {"seeds": [options.seed], "train": False}},
    }
    return WRITTEN + as_yaml(profile)
