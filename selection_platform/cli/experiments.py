"""List the experiments."""

import argparse
from dataclasses import asdict

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile


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
    later = sum("not planned" in state.stages.values() for state in states)
    done = sum(not state.is_due for state in states) - later
    print(f"{done} of {len(states) - later} experiments of profile {profile.name} are up to date")
    if later:
        print(wrapped(f"{later} more are made only where they are planned: selection-platform plan"))
