"""The warehouse: a DuckLake, with tables in Parquet files and their catalog in SQLite or PostgreSQL.

While a process writes to a plain DuckDB file, no other process can read it. In a DuckLake, readers always see the last
committed snapshot, and old snapshots can be queried: `FROM scores.ifd AT (VERSION => 12)`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pyarrow.parquet as pq
from pydantic import Field

from resources import readers
from resources.catalog import CATALOG_VARIABLE, SQLITE, Catalog, literal, open_catalog, open_duckdb
from resources.faults import PARQUET, WarehouseFault, explained, leftovers_removed
from resources.kept_writer import writer
from resources.lost_files import PassOver, passing_over
from resources.plain_paths import Plain, plain_paths
from resources.read_only import answer, confine
from resources.replacement import OldRowsUnreadable, Replacement, Values, Verifier, condition_of, note
from selection_platform.errors import PlatformError
from selection_platform.experiments.methods import METHODS
from selection_platform.job.folder import whole_file
from sql.queries import list_sql, load_sql

EXPORT_BATCH = 10_000
"""Rows in memory at a time when a query is written to a file."""


class SnapshotMissing(PlatformError):
    """A snapshot that the warehouse does not have, or has no longer."""


class Warehouse(dg.ConfigurableResource):
    """Tables of pools, features, scores, selections and benchmark results."""

    folder: str = Field(description="Folder that holds the tables' Parquet files, and SQLite's catalog.")
    catalog: str = Field(default=SQLITE, description="`sqlite`, or `postgres:` and a libpq connection.")
    catalog_schema: str = Field(default="warehouse", description="Schema of the catalog in PostgreSQL's database.")

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return self._catalog.exists()

    @contextmanager
    def read(self, at: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that cannot change the warehouse. Each statement sees what was committed when it starts.

        Use it for the platform's own SQL. A user's SQL goes through `query`, which checks it, because this connection
        can still write files.

        Args:
            at: see all tables as they were at this snapshot instead.

        Raises:
            PlatformError: nothing was ever written.
            WarehouseFault: there are tables without their catalog.
            SnapshotMissing: there is no such snapshot.
        """
        if not self.exists():
            self._check_catalog_of_tables(self._catalog)
            raise PlatformError(f"there is no warehouse at {self.folder} yet: run `selection-platform run` first")
        attached = self._reading() if at is None else self._attached(read_only=True, at=at)
        with attached as connection:
            yield connection

    def query(self, sql: str, values: Values | None = None, at: int | None = None) -> pl.DataFrame:
        """The result of one SELECT, with bound `$name` values; with `at`, on the tables as of that snapshot.

        Raises:
            NotAQuery: the text is not one statement that only reads, and reads only from the warehouse.
            SnapshotMissing: there is no such snapshot.
        """
        with self.read(at) as connection:
            return answer(connection, sql, values or {})

    @contextmanager
    def queries(self, at: int) -> Iterator[Callable[[str, Values], pl.DataFrame]]:
        """Yields a function that runs several SELECTs of the platform as of one snapshot, on one connection.

        Args:
            at: the snapshot.

        Raises:
            PlatformError: nothing was ever written.
            SnapshotMissing: there is no such snapshot.
        """
        with self.read(at) as connection:
            yield lambda sql, values: connection.execute(sql, dict(values)).pl()

    def snapshot(self) -> int:
        """Number of the newest snapshot, for `AT (VERSION => n)`."""
        with self.read() as connection:
            row = connection.execute(load_sql("00_warehouse/current_snapshot")).fetchone()
        assert row is not None
        return int(row[0])

    def replace(
        self,
        table: str,
        partition: Values,
        rows: str,
        values: Values | None = None,
        verify: Verifier | None = None,
        order: str | None = None,
    ) -> int:
        """Replace one partition of a table by the result of a query. See `Replacement` and `replace_together`.

        Returns:
            The number of rows written.

        Raises:
            WarehouseFault: the disk, folder, catalog or server does not allow it; the old rows stay.
        """
        return self.replace_together(Replacement(table, partition, rows, values or {}, verify, order))[0]

    def replace_together(self, *replacements: "Replacement") -> list[int]:
        """Replace partitions of several tables in one transaction: all of them, or none.

        Returns:
            The number of rows written to each.

        Raises:
            WarehouseFault: disk, folder, catalog or server do not allow it; the old rows stay.
        """
        with plain_paths() as plain, self.write() as connection, passing_over(connection, self.metadata) as pass_over:
            counts = None
            # Each attempt that fails here passes over one file more.
            while counts is None:
                counts = self._replaced(connection, plain, replacements, pass_over)
        return counts

    def _replaced(
        self, connection: duckdb.DuckDBPyConnection, plain: Plain, new: Sequence[Replacement], pass_over: PassOver
    ) -> list[int] | None:
        """The number of rows written to each; None where a file of old rows is lost, and passed over from now on."""
        try:
            with ExitStack() as leftovers:
                # A table's own folder may have a name that DuckLake made up; its schema's has not.
                folders = {self.tables / each.table.split(".")[0] for each in new}
                before = {folder: leftovers.enter_context(leftovers_removed(folder)) for folder in folders}
                connection.begin()
                counts = [each.write(connection, plain) for each in new]
            connection.commit()
        except OldRowsUnreadable as unreadable:
            connection.rollback()
            if not pass_over(str(unreadable)):
                raise unreadable.error from unreadable
            return None
        note(new, lambda: (file for folder in folders for file in set(folder.rglob(PARQUET)) - before[folder]))
        return counts

    def replace_from_parquet(
        self, table: str, partition: Values, files: list[Path], verify: Verifier | None = None
    ) -> int:
        """Replace one partition of a table by the rows of Parquet files."""
        return self.replace_together(Replacement.of_parquet(table, partition, files, verify))[0]

    def add_score_table(self, table: str) -> None:
        """Create a table of scores where it is missing: one of a profile's own, as all warehouses have the others."""
        if table in table_definitions():
            return
        with self.write() as connection:
            if table not in _columns(connection):
                connection.begin()
                connection.execute(_score_table(table))
                connection.commit()

    def replace_from_frame(self, table: str, partition: Values, rows: pl.DataFrame) -> int:
        """Replace one partition of a table by the rows of a frame, whose columns have the table's names."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "rows.parquet"
            rows.write_parquet(file)
            return self.replace_from_parquet(table, partition, [file])

    def content_hash(self, table: str, partition: Values, columns: str = "*") -> str:
        """Identity of a partition's rows in any order: their number and the sum of their hashes.

        Args:
            table: name with schema.
            partition: the columns and values that name the partition.
            columns: the columns that count, as in a SELECT.
        """
        condition, values = condition_of(partition)
        with self.read() as connection:
            row = connection.execute(
                f"SELECT {_CONTENT} FROM (SELECT {columns} FROM {table} WHERE {condition}) r", values
            ).fetchone()
        assert row is not None
        return _identity(*row)

    def content_hashes(self, table: str, partition: Values, by: Sequence[str]) -> dict[tuple[Any, ...], str]:
        """Identity of each part of a partition's rows, as `content_hash` gives it, by the values of some columns.

        Args:
            table: name with schema.
            partition: the columns and values that name the partition.
            by: the columns whose values tell the parts apart.
        """
        condition, values = condition_of(partition)
        names = ", ".join(by)
        found = self.query(
            f"SELECT {names}, {_CONTENT} FROM (SELECT * FROM {table} WHERE {condition}) r GROUP BY {names} "
            f"ORDER BY {names}",
            values,
        )
        return {tuple(row[: len(by)]): _identity(*row[len(by) :]) for row in found.iter_rows()}

    def export(self, sql: str, path: Path, values: Values | None = None) -> None:
        """Write the result of a query to a Parquet file, in the query's order."""
        with self.read() as connection, whole_file(path) as temporary:
            rows = connection.execute(sql, dict(values or {})).to_arrow_reader(EXPORT_BATCH)
            with pq.ParquetWriter(temporary, rows.schema) as writer:
                for batch in rows:
                    writer.write_batch(batch)

    @property
    def metadata(self) -> str:
        """The schema of DuckLake's own tables on a connection, quoted for SQL."""
        return f'__ducklake_metadata_warehouse."{self._catalog.schema}"'

    @property
    def tables(self) -> Path:
        """The folder of the tables' files."""
        return Path(self.folder) / "tables"

    @property
    def _catalog(self) -> Catalog:
        return open_catalog(self.catalog, Path(self.folder), self.catalog_schema)

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that may change the warehouse, while no other process writes. To write rows, use `replace`."""
        self.tables.mkdir(parents=True, exist_ok=True)
        catalog = self._catalog
        with ExitStack() as stack:
            stack.enter_context(catalog.turn_to_write())
            self._check_catalog_of_tables(catalog)
            stack.enter_context(explained())
            yield stack.enter_context(writer(self.folder, lambda: catalog.identity, self._opened_to_write))

    @contextmanager
    def _opened_to_write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A new connection to a catalog with all tables."""
        with self._attached(read_only=False) as connection:
            _create_what_is_missing(connection)
            self._record_place(connection)
            yield connection

    def _check_catalog_of_tables(self, catalog: Catalog) -> None:
        """Raise if there are tables without a catalog: a new catalog would not know them."""
        if not catalog.exists() and any(self.tables.rglob(PARQUET)):
            raise WarehouseFault(
                f"{self.tables} has tables, but their catalog is missing: restore it, set {CATALOG_VARIABLE} as it was "
                f"when they were written, or remove {self.folder} and the folder dagster beside it and run again: that "
                "makes the tables again, and computes no complete job again"
            )

    def _check_place(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Raise if the catalog belongs to other tables, such as those of the home that this one is a copy of."""
        recorded = self._recorded_place(connection)
        if not _same_folder(recorded, self.tables):
            metadata, place = f'"{self._catalog.schema}".ducklake_metadata', literal(f"{self.tables}/")
            raise WarehouseFault(
                f"the catalog in PostgreSQL belongs to the tables in {recorded}, and this home's tables are in "
                f"{self.tables}. If you moved this home, run this in the database: UPDATE {metadata} SET value = "
                f"{place} WHERE key = 'data_path'. If it is a copy, give it its own catalog; docs/warehouse.md says how"
            )

    def _record_place(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Record this folder in the catalog, for other programs that open it."""
        recorded = self._recorded_place(connection)
        if recorded.is_relative_to("/proc") or not _same_folder(recorded, self.tables):
            record = f"UPDATE {self.metadata}.ducklake_metadata SET value = $place WHERE key = 'data_path'"
            connection.execute(record, {"place": f"{self.tables}/"})

    def _recorded_place(self, connection: duckdb.DuckDBPyConnection) -> Path:
        row = connection.execute(
            f"SELECT value FROM {self.metadata}.ducklake_metadata WHERE key = 'data_path'"
        ).fetchone()
        assert row is not None
        return Path(row[0])

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of the reading connection that this process keeps open."""
        opened = partial(self._attached, read_only=True)
        with explained(), readers.cursor(self.folder, self._catalog.state, opened, _use) as connection:
            yield connection

    @contextmanager
    def _attached(self, *, read_only: bool, at: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        catalog = self._catalog
        with plain_paths() as plain, open_duckdb("ducklake", catalog.extension) as connection:
            where, options = catalog.attach(plain, read_only=read_only)
            mode = (", READ_ONLY" if read_only else "") + ("" if at is None else f", SNAPSHOT_VERSION {at:d}")
            attach = f"ATTACH {literal(f'ducklake:{where}')} AS warehouse"
            try:
                # Files are named relative to it, so it may differ from the folder where the catalog was created.
                place = f"DATA_PATH {literal(plain(self.tables))}, OVERRIDE_DATA_PATH true"
                connection.execute(f"{attach} ({place}{options}{mode})")
            except duckdb.InvalidInputException as error:
                if at is None:
                    raise
                raise SnapshotMissing(f"the warehouse at {self.folder} has no snapshot {at}: {error}") from error
            connection.execute("USE warehouse")
            if not catalog.beside_tables:
                self._check_place(connection)
            if read_only:
                confine(connection, Path(plain(self.tables)))
            yield connection


def _use(connection: duckdb.DuckDBPyConnection) -> None:
    """Let names of tables be those of the warehouse."""
    connection.execute("USE warehouse")


_CONTENT = "count(*), sum(md5_number_lower(to_json(r)::VARCHAR)::HUGEINT)::VARCHAR"
"""What tells the content of rows `r` apart, whatever their order."""


def _identity(rows: int, hashes: str | None) -> str:
    return f"{rows}-{int(hashes or 0):x}"


def _same_folder(one: Path, other: Path) -> bool:
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False


def _create_what_is_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Create missing tables, and columns that tables of an earlier version lack."""
    definitions = table_definitions()
    existing = _columns(connection)
    wanted = table_columns()
    tables = [table for table in definitions if table not in existing]
    columns = {
        (table, column): kind
        for table in existing.keys() & wanted.keys()
        for column, kind in wanted[table].items()
        if column not in existing[table]
    }
    if not tables and not columns:
        return
    # One transaction: a commit for each table would take seconds.
    connection.begin()
    for table in tables:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
        connection.execute(definitions[table])
    for (table, column), kind in columns.items():
        connection.execute(f'ALTER TABLE {table} ADD COLUMN "{column}" {kind}')
    connection.commit()


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """The type of each column of each table."""
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(load_sql("00_warehouse/columns")).fetchall():
        columns.setdefault(table, {})[column] = kind
    return columns


@cache
def table_columns() -> dict[str, dict[str, str]]:
    """The type of each column of each table, by the tables' definitions: read from tables created in memory."""
    with closing(duckdb.connect(":memory:")) as connection:
        for table, definition in table_definitions().items():
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            # Only the CREATE TABLE: how DuckLake partitions the table follows, and does not matter here.
            connection.execute(connection.extract_statements(definition)[0])
        return _columns(connection)


def table_definitions() -> dict[str, str]:
    """The statements that create each table, by table name."""
    statements = {name.removeprefix("01_schema/"): load_sql(name) for name in list_sql("01_schema")}
    statements.pop("scores.each_method")
    scored = [method.table for method in METHODS.values() if method.scored_per is not None]
    return statements | {table: _score_table(table) for table in scored}


def _score_table(name: str) -> str:
    """The statements that create a table of scores."""
    return load_sql("01_schema/scores.each_method").replace("scores.each_method", name)
