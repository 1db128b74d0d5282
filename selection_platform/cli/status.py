"""List what is due."""

import argparse

from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.configuration.profile import Profile


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="list what is missing or stale, and why")
    add_json(parser)
    parser.set_defaults(command=status)


def status(profile: Profile, options: argparse.Namespace) -> None:
    """List every partition that is missing or stale, with the cause."""
    from orchestration.workspace import open_workspace

    with open_workspace(profile) as workspace:
        staleness = workspace.staleness
        due = staleness.due()
        removed = staleness.removed()
        downstream = len(staleness.graph.downstream(each.step for each in due)) - len(due)
        total = len(staleness.graph.steps)
        other_speed = staleness.other_speed()
    if options.json:
        print_json(
            {
                "profile": profile.name,
                "partitions": total,
                "due": [
                    {
                        "asset": each.step.name,
                        "partition": each.step.partition_key,
                        "status": each.status,
                        "causes": each.causes,
                    }
                    for each in due
                ],
                "downstream": downstream,
                "other_speed": other_speed,
                "removed": [{"asset": key.to_user_string(), "partition": partition} for key, partition in removed],
            }
        )
        return
    for each in due:
        print(f"{each.status:<7}  {each.step}: {'; '.join(each.causes)}")
    print(f"{len(due)} of {total} partitions of profile {profile.name} are due")
    if downstream:
        print(f"{downstream} more are made from these, and are due where these come out otherwise than before")
    for cause, count in other_speed.items():
        print(f"{count} were made with another {cause}: made again, only last digits would differ")
    if removed:
        print(f"{len(removed)} were made for what was removed from the profile")
