"""Locks for one run and one UI at a time in a home folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from selection_platform.configuration.profile import make_private
from selection_platform.errors import PlatformError


class AnotherRun(PlatformError):
    """Another process is using the home folder."""


@contextmanager
def only_run(home: Path) -> Iterator[None]:
    """Hold the home folder: two runs at once would write into the same folders.

    Raises:
        AnotherRun: another process holds it.
    """
    with _held(home / "run.lock", f"another run is in progress in {home}; wait for it, or stop it"):
        yield


@contextmanager
def only_ui(home: Path) -> Iterator[None]:
    """Hold the home folder's UI: two daemons would start everything twice.

    Raises:
        AnotherRun: it is open already.
    """
    with _held(home / "ui.lock", f"Dagster is already open for {home}; close it first"):
        yield


@contextmanager
def _held(path: Path, otherwise: str) -> Iterator[None]:
    make_private(path.parent)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise AnotherRun(otherwise) from error
    try:
        yield
    finally:
        lock.release()
