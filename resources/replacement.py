"""New rows for a partition of a table, and how they take the place of the old ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb

from resources.plain_paths import Plain

Values = Mapping[str, Any]
Verifier = Callable[[duckdb.DuckDBPyConnection], None]


class OldRowsUnreadable(Exception):
    """The rows that are to be replaced cannot be read, with DuckDB's error: perhaps their file is gone."""

    def __init__(self, error: duckdb.Error) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Replacement:
    """New rows for one partition of a table.

    Attributes:
        table: name with schema, such as `scores.ifd`.
        partition: the columns and values that name the partition; none for a table without partitions.
        rows: a SELECT that gives the table's columns by name, the partition's may be left out.
        values: bound values of the SELECT. Paths among them name one file each, whatever characters are in them.
        verify: looks at the new rows through the connection before they are committed; if it raises, the old rows stay.
        order: ORDER BY terms of the rows as they are stored. A query for the first of them then reads little.
    """

    table: str
    partition: Values
    rows: str
    values: Values = field(default_factory=dict)
    verify: Verifier | None = None
    order: str | None = None

    @classmethod
    def of_parquet(cls, table: str, partition: Values, files: list[Path], verify: Verifier | None = None) -> Self:
        """By the rows of Parquet files."""
        return cls(table, partition, "SELECT * FROM read_parquet($files)", {"files": files}, verify)

    def write(self, connection: duckdb.DuckDBPyConnection, plain: Plain) -> int:
        """Write the rows in the connection's transaction; gives their number.

        Raises:
            OldRowsUnreadable: the old rows cannot be removed.
        """
        condition, of_condition = condition_of(self.partition)
        columns = "".join(f"$partition_{column} AS {column}, " for column in self.partition)
        ordered = f" ORDER BY {self.order}" if self.order else ""
        try:
            connection.execute(f"DELETE FROM {self.table} WHERE {condition}", of_condition)
        except duckdb.Error as error:
            raise OldRowsUnreadable(error) from error
        connection.execute(
            f"INSERT INTO {self.table} BY NAME SELECT {columns}* FROM ({self.rows}){ordered}",
            {
                **{f"partition_{column}": value for column, value in self.partition.items()},
                **{name: _readable(value, plain) for name, value in self.values.items()},
            },
        )
        if self.verify is not None:
            self.verify(connection)
        row = connection.execute(f"SELECT count(*) FROM {self.table} WHERE {condition}", of_condition).fetchone()
        assert row is not None
        return int(row[0])


@dataclass
class Written:
    """What was committed to a warehouse.

    Attributes:
        replacements: all of them.
        files: the Parquet files that hold their rows. Few rows are in the catalog instead.
    """

    replacements: list[Replacement] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what was noted so far."""
        self.replacements.clear()
        self.files.clear()


_written: Written | None = None
"""What was written within `noted_writes`; None outside it."""


@contextmanager
def noted_writes() -> Iterator[Written]:
    """Yields a note of all that this process writes to a warehouse within the block, as it is committed."""
    global _written
    _written = Written()
    try:
        yield _written
    finally:
        _written = None


def note(replacements: Iterable[Replacement], files: Callable[[], Iterable[Path]]) -> None:
    """Note what was committed, and the files that hold it, which are looked for only where somebody wants them."""
    if _written is not None:
        _written.replacements.extend(replacements)
        _written.files.extend(files())


def condition_of(partition: Values) -> tuple[str, dict[str, Any]]:
    """The condition for a partition's rows, and its bound values."""
    # Not IS NOT DISTINCT FROM, by which DuckLake opens the files of all partitions (1.5.5).
    conditions = [
        f"{column} IS NULL" if value is None else f"{column} = $partition_{column}"
        for column, value in partition.items()
    ]
    values = {f"partition_{column}": value for column, value in partition.items() if value is not None}
    return " AND ".join(["true", *conditions]), values


def _readable(value: Any, plain: Plain) -> Any:
    """A bound value, with plain texts instead of paths."""
    if isinstance(value, list):
        return [_readable(item, plain) for item in value]
    return plain(value) if isinstance(value, Path) else value
