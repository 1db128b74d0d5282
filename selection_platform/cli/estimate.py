"""The command that says what a profile will cost on a machine, before anything runs."""

import argparse
from typing import TYPE_CHECKING

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile
from selection_platform.text.numbers import duration

if TYPE_CHECKING:
    from orchestration.estimate import Estimate

GB = 1e9
NO_ROOM = "more memory than there is"


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "estimate",
        help="say what it will cost: hours, memory, disk, and what does not fit",
        epilog="Example: selection-platform estimate --profile paper --machine '8 x 80 GB'",
    )
    parser.add_argument(
        "--machine", metavar="NAME", help="another machine, such as '8 x 80 GB' or '4 x a100' (default: this one)"
    )
    parser.add_argument("--all", action="store_true", help="count what is made already too")
    add_json(parser)
    parser.set_defaults(command=estimate)


def estimate(profile: Profile, options: argparse.Namespace) -> None:
    """Print what each stage costs on a machine, all numbers approximate."""
    from orchestration.estimate import estimate as of_workspace
    from orchestration.workspace import open_workspace

    with open_workspace(profile) as workspace:
        found = of_workspace(workspace, options.machine, whole=options.all)
    if options.json:
        print_json(_json(found))
    else:
        _print(found, whole=options.all)


def _print(found: "Estimate", *, whole: bool) -> None:
    if not found.stages:
        print("Nothing is to be made; with --all, what is made already is counted too")
        return
    what = "All of the profile" if whole else "What is to be made"
    print(wrapped(f"{what}, on {found.machine}. All numbers are approximate.") + "\n")
    print_table(*_table(found))
    print()
    if any(stage.fits is False for stage in found.stages):
        print(f"* {NO_ROOM}")
    print(wrapped(_time(found)))
    free = "" if found.free is None else f"; {_number(found.free / GB)} GB are free here"
    print(wrapped(f"Disk: {_number(found.disk / GB)} GB at once{free}."))
    for line in found.notes:
        print(wrapped(line))
    for line in found.faults:
        print("\n" + wrapped(f"Does not fit: {line}"))


def _time(found: "Estimate") -> str:
    if all(stage.hours is None for stage in found.stages):
        return "How long it takes is not known: none of it was made before, and no model computes it."
    beside = f", and {found.unknown} steps whose time is not known" if found.unknown else ""
    hours = f"about {_number(found.hours)} hours" if found.hours >= 1.5 else duration(3600 * found.hours)
    return f"In all {hours} by the clock{beside}."


def _table(found: "Estimate") -> tuple[list[str], list[list[str]]]:
    """Header and rows, in units that fit the profile: of a machine with one device its hours stand once."""
    (flops, operations) = (1.0, "PFLOP") if max(stage.petaflop for stage in found.stages) >= 1 else (1e-3, "TFLOP")
    (each, unit) = (1.0, "hours") if found.hours >= 1 else (1 / 60, "minutes")
    several = found.machine.count > 1
    rows: list[list[str]] = []
    for stage in found.stages:
        name = f"{stage.name}{', on the host' if stage.on_host else ''}"
        memory = f"{_number(stage.memory / GB)}{'*' if stage.fits is False else ''}" if stage.memory else ""
        devices = [_number(stage.device_hours / each) if stage.petaflop else ""] if several else []
        rows.append(
            [
                name,
                f"{stage.steps:,}",
                _number(stage.petaflop / flops) if stage.petaflop else "",
                *devices,
                "?" if stage.hours is None else _number(stage.hours / each),
                memory,
                _number(stage.disk / GB) if stage.disk else "",
            ]
        )
    of_devices = [f"device {unit}"] if several else []
    return ["stage", "steps", operations, *of_devices, unit, "GB", "disk GB"], rows


def _number(value: float) -> str:
    """Two digits, as estimates have no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}" if value >= 0.001 else "0"


def _json(found: "Estimate") -> dict[str, object]:
    return {
        "machine": str(found.machine),
        "approximate": True,
        "hours": found.hours,
        "steps_of_unknown_time": found.unknown,
        "disk_bytes": found.disk,
        "free_bytes": found.free,
        "stages": [
            {
                "stage": stage.name,
                "steps": stage.steps,
                "flops": stage.petaflop * 1e15,
                "device_hours": stage.device_hours,
                "hours": stage.hours,
                "memory_bytes": stage.memory,
                "memory_of": "host" if stage.on_host else "device",
                "disk_bytes": stage.disk,
                "fits": stage.fits,
            }
            for stage in found.stages
        ],
        "notes": found.notes,
        "does_not_fit": found.faults,
    }
