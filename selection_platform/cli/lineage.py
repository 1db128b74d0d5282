"""The commands that print an experiment's lineage, and verify its selection."""

import argparse
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from selection_platform.cli.shared import (
    Commands,
    add_experiment,
    add_json,
    experiment_of,
    print_json,
    selecting_experiment,
)
from selection_platform.cli.terminal_text import WIDTH
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.models.files import TRAINED_ELSEWHERE

if TYPE_CHECKING:
    from orchestration.verification import Verification


def add_parsers(commands: Commands) -> None:
    """Add both commands."""
    parser = commands.add_parser(
        "lineage",
        help="print everything that an experiment was made from",
        epilog="Example: selection-platform lineage ifd",
    )
    add_experiment(parser)
    add_json(parser)
    parser.set_defaults(command=lineage)
    parser = commands.add_parser(
        "verify",
        help="select again from the warehouse as it was, and compare",
        epilog="Example: selection-platform verify ifd",
    )
    add_experiment(parser, nargs="?")
    parser.add_argument(
        "--deep",
        action="store_true",
        help="read all files and rows instead, of everything or of what the experiment is made from, and compare them "
        "with what was written",
    )
    add_json(parser)
    parser.set_defaults(command=verify)


def lineage(profile: Profile, options: argparse.Namespace) -> None:
    """Print what an experiment was made from, partition by partition, back to the source's rows."""
    from orchestration.lineage import lineage_of, other_packages
    from orchestration.workspace import open_workspace

    experiment = experiment_of(profile, options.experiment)
    with open_workspace(profile) as workspace:
        found = lineage_of(profile, experiment, workspace.staleness)
    if options.json:
        print_json(found.to_json())
        return
    print(f"experiment  {found.experiment}")
    print(f"seed        {found.seed}")
    _print_wrapped("base model  ", _pairs(found.base_model))
    _print_wrapped("template    ", ", ".join(found.templates) or "none")
    _print_wrapped("packages    ", _pairs(found.packages))
    for ancestor in found.ancestors:
        made, margin = ancestor.provenance, "  " * ancestor.depth
        print(f"\n{margin}{ancestor.name}")
        print(f"{margin}  data      {made.data_version}")
        snapshot = "" if made.snapshot is None else f", warehouse snapshot {made.snapshot}"
        code = f"version {made.code_version}{snapshot}, run {made.run_id}"
        _print_wrapped(f"{margin}  code      ", code)
        if TRAINED_ELSEWHERE in made.metadata:
            print(f"{margin}  trained   elsewhere: {made.metadata[TRAINED_ELSEWHERE]}")
        if made.settings:
            _print_wrapped(f"{margin}  settings  ", _pairs(made.settings))
        others = other_packages(made, found.packages)
        if others:
            _print_wrapped(f"{margin}  packages  ", _pairs(others))
        for name in ancestor.remade_since:
            print(f"{margin}  since then {name} was made again; it was {made.inputs[name]}")


def verify(profile: Profile, options: argparse.Namespace) -> None:
    """Select again from the warehouse as it was, and compare with what is stored and what was trained on."""
    if options.deep:
        _verify_deep(profile, options)
        return
    if options.experiment is None:
        raise PlatformError("verify: name an experiment, or write --deep to check all files and rows")
    from orchestration.verification import verify_selection
    from orchestration.workspace import open_workspace

    experiment = selecting_experiment(profile, options.experiment)
    with open_workspace(profile) as workspace:
        method = workspace.profile.methods[experiment.method]
        found = verify_selection(experiment, method, workspace.staleness, workspace.resources.warehouse)
    if options.json:
        print_json({"experiment": experiment.key, "same": found.same, **asdict(found)})
    else:
        print(f"{experiment.key}: {found.count:,} ids rebuilt from the warehouse's snapshot {found.snapshot}")
        print(f"  selections.samples now: {found.selected}")
        trained = found.trained_elsewhere or ("there is no checkpoint" if found.trained is None else str(found.trained))
        print(f"  what the checkpoint was trained on: {trained}")
    if not found.same:
        raise PlatformError(f"{experiment.key}: {_reason(found)}")


def _verify_deep(profile: Profile, options: argparse.Namespace) -> None:
    """Read all files and rows, and compare them with what was written."""
    from orchestration.damage import check, in_words
    from orchestration.workspace import open_workspace

    experiment = None if options.experiment is None else experiment_of(profile, options.experiment)
    with open_workspace(profile) as workspace:
        graph = workspace.staleness.graph
        chosen = [step for step in graph.steps if experiment is not None and step.partition_key == experiment.key]
        found = check(workspace, graph.steps if experiment is None else graph.upstream(chosen))
    if options.json:
        print_json({"experiment": experiment and experiment.key, "same": not found.faults, **asdict(found)})
    else:
        print(f"Read: the files of {found.folders:,} folders, the rows of {found.tables:,} partitions of tables")
        if found.unknown:
            print(f"Not known of {len(found.unknown):,}: an earlier version did not record it (--json lists them)")
    if found.faults:
        raise PlatformError(in_words(found.faults))


def _reason(found: "Verification") -> str:
    """The differences, their possible causes, and what to do."""
    reasons = []
    if not found.selected.same:
        reasons.append(
            f"selections.samples holds {found.selected}; either its rows were changed behind the platform's back, or "
            "the statement that selects was: materialise the selection again"
        )
    if found.trained is not None and not found.trained.same:
        if found.trained_on_another:
            remedy = "an earlier selection, which was replaced since: `selection-platform refresh` trains again"
        else:
            remedy = "rows that were changed before the training: materialise selection and checkpoint again"
        reasons.append(f"the checkpoint was trained on {found.trained}; it is of {remedy}")
    if found.new_code:
        reasons.append(f"the code version of the selection changed since, {found.new_code}")
    return "\n  ".join(reasons)


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {'unset' if value is None else value}" for name, value in values.items())


def _print_wrapped(head: str, text: str) -> None:
    print(textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False))
