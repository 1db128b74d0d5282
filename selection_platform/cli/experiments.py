"""List the experiments."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile

if TYPE_CHECKING:
    from orchestration.experiment_states import ExperimentState


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "experiments",
        help="list the experiments, and the progress of each",
        epilog="Example: selection-platform experiments --json",
    )
    add_json(parser)
    parser.set_defaults(command=experiments)


def experiments(profile: Profile, options: argparse.Namespace) -> None:
    """List every experiment of the profile, with the state of its selection, training and evaluation."""
    from orchestration.experiment_states import STAGES, experiment_states
    from orchestration.workspace import open_workspace

    with open_workspace(profile) as workspace:
        states = experiment_states(profile, workspace.staleness)
    if options.json:
        print_json([asdict(state) for state in states])
        return
    print_table(
        ["experiment", *STAGES],
        [[state.experiment, *(stage or "-" for stage in state.stages.values())] for state in states],
        text=range(1 + len(STAGES)),
    )
    for line in progress(states, profile.name):
        print(wrapped(line))


def progress(states: "Sequence[ExperimentState]", profile: str) -> Iterator[str]:
    """How many experiments of a profile are up to date, and how many wait for a plan: those are not among them."""
    wanted = [state for state in states if "not planned" not in state.stages.values()]
    done = sum(not state.is_due for state in wanted)
    yield f"{done} of {len(wanted)} experiments of profile {profile} are up to date"
    if len(wanted) < len(states):
        yield f"{len(states) - len(wanted)} more are made only where they are planned: selection-platform plan"
