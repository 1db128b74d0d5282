"""Turns faults of disk, folder and server into messages that say what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from resources.lost_files import DAMAGED, lost_file
from selection_platform.errors import PlatformError

PARQUET = "*.parquet"

ADVICE = {
    r"No space left on device|File too large|disk is full|disk I/O error": (
        "there is no room to write; free some space, and run again"
    ),
    r"[Rr]ead-only file system|attempt to write a readonly database|unable to open database file": (
        "it must be possible to create files in the warehouse's folder, for readers too"
    ),
    r"file is not a database|disk image is malformed": (
        "the catalog is damaged; restore the whole home folder from a copy, or remove its folders warehouse and "
        "dagster and run again, which makes the tables again and computes no complete job again"
    ),
    r"[Uu]nable to connect to Postgres": "PostgreSQL does not answer, or refuses this role",
}
"""What to do, by the pattern that DuckDB's message matches."""


_PARQUET = re.compile(rf"\.parquet.*(No such file|Permission denied|too small)|{DAMAGED}|Parquet", re.DOTALL)
"""What DuckDB says of a Parquet file that is gone, damaged or cannot be read."""

_OF_THE_STATEMENT = duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException
"""Errors that repeat the user's words."""


class WarehouseFault(PlatformError):
    """The warehouse cannot be read or written. Everything that was committed before is still there."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn a DuckDB error about the disk, the folder or the server into one that says what to do.

    Raises:
        WarehouseFault: DuckDB raised such an error.
    """
    try:
        yield
    except duckdb.Error as error:
        for pattern, advice in ADVICE.items():
            if re.search(pattern, str(error), re.DOTALL):
                raise WarehouseFault(f"{advice}: {error}") from error
        if not isinstance(error, _OF_THE_STATEMENT) and _PARQUET.search(str(error)):
            raise WarehouseFault(f"{_of_parquet(str(error))}: {error}") from error
        raise


def _of_parquet(message: str) -> str:
    """What an error says of a Parquet file, and what to do."""
    lost = lost_file(message)
    look = "`selection-platform verify --deep` says what it belongs to and how to have it made again"
    if lost is None:
        return f"a Parquet file is missing, damaged or cannot be read; restore it from a copy: {look}"
    again = look if lost.key is None else f"have it made again: `selection-platform refresh {lost.key} --rebuild`"
    return f"rows of {lost} are lost or cannot be read; restore their Parquet file from a copy, or {again}"


@contextmanager
def leftovers_removed(folder: Path) -> Iterator[set[Path]]:
    """Remove the Parquet files of a write that failed before its commit. No catalog knows of them.

    Do not use it around the commit itself, which may have succeeded although it raised, nor while another process
    writes into the folder.

    Yields:
        The Parquet files that were there before.
    """
    before = set(folder.rglob(PARQUET))
    succeeded = False
    try:
        yield before
        succeeded = True
    finally:
        if not succeeded:
            for file in set(folder.rglob(PARQUET)) - before:
                file.unlink()
