"""Runs one job in this process, and reports its progress to the process that started it."""

import gc
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from selection_platform.errors import PlatformError, is_fixable, message_of
from selection_platform.job.folder import whole_file
from selection_platform.job.registry import load_job
from selection_platform.job.spec import read_spec

# A fixed name: only loggers of this package have handlers.
logger = logging.getLogger("selection_platform.job")


ERROR_MARK = "job failed: "
"""Begins the line with the error that ended a job."""


def first_error(lines: Iterable[str]) -> str | None:
    """The first error that a job printed: where several processes share it, the others fail because of the first."""
    return next((line.split(ERROR_MARK, 1)[1].strip() for line in lines if ERROR_MARK in line), None)


FACTS_VARIABLE = "SELECTION_PLATFORM_FACTS"
"""Names a file for the facts about a finished job, where no Dagster process waits for them."""

_PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"


def run_job(name: str, spec_file: Path, folder: Path) -> None:
    """Run a job in this process, which may be one of several that share it.

    Raises:
        PlatformError: several processes were started for what only one can do.
        Exception: whatever the job raises.
    """
    with _logged() as report:
        # What modules define stays: to look for garbage among it takes an eighth of the time to load them.
        gc.disable()
        # Imported here because torch takes seconds, and because a failing import is an error to report.
        from selection_platform.job.compute import SPENT, Compute, gpu_time_counted
        from selection_platform.job.processes import gathered, process_count, use_own_gpu

        job = load_job(name)
        gc.freeze()
        gc.enable()
        spec = read_spec(job.spec_type, spec_file)
        if process_count() > 1 and not job.can_be_shared(spec):
            raise PlatformError(f"{spec_file}: {name} of this spec cannot be shared; start it in one process")
        use_own_gpu()
        started = time.monotonic()
        logger.info("%s: starts in %s", name, folder)
        with gpu_time_counted():
            job.run(spec, folder)
        logger.info("%s: complete after %.1f s", name, time.monotonic() - started)
        compute = Compute()
        for spent in gathered(SPENT):
            compute.add(spent)
        report({"host": socket.gethostname(), "processes": process_count(), "compute": asdict(compute)})


class ErrorLine:
    """Writes the error that ended the block to standard error, in one line that the parent process can find."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            message = message_of(error) if is_fixable(error) else f"{type(error).__name__}: {error}"
            print(f"{ERROR_MARK}{' '.join(message.split())}", file=sys.stderr, flush=True)


@contextmanager
def _logged() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show the library's log lines on standard error and in Dagster; yields a function that sends facts to Dagster."""
    first = os.environ.get("RANK", "0") == "0"
    library = logging.getLogger("selection_platform")
    library.setLevel(logging.INFO if first else logging.WARNING)
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("    %(message)s"))
    handlers: list[logging.Handler] = [lines]
    if not (first and _PIPES_VARIABLE in os.environ):
        with _handled_by(library, handlers):
            yield _written if first else lambda facts: None
        return
    # Imported here because only a job that Dagster started needs it.
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes, _handled_by(library, [*handlers, _ToDagster(pipes.log)]):
        yield pipes.report_custom_message


def _written(facts: dict[str, Any]) -> None:
    """Write the facts to the file that the environment names, if it names one."""
    if name := os.environ.get(FACTS_VARIABLE):
        with whole_file(Path(name)) as temporary:
            temporary.write_text(json.dumps(facts), encoding="utf-8")


@contextmanager
def _handled_by(library: logging.Logger, handlers: Sequence[logging.Handler]) -> Iterator[None]:
    for handler in handlers:
        library.addHandler(handler)
    propagated = library.propagate
    # Ray's own handler would print each line a second time.
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
