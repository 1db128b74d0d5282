"""Read-only connections that this process keeps open: to open one takes ten times as long as most queries."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
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
    idle: list[duckdb.DuckDBPyConnection] = field(default_factory=list)

    def close_if_unused(self) -> None:
        """Close the connection after its last cursor: closing it earlier would end its cursors too."""
        if not self.users and not self.wanted:
            self.opened.close()


_READERS: dict[str, _Reader] = {}
"""The open readers, by the warehouse's folder."""

_LOCK = Lock()


@contextmanager
def cursor(
    folder: str, state: str, opened: Callable[[], Opened], ready: Callable[[duckdb.DuckDBPyConnection], object]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor of the open connection; of a new one if the catalog has changed.

    It serves the next reader after the block, unless that raised: what it was reading may still be open.

    Args:
        folder: the warehouse's folder.
        state: the state of its catalog.
        opened: opens a connection.
        ready: makes a new cursor ready; it takes as long as most queries.

    Raises:
        Exception: whatever `opened` and `ready` raise.
    """
    with _LOCK:
        reader = _READERS.get(folder)
        if reader is None or reader.state != state:
            _close(folder)
            stack = ExitStack()
            reader = _READERS[folder] = _Reader(state, stack.enter_context(opened()), stack)
        reader.users += 1
        used = reader.idle.pop() if reader.idle else None
    connection, done = used or reader.connection.cursor(), False
    try:
        if used is None:
            ready(connection)
        yield connection
        done = True
    finally:
        if not done:
            connection.close()
        with _LOCK:
            if done:
                reader.idle.append(connection)
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
