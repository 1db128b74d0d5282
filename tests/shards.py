"""The shards that a job wrote."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def shard_rows(folder: Path) -> pa.Table:
    """All rows, in the order of the shards."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))])


def shard_bytes(folder: Path) -> dict[str, bytes]:
    """The bytes of each shard, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}
