"""List what is due."""

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
"""Exit status that says so."""


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="list what is missing or stale, and why",
        epilog="Example: selection-platform status --exit-code",
    )
    parser.add_argument("--exit-code", action="store_true", help=f"end with status {DUE} where something is due")
    add_json(parser)
    parser.set_defaults(command=status)


def status(profile: Profile, options: argparse.Namespace) -> int:
    """List every partition that is missing or stale, with the cause.

    Returns:
        The exit status.
    """
    from orchestration.preflight import preflight
    from orchestration.workspace import open_workspace

    with open_workspace(profile) as workspace:
        staleness = workspace.staleness
        due = staleness.due()
        removed = staleness.removed()
        steps = staleness.graph.downstream(each.step for each in due)
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
                        "asset": each.step.name,
                        "partition": each.step.partition_key,
                        "status": each.status,
                        "causes": each.causes,
                    }
                    for each in due
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
            print(
                wrapped(
                    f"{downstream} more are made from these, and are due where these come out otherwise than before"
                )
            )
        _print_notes(other_speed, trimmed, len(removed))
        _print_faults(faults)
    return DUE if due and options.exit_code else 0


def _print_notes(other_speed: dict[str, int], trimmed: dict[str, dict[str, int]], removed: int) -> None:
    for cause, count in other_speed.items():
        print(wrapped(f"{count} were made with another {cause}: made again, only last digits would differ"))
    for pool, parts in trimmed.items():
        named = ", ".join(f"{part} ({rows:,})" for part, rows in parts.items())
        print(wrapped(f"{pool}: rows lost a part: {named}"))
    if removed:
        print(f"{removed} were made for what was removed from the profile")


def _print_faults(faults: list[str]) -> None:
    if faults:
        print(f"\nBefore `run` starts, {len(faults)} thing{'s' * (len(faults) != 1)} must be put right:")
    for fault in faults:
        first, *lines = fault.splitlines()
        print("\n".join([wrapped(f"- {first}"), *(f"  {line}" for line in lines)]))


def _trimmed(warehouse: "Warehouse", profile: Profile) -> dict[str, dict[str, int]]:
    """How many rows of each pool lost which part."""
    # Homes of an earlier version have no such table before the first write.
    if not warehouse.exists() or "pools.trimmed" not in set(warehouse.query(load_sql("00_warehouse/columns"))["name"]):
        return {}
    trimmed: dict[str, dict[str, int]] = {}
    for pool, part, samples in warehouse.query(load_sql("10_pools/trimmed_parts")).rows():
        if pool in profile.pools:
            trimmed.setdefault(pool, {})[part] = samples
    return trimmed
