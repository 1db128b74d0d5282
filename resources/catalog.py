"""Where the warehouse keeps its catalog: the tables, and the Parquet files of each snapshot.

SQLite needs no server and serves one machine. PostgreSQL serves several. `docs/warehouse.md` says when to use which.
"""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from tempfile import gettempdir
from typing import Protocol
from uuid import uuid4

import duckdb
from dagster_duckdb import DuckDBResource
from filelock import FileLock

from resources.faults import explained
from resources.plain_paths import Plain
from resources.read_only_home import can_write, copied_database, log_beside, size_and_time
from selection_platform.errors import PlatformError

CATALOG_VARIABLE = "SELECTION_PLATFORM_CATALOG"
SQLITE, POSTGRES = "sqlite", "postgres:"

_KNOWN_TO_EXIST: set[str] = set()
"""PostgreSQL catalogs that this process has seen: to ask again would take a connection."""


class CatalogError(PlatformError):
    """The setting of the catalog is not understood, or holds a secret."""


class Catalog(Protocol):
    """What the warehouse needs to know about its catalog.

    Attributes:
        extension: the DuckDB extension that reads it.
        schema: the schema in which DuckLake keeps its own tables.
        beside_tables: whether it is in the warehouse's folder, and is moved and copied with the tables.
    """

    extension: str
    schema: str
    beside_tables: bool

    @property
    def identity(self) -> str:
        """Differs between catalogs, and between a catalog that is open and a later one in the same place."""
        ...

    @property
    def state(self) -> str:
        """Changes when an open connection may no longer see the catalog as it is now."""
        ...

    def attach(self, plain: Plain, *, read_only: bool) -> tuple[str, str]:
        """What DuckLake attaches, with its path made plain by `plain`, and further options."""
        ...

    def exists(self) -> bool:
        """Whether anything was ever written."""
        ...

    def turn_to_write(self) -> AbstractContextManager[object]:
        """Wait until no other process writes, and let others wait until the block ends."""
        ...


def open_catalog(setting: str, folder: Path, schema: str) -> Catalog:
    """The catalog that a setting names.

    Args:
        setting: `sqlite`, or `postgres:` and a libpq connection, such as `dbname=lake host=db user=me`.
        folder: the warehouse's folder.
        schema: schema of the PostgreSQL database, so that one database can serve several warehouses.

    Raises:
        CatalogError: the setting is neither, or has a password in it.
    """
    if setting == SQLITE:
        return SqliteCatalog(folder)
    connection = setting.removeprefix(POSTGRES)
    if connection == setting:
        raise CatalogError(
            f"{CATALOG_VARIABLE} must be `sqlite`, or `postgres:` and a connection such as "
            f"`postgres:dbname=warehouse host=db.example user=me`"
        )
    if "://" in connection or re.search(r"password\s*=", connection):
        # Everyone who may query can see the connection (duckdb_databases()), and so can users of Dagster's UI.
        raise CatalogError(
            f"{CATALOG_VARIABLE} must be `key=value` pairs without a password; "
            "put the password into PGPASSWORD or into the password file, ~/.pgpass"
        )
    return PostgresCatalog(connection, schema)


class SqliteCatalog:
    """A file beside the tables."""

    extension = "sqlite_scanner"
    schema = "main"
    beside_tables = True

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "catalog.sqlite"

    @property
    def identity(self) -> str:
        """Path and inode, which no later file has while the file is open."""
        return f"{self._path} {self._path.stat().st_ino}"

    @property
    def state(self) -> str:
        """The identity, and when the file was last changed; where it is copied, also what the log beside it is.

        An open connection to the file itself sees what is committed into the log.
        """
        log = "" if can_write(self._folder) else f" {size_and_time(log_beside(self._path))}"
        return f"{self.identity} {self._path.stat().st_mtime_ns}{log}"

    def attach(self, plain: Plain, *, read_only: bool) -> tuple[str, str]:
        """The path; and a write-ahead log, as without one no writer can commit while a reader's transaction is open."""
        if not read_only:
            return f"sqlite:{plain(self._path)}", ", META_JOURNAL_MODE 'WAL'"
        readable = self._path if can_write(self._folder) else copied_database(self._path, self.state)
        return f"sqlite:{plain(readable)}", ""

    def exists(self) -> bool:
        """Whether there is a file with something in it."""
        return self._path.exists() and self._path.stat().st_size > 0

    def turn_to_write(self) -> AbstractContextManager[object]:
        """A queue: SQLite lets one writer commit at a time, and retrying after "database is locked" takes longer."""
        return FileLock(self._folder / "write.lock")


class PostgresCatalog:
    """A schema of a PostgreSQL database."""

    extension = "postgres_scanner"
    beside_tables = False

    def __init__(self, connection: str, schema: str) -> None:
        self._connection, self.schema = connection.strip(), schema

    @property
    def identity(self) -> str:
        """Connection and schema."""
        return f"{self._connection} {self.schema}"

    @property
    def state(self) -> str:
        """The identity: connections to a server see every change."""
        return self.identity

    def attach(self, plain: Plain, *, read_only: bool) -> tuple[str, str]:
        """The connection, and the schema as an option."""
        return f"postgres:{self._connection}", f", METADATA_SCHEMA {literal(self.schema)}"

    def exists(self) -> bool:
        """Whether the schema has DuckLake's tables."""
        if self.identity not in _KNOWN_TO_EXIST:
            relation = f'"{self.schema}".ducklake_snapshot'
            with self._connected() as connection:
                exists = _ask(connection, f"SELECT to_regclass({literal(relation)}) IS NOT NULL")
            if not exists:
                return False
            _KNOWN_TO_EXIST.add(self.identity)
        return True

    @contextmanager
    def turn_to_write(self) -> Iterator[None]:
        """Hold a lock on the server. It works across machines, and is released when the process is killed.

        Without it, DuckLake treats two writes to one table as a conflict, whatever their partitions. Retrying does not
        help: failed commits seem to leave connections open (DuckLake 1.5.5), until the server accepts no more.
        `docs/warehouse.md` has the numbers.
        """
        with self._connected() as connection:
            connection.begin()
            name = literal(f"selection-platform {self.schema}")
            _ask(connection, f"SELECT pg_advisory_xact_lock(hashtextextended({name}, 0))::text")
            yield

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_duckdb(self.extension) as connection:
            # A progress bar would show the time spent waiting.
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"ATTACH {literal(self._connection)} AS server (TYPE postgres, READ_ONLY)")
            yield connection


def _ask(connection: duckdb.DuckDBPyConnection, sql: str) -> object:
    row = connection.execute(f"FROM postgres_query('server', {literal(sql)})").fetchone()
    assert row is not None
    return row[0]


def literal(text: str) -> str:
    """A text as an SQL literal, because ATTACH takes no bound values."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def open_duckdb(*extensions: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A separate in-memory DuckDB, with extensions from installed packages."""
    verified = [_verified(name) for name in extensions]
    configuration = {
        "allow_unsigned_extensions": True,
        "memory_limit": f"{memory_limit()}B",
        # One per connection, because they would overwrite each other's files. DuckDB creates it when needed.
        "temp_directory": str(Path(gettempdir()) / f"selection-platform-{uuid4().hex}"),
    }
    database = DuckDBResource(database=":memory:", connection_config=configuration)
    # get_connection does not close when the block raises.
    with database.get_connection() as connection, closing(connection):
        for extension in verified:
            connection.load_extension(extension)
        with explained():
            yield connection


@cache
def memory_limit() -> int:
    """Bytes that a connection may use before it spills to disk: one GiB per core.

    DuckDB's default is four fifths of the machine's memory, in each process and beside the models.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min((os.cpu_count() or 1) * 2**30, physical * 4 // 5)


@cache
def _verified(name: str) -> str:
    """An extension's file, with its signature verified: once per process, because it takes longer than the rest."""
    extension = extension_file(name)
    with closing(duckdb.connect(":memory:")) as connection:
        connection.load_extension(extension)
    return extension


def extension_file(name: str) -> str:
    """The file of an extension in its installed package."""
    package = f"duckdb_extension_{name}"
    file = f"{package}/extensions/v{duckdb.__version__}/{name}.duckdb_extension"
    return str(distribution(package.replace("_", "-")).locate_file(file))
