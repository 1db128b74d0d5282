"""Parquet files of the warehouse that are gone or cannot be read: what they held, and new rows in their place."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import unquote

import duckdb

from sql.queries import load_sql

logger = logging.getLogger(__name__)

DAMAGED = "magic bytes|[Ff]ooter|[Cc]orrupt|[Dd]ecompress|Thrift|TProtocol|ZSTD|Out of buffer"
"""What DuckDB says of a damaged Parquet file, as a pattern."""

_LOST = re.compile(f"No such file|too small|{DAMAGED}")
"""What it says of one that is damaged or gone, and not of one that cannot be read just now."""

PassOver = Callable[[str], bool]
"""Takes DuckDB's message. See `passing_over`."""

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""How a missing value is written in the name of a partition's folder."""


class LostFile(NamedTuple):
    """A file of the warehouse that an error names.

    Attributes:
        table: name with schema.
        partition: the columns and values that its folders name; none for a table without partitions.
    """

    table: str
    partition: dict[str, str]

    def __str__(self) -> str:
        """Table and partition."""
        named = ", ".join(f"{column} {value}" for column, value in self.partition.items())
        return f"table {self.table}{f' ({named})' if named else ''}"

    @property
    def key(self) -> str | None:
        """What `refresh` is to be asked for to have its rows made again; None where its place does not say."""
        columns = ("pool", "targets") if self.table == "pools.targets" else ("experiment", "pool", "model")
        named = [self.partition[column] for column in columns if column in self.partition]
        return "/".join(named) or None


def lost_file(message: str) -> LostFile | None:
    """The file of the warehouse that an error of DuckDB's names; None where it names none."""
    found = re.search(r"""/tables/([^"']*)\.parquet""", message)
    if found is None:
        return None
    schema, table, *folders = found[1].split("/")[:-1]
    pairs = (folder.partition("=") for folder in folders)
    return LostFile(f"{schema}.{table}", {column: unquote(value) for column, _, value in pairs if value != _NO_VALUE})


@contextmanager
def passing_over(connection: duckdb.DuckDBPyConnection, metadata: str) -> Iterator[PassOver]:
    """Within the block, files of old rows that are lost can be passed over.

    DuckLake's own tables cannot be changed within a transaction of its tables. So this is committed before the new rows
    are, and taken back where the block fails without them: perhaps the file can be read again.

    Args:
        connection: that may write, outside a transaction.
        metadata: the schema of DuckLake's own tables on it, quoted for SQL.

    Yields:
        A function that takes the message of an error, and hides the file that it names from the newest snapshot on,
        with a warning. It returns whether the message names such a file and says that it is lost. Call it outside a
        transaction, and only if all rows of the file are replaced next. One replacement wrote the file, so it has rows
        of one partition only.
    """
    passed: list[dict[str, Any]] = []

    def pass_over(message: str) -> bool:
        # Without the path, where names of pools and models stand.
        if not _LOST.search(re.sub(r"/tables/.*?\.parquet", "", message)):
            return False
        values = {"message": message, "snapshot": _snapshot(connection)}
        # Before the change, which an interrupt may follow at once.
        passed.append(values)
        changed = connection.execute(_of_catalog("pass_over_file", metadata), values).fetchone()
        if changed is None or not changed[0]:
            return False
        logger.warning("old rows are lost, and new ones take their place: %s", message)
        return True

    try:
        yield pass_over
    except BaseException:
        if passed:
            with suppress(duckdb.TransactionException):
                connection.rollback()
            # A commit may have succeeded although it raised.
            if _snapshot(connection) == passed[0]["snapshot"]:
                for values in passed:
                    connection.execute(_of_catalog("read_file_again", metadata), values)
        raise


def _snapshot(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute(load_sql("00_warehouse/current_snapshot")).fetchone()
    assert row is not None
    return int(row[0])


def _of_catalog(statement: str, metadata: str) -> str:
    """A statement on DuckLake's own tables."""
    return load_sql(f"00_warehouse/{statement}").replace("metadata.", f"{metadata}.")
