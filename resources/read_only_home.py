"""A home that can only be read: mounted so, or another user's.

SQLite makes files beside what it reads. So it is given a copy.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
        copy.mkdir()
        files = [path for path in folder.rglob("*") if without not in path.relative_to(folder).parts and path.is_file()]
        _copy({path: copy / path.relative_to(folder) for path in files})
        yield copy


def copied_database(database: Path, state: str) -> Path:
    """A copy of an SQLite database, which is kept until the process ends.

    Args:
        database: its file; what has not been written into it yet lies beside it.
        state: differs where the database may have changed.
    """
    if state not in _COPIES:
        _COPIES[state] = TemporaryDirectory(prefix="selection-platform-")
        target = Path(_COPIES[state].name)
        log = database.with_name(f"{database.name}-wal")
        _copy({path: target / path.name for path in (database, log) if path.exists()})
    return Path(_COPIES[state].name) / database.name


def _copy(files: dict[Path, Path]) -> None:
    """Copy files as they were at one time: again where one of them changed meanwhile.

    Raises:
        KeepsChanging: one of them did each time.
    """
    for _ in range(_TRIES):
        before = _look(files)
        for source, target in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not its mode: it may be one that nobody may write to.
            shutil.copyfile(source, target)
        if _look(files) == before:
            return
    raise KeepsChanging(f"{next(iter(files)).parent} cannot be copied while somebody writes there; try again later")


def _look(files: dict[Path, Path]) -> list[tuple[int, int]]:
    return [(state.st_size, state.st_mtime_ns) for state in (path.stat() for path in files)]
