"""Run one job: `python -m selection_platform.job JOB SPEC FOLDER`.

SPEC is a JSON file of the job's spec, FOLDER is where its result goes. A job that was killed goes on where it was, one
that is complete ends at once. Where Dagster started it, log lines go to the run as Dagster Pipes messages.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from selection_platform.job.registry import JOB_NAMES, load_job, read_spec
from selection_platform.stopping import exit_status

# Run by -m, this module is called __main__, and only the package's loggers are listened to.
logger = logging.getLogger("selection_platform.job")

ERROR_MARK = "job failed: "
"""Stands before the message of what ended a job, on a line of its own."""

CLEAR_ERRORS = (ValueError, OSError, ModuleNotFoundError, FloatingPointError)
"""What the library raises with a message that says all; of others the traceback is wanted."""

_PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"
_SECONDS_BETWEEN_LOOKS = 0.5


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the job that the command line names, alone or in as many processes as it says.

    Raises:
        SystemExit: the job failed; what ended it was written to standard error.
    """
    options = _parser().parse_args(arguments)
    if options.with_parent is not None:
        _end_with(options.with_parent)
    if options.processes > 1 and not options.on_ray:
        _start_processes(options)
        return
    try:
        with ErrorLine():
            if options.on_ray:
                from selection_platform.job.ray_workers import run_workers

                run_workers(options.job, options.spec, options.folder, options.processes)
            else:
                run_job(options.job, options.spec, options.folder)
    except CLEAR_ERRORS:
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m selection_platform.job", description="Run one job in a folder.")
    parser.add_argument("job", choices=JOB_NAMES)
    parser.add_argument("spec", type=Path, help="JSON file with the job's spec")
    parser.add_argument("folder", type=Path, help="where the result goes, and the state to go on from")
    parser.add_argument("--processes", type=int, default=1, help="that share the job, on this machine by torchrun")
    parser.add_argument("--on-ray", action="store_true", help="in workers on the Ray cluster that this machine is of")
    parser.add_argument("--with-parent", type=int, metavar="PID", help="end when the parent, of this id, is gone")
    return parser


def run_job(name: str, spec_file: Path, folder: Path) -> None:
    """Run a job in this process, which may be one of several at it.

    Raises:
        Exception: whatever the job raises.
    """
    with _logged() as report:
        # torch takes seconds to import, and not to be able to is an error to report.
        from selection_platform.compute import SPENT, Compute
        from selection_platform.job.processes import gathered, process_count, use_own_gpu

        job = load_job(name)
        use_own_gpu()
        started = time.monotonic()
        logger.info("%s: begins in %s", name, folder)
        job.run(read_spec(job.spec_type, spec_file), folder)
        logger.info("%s: complete after %.1f s", name, time.monotonic() - started)
        compute = Compute()
        for spent in gathered(SPENT):
            compute.add(spent)
        report({"host": socket.gethostname(), "processes": process_count(), "compute": asdict(compute)})


class ErrorLine:
    """Says in one line on standard error what ended the block, for whoever started this process to find."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            named = "" if issubclass(kind, CLEAR_ERRORS) else f"{kind.__name__}: "
            print(f"{ERROR_MARK}{named}{' '.join(str(error).split())}", file=sys.stderr, flush=True)


@contextmanager
def _logged() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show the library's log lines on standard error and in Dagster; gives a function to tell Dagster facts with."""
    first = os.environ.get("RANK", "0") == "0"
    library = logging.getLogger("selection_platform")
    library.setLevel(logging.INFO if first else logging.WARNING)
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("    %(message)s"))
    handlers: list[logging.Handler] = [lines]
    if not (first and _PIPES_VARIABLE in os.environ):
        with _handled_by(library, handlers):
            yield lambda facts: None
        return
    # The one module here that is not the job's own; nobody else needs it.
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes, _handled_by(library, [*handlers, _ToDagster(pipes.log)]):
        yield pipes.report_custom_message


@contextmanager
def _handled_by(library: logging.Logger, handlers: Sequence[logging.Handler]) -> Iterator[None]:
    for handler in handlers:
        library.addHandler(handler)
    propagated = library.propagate
    # Ray's own handler would print each line again.
    library.propagate = False
    try:
        yield
    finally:
        library.propagate = propagated
        for handler in handlers:
            library.removeHandler(handler)


class _ToDagster(logging.Handler):
    """Passes messages on to a logger of Dagster Pipes."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, "%s", record.getMessage())


def _start_processes(options: argparse.Namespace) -> None:
    """Start several of this program, and end with them."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    torchrun_options = ["--standalone", "--nproc-per-node", str(options.processes), "--module"]
    job = [options.job, str(options.spec), str(options.folder), "--with-parent", str(os.getpid())]
    try:
        torchrun([*torchrun_options, "selection_platform.job", *job])
    except ChildFailedError:
        # What it would say has the exit status and not the message, which the process itself gave.
        sys.exit(1)
    except SignalException as stopped:
        sys.exit(exit_status(stopped.sigval))


def _end_with(parent: int) -> None:
    """End this process soon after its parent, however that ends: nobody would know of it any more."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        # A job can be killed at any moment, and sys.exit ends a thread only.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    # Ctrl-C ends it as SIGTERM does: at once, whatever it is doing. What it did so far is in the folder.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
