"""The writing connection of a warehouse, kept open from one step of a refresh to the next.

To open a connection for each write, and another for those who read after it, takes a third of what a light step takes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import duckdb

from resources import readers
from sql.queries import load_sql

Opened = AbstractContextManager[duckdb.DuckDBPyConnection]


class _Kept:
    """No connection, or one to a catalog."""

    def __init__(self) -> None:
        self._stack, self._catalog = ExitStack(), ""
        self._connection: duckdb.DuckDBPyConnection | None = None

    def clear_log(self) -> None:
        """Let SQLite move what is in its log to the catalog. It does when the last one looks who may write."""
        if self._connection is not None:
            self._connection.execute(load_sql("00_warehouse/current_snapshot"))

    def to(self, catalog: Callable[[], str], opened: Callable[[], Opened]) -> duckdb.DuckDBPyConnection:
        """Return the open connection to this catalog, or open one."""
        if self._connection is None or self._catalog != catalog():
            self.close()
            self._connection = self._stack.enter_context(opened())
            # After opening, which creates a missing catalog.
            self._catalog = catalog()
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._connection = None
        self._stack.close()


_KEPT: dict[str, _Kept] = {}
"""By the warehouse's folder."""


@contextmanager
def kept_writer(folder: str) -> Iterator[None]:
    """Keep the writing connection to a warehouse open in this process until the block ends.

    Meanwhile other processes read and write as ever. What is committed is in SQLite's log beside the catalog, from
    which it goes to the catalog when the log has grown, when the block ends, or when the next process writes alone.
    """
    _KEPT[folder] = _Kept()
    try:
        yield
    finally:
        kept = _KEPT.pop(folder)
        # Those who only read keep the log.
        readers.close(folder)
        kept.clear_log()
        kept.close()


@contextmanager
def writer(
    folder: str, catalog: Callable[[], str], opened: Callable[[], Opened]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection that is kept, or a new one for the block. To be called while no other process or thread writes.

    Args:
        folder: the warehouse's folder.
        catalog: gives the identity of its catalog, which may be another one by now.
        opened: opens a connection.

    Raises:
        Exception: whatever `opened` raises.
    """
    kept = _KEPT.get(folder)
    if kept is None:
        # SQLite clears its log when the last connection closes, if that one may write.
        readers.close(folder)
        with opened() as connection:
            yield connection
        return
    try:
        yield kept.to(catalog, opened)
    except BaseException:
        # Its transaction may be open.
        kept.close()
        raise
