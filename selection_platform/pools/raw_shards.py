"""The shards of a raw pool: a reading that was killed goes on behind the last whole one."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import whole_file
from selection_platform.pools import shards
from selection_platform.pools.bad_rows import BadRowTally
from selection_platform.pools.rows import RawRow
from selection_platform.pools.shards import shard_paths

RAW_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("record", pa.string())])

PROGRESS = b"progress"
"""Key of a shard's metadata: which row of the source is its last one, and the bad rows up to there."""

_ROWS_PER_STEP = 4096


class RawShards:
    """Writes rows and hashes them, in a thread of its own: reading waits only when it is two shards ahead.

    Used as a context: leaving it waits for the thread.

    Attributes:
        rows: how many rows there are; after a reading that was killed, at first those of its whole shards.
        last: name of the file and number of the row that was added last; None at the beginning of the source.
    """

    def __init__(self, folder: Path, tally: BadRowTally) -> None:
        self.rows = 0
        self.last: tuple[str, int] | None = None
        self._folder = folder
        self._tally = tally
        self._content = hashlib.sha256()
        self._shards = 0
        self._clear()
        self._thread = ThreadPoolExecutor(1, "raw shards")
        self._writing: list[Future[None]] = []
        self._take_up()

    def __enter__(self) -> "RawShards":
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()

    def _take_up(self) -> None:
        """Take up what an earlier reading wrote, and remove what does not say where it ended."""
        for number, path in enumerate(shard_paths(self._folder)):
            with pq.ParquetFile(path) as file:
                said = (file.schema_arrow.metadata or {}).get(PROGRESS)
                if said is None or path != self._path(number):
                    break
                progress = json.loads(said)
                for records in _records(file):
                    self._content.update(records)
                self.rows += file.metadata.num_rows
            self.last = (progress["file"], progress["row"])
            self._tally.counts.clear()
            self._tally.counts.update(progress["bad_rows"])
            self._tally.examples = progress["examples"]
            self._shards += 1
        for path in shard_paths(self._folder)[self._shards :]:
            path.unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.parquet"

    def _clear(self) -> None:
        self._files: list[str] = []
        self._numbers: list[int] = []
        self._texts: list[str] = []
        self._characters = 0

    def add(self, row: RawRow) -> None:
        """Add the next row."""
        self._files.append(row.file)
        self._numbers.append(row.row)
        self._texts.append(row.record)
        self._characters += len(row.record)
        if len(self._texts) >= shards.ROWS_PER_SHARD or self._characters >= shards.CHARACTERS_PER_SHARD:
            self._flush()

    def finish(self) -> tuple[int, str]:
        """Write what is left; the number of all rows, and the SHA-256 of their texts, each with a line break behind."""
        self._flush()
        for writing in self._writing:
            writing.result()
        return self.rows, self._content.hexdigest()

    def _flush(self) -> None:
        if not self._texts:
            return
        self.rows += len(self._texts)
        self.last = (self._files[-1], self._numbers[-1])
        progress = {
            "file": self.last[0],
            "row": self.last[1],
            "bad_rows": dict(self._tally.counts),
            "examples": dict(self._tally.examples),
        }
        if len(self._writing) > 1:
            self._writing.pop(0).result()
        columns = (self._files, self._numbers, self._texts)
        self._writing.append(self._thread.submit(self._write, self._path(self._shards), columns, progress))
        self._shards += 1
        self._clear()

    def _write(self, path: Path, columns: tuple[list[str], list[int], list[str]], progress: dict[str, Any]) -> None:
        metadata = {PROGRESS: json.dumps(progress).encode()}
        table = pa.table(list(columns), schema=RAW_SCHEMA.with_metadata(metadata))
        texts = columns[2]
        for start in range(0, len(texts), _ROWS_PER_STEP):
            self._content.update(("\n".join(texts[start : start + _ROWS_PER_STEP]) + "\n").encode())
        with whole_file(path) as temporary:
            # Each text differs from all others: a dictionary of them would be thrown away.
            pq.write_table(table, temporary, compression="zstd", use_dictionary=["file"])


def _records(file: pq.ParquetFile) -> Iterator[bytes]:
    for batch in file.iter_batches(_ROWS_PER_STEP, columns=["record"]):
        yield ("\n".join(batch.column(0).to_pylist()) + "\n").encode()
