"""List the experiments."""

import argparse
from dataclasses import asdict

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.configuration.profile import Profile


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "experiments",
        help="list the experiments, and how far each has come",
        epilog="Example: selection-platform experiments --json",
    )
    add_json(parser)
    parser.set_defaults(command=experiments)


def experiments(profile: Profile, options: argparse.Namespace) -> None:
    """List every experiment of the profile: whether it has selected, is trained and evaluated, and what is due."""
    from orchestration.experiment_states import STAGES, experiment_states
    from orchestration.workspace import open_workspace

    with open_workspace(profile) as workspace:
        found = experiment_states(list(profile.experiments), workspace.staleness)
    if options.json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ["experiment", *STAGES],
        [[each.experiment, *(state or "-" for state in each.stages.values())] for each in found],
        text=range(1 + len(STAGES)),
    )
    done = sum(not each.is_due for each in found)
    print(f"{done} of {len(found)} experiments of profile {profile.name} are up to date")
