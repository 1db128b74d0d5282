"""The files that DiverseEvol reads and writes, besides models and embeddings."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

PICKS = pa.schema([("sample_id", pa.string()), ("position", pa.int64()), ("round", pa.int32())])


def sorted_ids(samples_file: Path) -> list[str]:
    """The pool's ids, sorted. Row numbers of the pool refer to this order."""
    sample_ids = sorted(pq.read_table(samples_file, columns=["sample_id"])["sample_id"].to_pylist())
    if not sample_ids:
        raise PlatformError(f"{samples_file}: no samples")
    for before, after in pairwise(sample_ids):
        if before == after:
            raise PlatformError(f"{samples_file}: sample_id {after!r} occurs more than once; remove the copies")
    return sample_ids


def write_training_file(samples_file: Path, sample_ids: Sequence[str], train_file: Path) -> None:
    """Write the samples with some ids, in this order, for `fine_tune`."""
    columns = [name for name in ("sample_id", "messages", "untrained") if name in pq.read_schema(samples_file).names]
    table = pq.read_table(samples_file, columns=columns, filters=[("sample_id", "in", list(sample_ids))])
    position = {sample_id: place for place, sample_id in enumerate(sample_ids, start=1)}
    table = table.add_column(0, "position", pa.array([position[name] for name in table["sample_id"].to_pylist()]))
    with whole_file(train_file) as temporary:
        pq.write_table(table.sort_by("position"), temporary)


def write_picks(sample_ids: Sequence[str], chosen: Sequence[Sequence[int]], path: Path) -> None:
    """Write the rows that each round picked, with the random start first."""
    columns = [
        [sample_ids[row] for rows in chosen for row in rows],
        list(range(1, 1 + sum(map(len, chosen)))),
        [number for number, rows in enumerate(chosen) for _ in rows],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, PICKS, strict=True)]
    with whole_file(path) as temporary:
        pq.write_table(pa.table(arrays, schema=PICKS), temporary)
