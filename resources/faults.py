"""What disk, folder and server do to the warehouse, in words that say what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from selection_platform.errors import PlatformError

ADVICE = {
    r"No space left on device|File too large|disk is full|disk I/O error": (
        "there is no room to write; make some, and run again"
    ),
    r"[Rr]ead-only file system|attempt to write a readonly database|unable to open database file": (
        "the warehouse's folder must be one in which files can be created"
    ),
    r"file is not a database|disk image is malformed": (
        "the catalog is damaged; restore the whole home folder from a copy, or remove it and run again"
    ),
    r"\.parquet.*(No such file|Permission denied|too small|footer)|magic bytes|\.parquet.*[Cc]orrupt": (
        "a Parquet file is damaged, gone or cannot be read; restore it from a copy"
    ),
    r"[Uu]nable to connect to Postgres": "PostgreSQL does not answer, or not to this role",
}
"""What to do, by what the message matches."""


class WarehouseFault(PlatformError):
    """The warehouse cannot be read or written as things stand. What was committed before is still there."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn DuckDB's error into one that says what to do, where it is of the disk, the folder or the server.

    Raises:
        WarehouseFault: it is.
    """
    try:
        yield
    except duckdb.Error as error:
        for pattern, advice in ADVICE.items():
            if re.search(pattern, str(error), re.DOTALL):
                raise WarehouseFault(f"{advice}: {error}") from error
        raise


@contextmanager
def leftovers_removed(folder: Path) -> Iterator[None]:
    """Remove the Parquet files that a write left when it did not get to its commit. No catalog knows of them.

    Not to be used around the commit itself: where that fails, it may have been done all the same. While nobody else
    writes into the folder.
    """
    before = set(folder.rglob("*.parquet"))
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            for file in set(folder.rglob("*.parquet")) - before:
                file.unlink()
