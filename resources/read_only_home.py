"""A home that can only be read: mounted so, or another user's.

SQLite makes files beside what it reads. So it is given a copy.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from selection_platform.errors import PlatformError

_TRIES = 20
_COPIES: dict[str, TemporaryDirectory[str]] = {}
"""Of catalogs, by what they were when they were copied. They go with the process."""


class KeepsChanging(PlatformError):
    """What is to be copied is written to all the time."""


def can_write(folder: Path) -> bool:
    """Whether this process may write into a folder, or make it where there is none."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


@contextmanager
def writable_copy(folder: Path, without: str) -> Iterator[Path]:
    """A copy of a folder, for as long as the block lasts.

    Args:
        folder: what to copy; where there is none, the copy is empty.
        without: name of what is left out of it.
    """
    with TemporaryDirectory(prefix="selection-platform-") as name:
        copy = Path(name) / folder.name

        def files() -> list[Path]:
            parts = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
            return [part for part in parts if without not in part.parts]

        _copy(folder, copy, files)
        yield copy


def copied_database(database: Path, state: str) -> Path:
    """A copy of an SQLite database, which is kept until the process ends.

    Args:
        database: its file; what has not been written into it yet lies beside it.
        state: differs where the database may have changed.
    """
    if state not in _COPIES:
        copy = TemporaryDirectory(prefix="selection-platform-")
        beside = log_beside(database)
        _copy(database.parent, _in(copy), lambda: [Path(path.name) for path in (database, beside) if path.exists()])
        _COPIES[state] = copy
    return _in(_COPIES[state]) / database.name


def size_and_time(path: Path) -> tuple[int, int] | None:
    """Bytes and time of change of a file, in nanoseconds; None if there is no such file."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_size, state.st_mtime_ns


def log_beside(database: Path) -> Path:
    """Where SQLite keeps what it has not written into a database yet; there may be no such file."""
    return database.with_name(f"{database.name}-wal")


def _in(copy: TemporaryDirectory[str]) -> Path:
    return Path(copy.name) / "copy"


def _copy(folder: Path, copy: Path, files: Callable[[], list[Path]]) -> None:
    """Copy files as they were at one time: again where one of them changed, came or went meanwhile.

    Args:
        folder: where they are.
        copy: the folder of the copies, which is made.
        files: lists them, relative to the folder.

    Raises:
        KeepsChanging: one of them did each time.
    """
    for _ in range(_TRIES):
        copy.mkdir()
        with suppress(FileNotFoundError):
            before = _look(folder, files())
            for file in before:
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                # Not its mode: it may be one that nobody may write to.
                shutil.copyfile(folder / file, copy / file)
            if _look(folder, files()) == before:
                return
        shutil.rmtree(copy)
    raise KeepsChanging(f"{folder} cannot be copied while somebody writes there; try again later")


def _look(folder: Path, files: list[Path]) -> dict[Path, tuple[int, int]]:
    """Bytes and time of each file."""
    states = {file: (folder / file).stat() for file in files}
    return {file: (state.st_size, state.st_mtime_ns) for file, state in states.items()}
