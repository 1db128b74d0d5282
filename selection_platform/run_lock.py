"""One run at a time in a home folder: two at once would write into the same folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class AnotherRun(ValueError):
    """Somebody else is at work in the home folder."""


@contextmanager
def only_run(home: Path) -> Iterator[None]:
    """Hold the home folder.

    Raises:
        AnotherRun: another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "run.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise AnotherRun(f"another run is going on in {home}; wait for it, or stop it") from error
    try:
        yield
    finally:
        lock.release()
