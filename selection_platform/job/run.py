"""Run one job in this process, and tell whoever started it how it goes."""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from selection_platform.errors import is_fixable, message_of
from selection_platform.job.registry import load_job
from selection_platform.job.spec import read_spec

# Run by -m, this module is called __main__, and only the package's loggers are listened to.
logger = logging.getLogger("selection_platform.job")


ERROR_MARK = "job failed: "
"""Stands before the message of what ended a job, on a line of its own."""


_PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"


def run_job(name: str, spec_file: Path, folder: Path) -> None:
    """Run a job in this process, which may be one of several at it.

    Raises:
        Exception: whatever the job raises.
    """
    with _logged() as report:
        # torch takes seconds to import, and not to be able to is an error to report.
        from selection_platform.job.compute import SPENT, Compute
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
        if error is not None:
            said = message_of(error) if is_fixable(error) else f"{type(error).__name__}: {error}"
            print(f"{ERROR_MARK}{' '.join(said.split())}", file=sys.stderr, flush=True)


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
