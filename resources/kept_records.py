"""Dagster's records in SQLite, whose files stay open from one event to the next.

Dagster opens a file for each event and closes it again, at which SQLite copies its log into the file and waits for the
disk; and it makes the file of each run by its migrations. Together they took longer than what most steps do. Files,
tables and events are Dagster's own: whoever opens the home folder finds them as ever.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import sqlalchemy as db

# Not public: the storages that Dagster uses where its settings name no others.
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs.sqlite import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import event

MOST_RUNS_OPEN = 4


@contextmanager
def kept_open(instance: dg.DagsterInstance) -> Iterator[None]:
    """Keep the files of an instance open in this process until the block ends."""
    events, runs = instance.event_log_storage, instance.run_storage
    # Other storages keep connections themselves.
    if not isinstance(events, SqliteEventLogStorage) or not isinstance(runs, SqliteRunStorage):
        yield
        return
    events.__class__, runs.__class__ = KeptEventLog, KeptRuns
    try:
        yield
    finally:
        for storage in (events, runs):
            for engine in vars(storage).pop("kept", {}).values():
                engine.dispose()
        events.__class__, runs.__class__ = SqliteEventLogStorage, SqliteRunStorage


def forget(instance: dg.DagsterInstance, run: str) -> None:
    """Close the file of a run's events, if it is kept open, so that it can be deleted."""
    engine = vars(instance.event_log_storage).get("kept", {}).pop(run, None)
    if engine is not None:
        engine.dispose()


class KeptEventLog(SqliteEventLogStorage):
    """The events of each run in a file of its own, and those of assets in the index."""

    @contextmanager
    def _connect(self, shard: str) -> Iterator[db.Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            with engine.begin() as connection:
                yield connection
            if shard != INDEX_SHARD_NAME:
                # An open UI looks for changes of the file itself, and what is new is in the log beside it.
                os.utime(self.path_for_shard(shard))

    def _engine(self, shard: str) -> db.Engine:
        kept: dict[str, db.Engine] = vars(self).setdefault("kept", {})
        if shard not in kept:
            path = Path(self.path_for_shard(shard))
            if shard not in self._initialized_dbs:
                _put(path, _empty_file())
                self._initialized_dbs.add(shard)
            runs = [name for name in kept if name != INDEX_SHARD_NAME]
            for name in runs[: max(0, len(runs) + 1 - MOST_RUNS_OPEN)]:
                kept.pop(name).dispose()
            kept[shard] = _open(self.conn_string_for_shard(shard))
        return kept[shard]


class KeptRuns(SqliteRunStorage):
    """Which runs there are, and how far each has come."""

    @contextmanager
    def connect(self) -> Iterator[db.Connection]:
        """A connection in a transaction."""
        kept: dict[str, db.Engine] = vars(self).setdefault("kept", {})
        if self._conn_string not in kept:
            kept[self._conn_string] = _open(self._conn_string)
        with kept[self._conn_string].begin() as connection:
            yield connection


def _open(place: str) -> db.Engine:
    engine = db.create_engine(place, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: object) -> None:
        # A commit outlives the process as before. When the machine itself goes down, the last ones may be missing, and
        # their steps are done again; the file stays sound.
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine


@cache
def _empty_file() -> bytes:
    """A file of events without any, as Dagster's migrations make it."""
    with TemporaryDirectory() as folder:
        storage = SqliteEventLogStorage(folder)
        with storage.run_connection("empty"):
            pass
        return Path(storage.path_for_shard("empty")).read_bytes()


def _put(path: Path, content: bytes) -> None:
    """Make a file with a content, whole, unless there is one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    if not path.exists():
        temporary.write_bytes(content)
        # Unlike a renamed file, a link takes no place of what another process made meanwhile.
        with suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
