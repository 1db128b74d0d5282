"""The command line: run the graph, look at what it made, take a selection away."""

import argparse
import logging
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from selection_platform import (
    commands,
    cost_command,
    diff_command,
    disk_commands,
    explain_command,
    lineage_commands,
    report_command,
    ui_command,
    verdict_command,
)
from selection_platform.profile import PROFILE_VARIABLE, load_profile
from selection_platform.stopping import STOPPED, Stopping, exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 after one clear message on standard error; 128 plus the number of the signal that told it to stop.
    """
    options = _parser().parse_args(arguments)
    _log_progress()
    stopping = Stopping()
    try:
        with stopping:
            _run(options)
    except BrokenPipeError:
        # Whoever reads the output, such as `head`, wants no more of it; what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except commands.MENDABLE as error:
        print(f"selection-platform: {error}", file=sys.stderr)
        return 1
    if stopping.signal is None:
        return 0
    print(STOPPED, file=sys.stderr)
    return exit_status(stopping.signal)


def _run(options: argparse.Namespace) -> None:
    if options.profile:
        # Dagster's processes load the definitions by themselves, and find the profile here.
        os.environ[PROFILE_VARIABLE] = options.profile
    options.command(load_profile(options.profile), options)
    sys.stdout.flush()


def _log_progress() -> None:
    """Show the library's progress lines where there is no terminal to draw bars on."""
    warnings_only = logging.StreamHandler()
    warnings_only.setLevel(logging.WARNING)
    logging.basicConfig(handlers=[warnings_only])
    if not sys.stderr.isatty():
        lines = logging.StreamHandler()
        lines.setFormatter(logging.Formatter("    %(message)s"))
        logging.getLogger("selection_platform").addHandler(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="selection-platform",
        description="Which conversations should I fine-tune on, and does that choice beat picking at random?",
    )
    parser.add_argument("--profile", help="name of a profile or path of a YAML file (default: demo)")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    command = subparsers.add_parser(
        "run", help="materialise what is missing or stale, from raw pools to the leaderboard"
    )
    command.set_defaults(command=commands.run)

    command = subparsers.add_parser(
        "refresh", help="the same for some assets or partitions and what they are made from"
    )
    command.add_argument(
        "of", nargs="*", metavar="NAME", help="asset, such as scores/ifd, or key of a partition (default: everything)"
    )
    command.add_argument(
        "--rebuild", action="store_true", help="also train those checkpoints again whose weights were dropped"
    )
    command.set_defaults(command=commands.refresh)

    command = subparsers.add_parser("status", help="list what is missing or stale, and why")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(command=commands.status)

    command = subparsers.add_parser("methods", help="list the arms of the experiment")
    command.set_defaults(command=commands.methods)

    command = subparsers.add_parser("sql", help='query the warehouse, such as: sql "FROM scores.ifd LIMIT 5"')
    command.add_argument(
        "statement",
        help="one SQL statement, - to read it from standard input, @NAME for the cookbook's, @ to list those",
    )
    command.add_argument(
        "--set", action="append", type=_value, default=[], metavar="NAME=VALUE", help="value of a parameter $NAME"
    )
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(command=commands.sql)

    command = subparsers.add_parser("explain", help="say of one sample how each method scores it and who chose it")
    command.add_argument("sample_id", metavar="SAMPLE_ID", help="id of a sample, or enough of its beginning")
    command.add_argument("--full", action="store_true", help="show long messages whole")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(command=explain_command.explain)

    command = subparsers.add_parser(
        "diff", help="compare two experiments' selections and scores, such as a method's twin"
    )
    command.add_argument("one", metavar="EXPERIMENT", help="key of an experiment")
    command.add_argument("other", metavar="EXPERIMENT", help="key of another experiment on the same pool")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(command=diff_command.diff)

    for name, run, help in (
        ("lineage", lineage_commands.lineage, "print all that an experiment was made from"),
        ("verify", lineage_commands.verify, "select again from the warehouse as it was, and compare"),
    ):
        command = subparsers.add_parser(name, help=help)
        command.add_argument("experiment", metavar="EXPERIMENT", help="key of an experiment")
        command.add_argument("--json", action="store_true", help="print one JSON document")
        command.set_defaults(command=run)

    command = subparsers.add_parser("verdict", help="say of every arm whether it beats random selection")
    command.add_argument("--reference", choices=("paper",), help="the paper's published averages instead of our own")
    command.add_argument(
        "--margin", type=_margin, help="percentage points that are too few to matter (default: the profile's)"
    )
    command.add_argument("--loss-margin", type=_margin, help="the same for the held-out loss, in bits per byte")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(command=verdict_command.verdict)

    command = subparsers.add_parser("report", help="write one page that says whether the choice beats random selection")
    command.add_argument(
        "--to", type=Path, metavar="DIR", help="folder to write to (default: the home folder's report)"
    )
    command.add_argument("--reference", choices=("paper",), help="about the paper's published averages instead")
    command.set_defaults(command=report_command.report)

    command = subparsers.add_parser("cost", help="list what each arm cost, and what else could be had for it")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(command=cost_command.cost)

    command = subparsers.add_parser("export", help="write an experiment's selected conversations to files")
    command.add_argument("experiment", help="key of an experiment, such as those that status lists")
    command.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write to")
    command.add_argument(
        "--format", action="append", choices=("jsonl", "parquet", "dataset"), help="may be repeated (default: all)"
    )
    command.set_defaults(command=commands.export)

    command = subparsers.add_parser("disk", help="list what takes how much room, and what could be freed")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(command=disk_commands.disk)

    command = subparsers.add_parser("clean", help="free what the profile does not keep and nothing refers to")
    command.add_argument("--removed", action="store_true", help="also what is in the profile no more")
    command.add_argument("--dry-run", action="store_true", help="only say what would be freed")
    command.set_defaults(command=disk_commands.clean)

    command = subparsers.add_parser("ui", help="open Dagster on this machine")
    command.add_argument("--port", type=_port, default=3000, help="1 to 65535 (default: 3000)")
    command.set_defaults(command=ui_command.ui)
    return parser


def _port(text: str) -> int:
    """A TCP port.

    Raises:
        argparse.ArgumentTypeError: the text is none.
    """
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to 65535")
    return int(text)


def _value(text: str) -> tuple[str, str]:
    """A parameter's name and value.

    Raises:
        argparse.ArgumentTypeError: the text is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as pool=support-chats")
    return name, value


def _margin(text: str) -> float:
    """A difference that is too small to matter.

    Raises:
        argparse.ArgumentTypeError: the text is none.
    """
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not 0 < margin < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a margin: a number above 0")
    return margin


if __name__ == "__main__":
    sys.exit(main())
