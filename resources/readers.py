"""Read-only connections that this process keeps open: to open one takes ten times as long as most queries."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Lock

import duckdb

Opened = AbstractContextManager[duckdb.DuckDBPyConnection]


@dataclass
class _Reader:
    state: str
    connection: duckdb.DuckDBPyConnection
    opened: ExitStack
    users: int = 0
    wanted: bool = True

    def close_if_unused(self) -> None:
        """Close the connection after its last cursor: closing it earlier would end its cursors too."""
        if not self.users and not self.wanted:
            self.opened.close()


_READERS: dict[str, _Reader] = {}
"""The open readers, by the warehouse's folder."""

_LOCK = Lock()


@contextmanager
def cursor(folder: str, state: str, opened: Callable[[], Opened]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor of the open connection; of a new one if the catalog has changed.

    Args:
        folder: the warehouse's folder.
        state: the state of its catalog.
        opened: opens a connection.

    Raises:
        Exception: whatever `opened` raises.
    """
    with _LOCK:
        reader = _READERS.get(folder)
        if reader is None or reader.state != state:
            _close(folder)
            stack = ExitStack()
            reader = _READERS[folder] = _Reader(state, stack.enter_context(opened()), stack)
        reader.users += 1
    try:
        with closing(reader.connection.cursor()) as connection:
            yield connection
    finally:
        with _LOCK:
            reader.users -= 1
            reader.close_if_unused()


def close(folder: str) -> None:
    """Close the connection to a warehouse after its last cursor; the next reader opens a new one."""
    with _LOCK:
        _close(folder)


def _close(folder: str) -> None:
    reader = _READERS.pop(folder, None)
    if reader is not None:
        reader.wanted = False
        reader.close_if_unused()
