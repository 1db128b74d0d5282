"""The command that lists what is due."""

import argparse
from typing import TYPE_CHECKING

from selection_platform.cli.due_table import print_due
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile
from sql.queries import load_sql

if TYPE_CHECKING:
    from resources.warehouse import Warehouse


DUE = 3
"""Exit status if something is due."""


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="list what is missing or stale, and why",
        epilog="Example: selection-platform status --exit-code",
    )
    parser.add_argument("--exit-code", action="store_true", help=f"exit with status {DUE} if something is due")
    add_json(parser)
    parser.set_defaults(command=status)


def status(profile: Profile, options: argparse.Namespace) -> int:
    """List every partition that is missing or stale, with the causes.

    Returns:
        The exit status.
    """
    from orchestration.preflight import preflight
    from orchestration.workspace import open_workspace

    with open_workspace(profile) as workspace:
        staleness = workspace.staleness
        due = staleness.due()
        removed = staleness.removed()
        steps = staleness.graph.downstream(one.step for one in due)
        downstream = len(steps) - len(due)
        faults = preflight(workspace, steps)
        total = len(staleness.graph.steps)
        other_speed = staleness.other_speed()
        trimmed = _trimmed(workspace.resources.warehouse, profile)
    if options.json:
        print_json(
            {
                "profile": profile.name,
                "partitions": total,
                "due": [
                    {
                        "asset": one.step.name,
                        "partition": one.step.partition_key,
                        "status": one.status,
                        "causes": one.causes,
                    }
                    for one in due
                ],
                "downstream": downstream,
                "faults": faults,
                "other_speed": other_speed,
                "trimmed": trimmed,
                "removed": [{"asset": key.to_user_string(), "partition": partition} for key, partition in removed],
            }
        )
    else:
        if due:
            print_due(due)
        print(f"{len(due)} of {total} partitions of profile {profile.name} are due")
        if downstream:
            print(wrapped(f"{downstream} more are downstream of these, and become due if their results change"))
        _print_notes(other_speed, trimmed, len(removed))
        _print_faults(faults)
    return DUE if due and options.exit_code else 0


def _print_notes(other_speed: dict[str, int], trimmed: dict[str, dict[str, int]], removed: int) -> None:
    for cause, count in other_speed.items():
        print(wrapped(f"{count} have an older value of {cause}: computed again, only their last digits would differ"))
    for pool, parts in trimmed.items():
        named = ", ".join(f"{part} ({rows:,})" for part, rows in parts.items())
        print(wrapped(f"{pool}: rows lost parts: {named}"))
    if removed:
        print(f"{removed} materialised partitions are no longer in the profile")


def _print_faults(faults: list[str]) -> None:
    if faults:
        print(f"\nFix {len(faults)} problem{'s' * (len(faults) != 1)} before you run:")
    for fault in faults:
        first, *lines = fault.splitlines()
        print("\n".join([wrapped(f"- {first}"), *(f"  {line}" for line in lines)]))


def _trimmed(warehouse: "Warehouse", profile: Profile) -> dict[str, dict[str, int]]:
    """The number of rows of each pool that lost a part, by part."""
    # In homes of an earlier version, the first write creates the table.
    if not warehouse.exists() or "pools.trimmed" not in set(warehouse.query(load_sql("00_warehouse/columns"))["name"]):
        return {}
    trimmed: dict[str, dict[str, int]] = {}
    for pool, part, samples in warehouse.query(load_sql("10_pools/trimmed_parts")).rows():
        if pool in profile.pools:
            trimmed.setdefault(pool, {})[part] = samples
    return trimmed
