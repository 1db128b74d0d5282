"""The command line: run the graph, look at what it made, take a selection away."""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from selection_platform.cli import (
    cost,
    diff,
    disk,
    explain,
    export,
    init,
    lineage,
    methods,
    report,
    run,
    select,
    sql,
    status,
    ui,
    verdict,
)
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE, load_profile
from selection_platform.errors import PlatformError, is_fixable
from selection_platform.job import progress
from selection_platform.job.stopping import STOPPED, Stopping, exit_status

COMMANDS = (init, select, run, status, methods, sql, explain, diff, lineage, verdict, report, cost, export, disk, ui)
"""The modules of the commands, in the order of the help text."""


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
    except Exception as error:
        if is_fixable(error):
            print(f"selection-platform: {error}", file=sys.stderr)
        else:
            _report_fault(error)
        return 1
    if stopping.signal is None:
        return 0
    print(STOPPED, file=sys.stderr)
    return exit_status(stopping.signal)


def _run(options: argparse.Namespace) -> None:
    if options.makes_profile:
        if options.profile:
            raise PlatformError("--profile: this command writes a profile of its own; leave it out")
        options.command(options)
    else:
        if options.profile:
            # Dagster's processes load the definitions by themselves, and find the profile here.
            os.environ[PROFILE_VARIABLE] = options.profile
        options.command(load_profile(options.profile), options)
    sys.stdout.flush()


def _report_fault(error: Exception) -> None:
    """Show the traceback of a fault of ours, and keep it for whoever looks into it."""
    text = "".join(traceback.format_exception(error))
    print(text, file=sys.stderr, end="")
    log = Path(os.environ.get(HOME_VARIABLE) or ".platform").absolute() / "fault.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    versions = " ".join([f"selection-platform {version('selection-platform')}", f"Python {sys.version.split()[0]}"])
    log.write_text(f"{versions}\n{' '.join(sys.argv)}\n\n{text}", encoding="utf-8")
    print(
        "selection-platform: this is a fault of the platform and not of what you gave it. Please report it to its "
        f"maintainers with {log}",
        file=sys.stderr,
    )


def _log_progress() -> None:
    """Show what the library says: all of it where there is no terminal, and beside the bars of one no progress."""
    warnings_only = logging.StreamHandler()
    warnings_only.setLevel(logging.WARNING)
    logging.basicConfig(handlers=[warnings_only])
    is_terminal = sys.stderr.isatty()

    def is_wanted(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING and not (is_terminal and record.name == progress.__name__)

    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("    %(message)s"))
    lines.addFilter(is_wanted)
    # As in a new process, also where this one runs several commands: Dagster lowers the level when it runs a step.
    library = logging.getLogger("selection_platform")
    library.handlers[:] = [lines]
    library.setLevel(logging.NOTSET)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="selection-platform",
        description="Which conversations should I fine-tune on, and does that choice beat picking at random?",
    )
    parser.add_argument("--profile", help="name of a profile or path of a YAML file (default: demo)")
    parser.set_defaults(makes_profile=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parsers(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
