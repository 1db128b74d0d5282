"""Parquet files of the warehouse that are gone or cannot be read: what they held, and new rows in their place."""

import logging
import re
from typing import NamedTuple
from urllib.parse import unquote

import duckdb

from sql.queries import load_sql

logger = logging.getLogger(__name__)

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
        named = [self.partition[column] for column in ("experiment", "pool", "model") if column in self.partition]
        return "/".join(named) or None


def lost_file(message: str) -> LostFile | None:
    """The file of the warehouse that an error of DuckDB's names; None where it names none."""
    found = re.search(r"""/tables/([^"']*)\.parquet""", message)
    if found is None:
        return None
    schema, table, *folders = found[1].split("/")[:-1]
    pairs = (folder.partition("=") for folder in folders)
    return LostFile(f"{schema}.{table}", {column: unquote(value) for column, _, value in pairs if value != _NO_VALUE})


def pass_over(connection: duckdb.DuckDBPyConnection, metadata: str, message: str) -> bool:
    """Have the file that an error names read no more, from the newest snapshot on, and say so.

    To be called where all its rows are to be replaced: it holds those of one partition alone, as it was written by one
    replacement.

    Args:
        connection: that may write, outside a transaction.
        metadata: the schema of DuckLake's own tables on it, quoted for SQL.
        message: of the error.

    Returns:
        Whether there was such a file.
    """
    snapshot = connection.execute(load_sql("00_warehouse/current_snapshot")).fetchone()
    assert snapshot is not None
    statement = load_sql("00_warehouse/pass_over_file").replace("metadata.", f"{metadata}.")
    changed = connection.execute(statement, {"message": message, "snapshot": snapshot[0]}).fetchone()
    if changed is None or not changed[0]:
        return False
    logger.warning("old rows are lost, and new ones take their place: %s", message)
    return True
