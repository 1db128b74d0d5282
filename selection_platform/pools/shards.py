"""A long table as a folder of Parquet files, written and read a batch at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import whole_file

ROWS_PER_SHARD = 20_000
CHARACTERS_PER_SHARD = 32_000_000
"""A shard ends at whichever limit comes first, so that long conversations do not need more memory."""

ROWS_PER_BATCH = 1000


class ShardWriter:
    """Collects rows and writes a file for each full shard. Call `flush` at the end."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        for left_over in shard_paths(folder):
            left_over.unlink()
        self._folder = folder
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._characters = 0
        self._shards = 0

    def add(self, row: dict[str, Any], characters: int) -> None:
        """Add a row with about this many characters of text."""
        self._rows.append(row)
        self._characters += characters
        if len(self._rows) >= ROWS_PER_SHARD or self._characters >= CHARACTERS_PER_SHARD:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are waiting, if there are any."""
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=self._schema)
        write_table(table, self._folder / f"part-{self._shards:05d}.parquet")
        self._rows = []
        self._characters = 0
        self._shards += 1


def write_table(table: pa.Table, path: Path, compression: str = "zstd") -> None:
    """Write one shard. The file appears only when it is complete."""
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression=compression)


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder, in the order of their rows."""
    return sorted(folder.glob("part-*.parquet"))


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all shards, in order."""
    for path in shard_paths(folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_BATCH):
                yield from batch.to_pylist()
