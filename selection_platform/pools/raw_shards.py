"""The shards of a raw pool. If reading is killed, the next run continues after the last complete shard."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import whole_file
from selection_platform.job.progress import progress
from selection_platform.pools import shards
from selection_platform.pools.bad_rows import BadRowTally
from selection_platform.pools.rows import RawRow
from selection_platform.pools.shards import ROWS_PER_BATCH, shard_paths

RAW_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("record", pa.string())])

PROGRESS = b"progress"
"""Key of a shard's metadata with its last row in the source, and the bad rows up to there."""

CHARACTERS_PER_BATCH = 4_000_000
MOST_WAITING = 16
"""How many batches reading may be ahead of each thread."""


class RawShards:
    """Collects rows in batches, and hashes and writes them in separate threads, so that reading does not wait.

    Use it as a context manager: its end waits for the threads.

    Attributes:
        rows: number of rows passed to the threads; at first, the rows in complete shards of an earlier run.
        last: file name and row number of the last of these rows; None if there are none.
    """

    def __init__(self, folder: Path, tally: BadRowTally) -> None:
        self.rows = 0
        self.last: tuple[str, int] | None = None
        self._folder = folder
        self._tally = tally
        self._content = hashlib.sha256()
        self._shards = 0
        self._shard_rows = self._shard_characters = 0
        self._clear()
        self._take_up()
        self._hashing = _Thread("raw pool hash")
        # Two threads that take turns by shard, because compressing takes longer than reading.
        self._writing = [_Thread("raw pool shards"), _Thread("raw pool shards")]
        self._shard: _Shard | None = None

    def __enter__(self) -> "RawShards":
        return self

    def __exit__(self, *error: object) -> None:
        for thread in (self._hashing, *self._writing):
            thread.end()

    def _take_up(self) -> None:
        """Continue from the shards of an earlier run, and remove those that do not record where they end."""
        for left_over in self._folder.glob(".part-*.partial"):
            left_over.unlink()
        with progress("raw pool: checking earlier shards", None, "rows") as bar:
            while self._take_up_shard(self._path(self._shards)):
                self._shards += 1
                bar.advance(self.rows - bar.done)
        whole = {self._path(number) for number in range(self._shards)}
        for path in shard_paths(self._folder):
            if path not in whole:
                path.unlink()

    def _take_up_shard(self, path: Path) -> bool:
        """Continue after one shard. False if it is missing, or does not record where it ends."""
        if not path.exists():
            return False
        with pq.ParquetFile(path) as file:
            recorded = (file.metadata.metadata or {}).get(PROGRESS)
            if recorded is None:
                return False
            for records in _records(file):
                self._content.update(records)
            self.rows += file.metadata.num_rows
        end = json.loads(recorded)
        self.last = (end["file"], end["row"])
        self._tally.counts = Counter(end["bad_rows"])
        self._tally.examples = end["examples"]
        return True

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.parquet"

    def _clear(self) -> None:
        self._files: list[str] = []
        self._numbers: list[int] = []
        self._records: list[str] = []
        self._characters = 0

    def add(self, row: RawRow) -> int:
        """Add the next row, and return how many rows this passed to the threads: mostly 0."""
        self._files.append(row.file)
        self._numbers.append(row.row)
        self._records.append(row.record)
        self._characters += len(row.record)
        rows, characters = self._shard_rows + len(self._records), self._shard_characters + self._characters
        is_full = rows >= shards.ROWS_PER_SHARD or characters >= shards.CHARACTERS_PER_SHARD
        if not is_full and len(self._records) < ROWS_PER_BATCH and self._characters < CHARACTERS_PER_BATCH:
            return 0
        handed_on = len(self._records)
        self._hand_on()
        if is_full:
            self._end_shard()
        return handed_on

    def finish(self) -> tuple[int, str]:
        """Write the rest, and return the number of all rows and the SHA-256 of their texts, one line each."""
        self._hand_on()
        self._end_shard()
        for thread in (self._hashing, *self._writing):
            thread.wait()
        return self.rows, self._content.hexdigest()

    def _hand_on(self) -> None:
        """Pass the batch to the threads."""
        if not self._records:
            return
        if self._shard is None:
            self._shard = _Shard(self._path(self._shards), self._writing[self._shards % 2])
            self._shards += 1
        self.rows += len(self._records)
        self._shard_rows += len(self._records)
        self._shard_characters += self._characters
        self.last = (self._files[-1], self._numbers[-1])
        self._hashing.do(self._hash, self._records)
        self._shard.thread.do(self._shard.write, [self._files, self._numbers, self._records])
        self._clear()

    def _end_shard(self) -> None:
        if self._shard is None or self.last is None:
            return
        file, row = self.last
        bad_rows, examples = dict(self._tally.counts), dict(self._tally.examples)
        self._shard.thread.do(self._shard.end, {"file": file, "row": row, "bad_rows": bad_rows, "examples": examples})
        self._shard = None
        self._shard_rows = self._shard_characters = 0

    def _hash(self, records: list[str]) -> None:
        self._content.update(_lines(records))


class _Shard:
    """A file that a thread writes. It appears only when it is complete."""

    def __init__(self, path: Path, thread: "_Thread") -> None:
        self.thread = thread
        self._path = path
        self._files = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def write(self, columns: list[list[Any]]) -> None:
        """Add a batch."""
        if self._writer is None:
            temporary = self._files.enter_context(whole_file(self._path))
            # The texts are all different, so a dictionary of them would be useless.
            dictionary: Any = ["file"]
            self._writer = pq.ParquetWriter(temporary, RAW_SCHEMA, compression="zstd", use_dictionary=dictionary)
        self._writer.write_table(pa.table(columns, schema=RAW_SCHEMA))

    def end(self, progress: dict[str, Any]) -> None:
        """Record where in the source the shard ends, and complete it."""
        assert self._writer is not None
        self._writer.add_key_value_metadata({PROGRESS: json.dumps(progress).encode()})
        self._writer.close()
        self._files.close()


class _Thread:
    """Runs tasks one after another. An exception in one is raised by the next `do` or `wait`."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._waiting: deque[Future[None]] = deque()

    def do(self, work: Any, argument: object) -> None:
        """Run a task after all earlier ones."""
        while len(self._waiting) > MOST_WAITING or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work, argument))

    def wait(self) -> None:
        """Wait for all tasks."""
        while self._waiting:
            self._waiting.popleft().result()

    def end(self) -> None:
        """Stop without running the remaining tasks."""
        self._thread.shutdown(cancel_futures=True)


def _records(file: pq.ParquetFile) -> Iterator[bytes]:
    for batch in file.iter_batches(ROWS_PER_BATCH, columns=["record"]):
        yield _lines(batch.column(0).to_pylist())


def _lines(records: list[str]) -> bytes:
    return ("\n".join(records) + "\n").encode()
