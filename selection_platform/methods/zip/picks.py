"""ZIP's picks as a file."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import whole_file
from selection_platform.methods.zip.selection import ZipSettings, published_record_text, record_text, select
from selection_platform.text.conversation import to_messages

_ROWS_PER_READ = 10_000


def write_picks(samples_file: Path, budget: int, settings: ZipSettings, folder: Path) -> Path:
    """Pick from the samples of a Parquet file; a killed run continues from its checkpoint in `folder`.

    Args:
        samples_file: columns `sample_id` and `messages` (list of `{role, content}`); for the published search also
            `source`. In that search, a row's position in the file is part of its record.
        budget: samples to pick; all samples if there are fewer.
        settings: sizes of ZIP's three stages.
        folder: where the checkpoint and the picks go.

    Returns:
        A Parquet file of `sample_id`, `position` (from 1, in the order of picking) and `ratio` (raw bytes by compressed
        bytes of the picks of the round up to this one).
    """
    file = pq.ParquetFile(samples_file)
    sample_ids = pq.read_table(samples_file, columns=["sample_id"])["sample_id"].to_pylist()
    records = _published_records(file) if settings.published else _records(file)
    picks = select(sample_ids, records, min(budget, len(sample_ids)), settings, folder / "checkpoint.npz")
    table = pa.table(
        {
            "sample_id": [pick.sample_id for pick in picks],
            "position": [pick.position + 1 for pick in picks],
            "ratio": [pick.ratio for pick in picks],
        }
    )
    path = folder / "picks.parquet"
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)
    return path


def _records(file: pq.ParquetFile) -> Iterator[str]:
    for batch in file.iter_batches(batch_size=_ROWS_PER_READ, columns=["messages"]):
        yield from (record_text(to_messages(messages)) for messages in batch["messages"].to_pylist())


def _published_records(file: pq.ParquetFile) -> Iterator[str]:
    place = 0
    for batch in file.iter_batches(batch_size=_ROWS_PER_READ, columns=["messages", "source"]):
        for row in batch.to_pylist():
            yield published_record_text(to_messages(row["messages"]), place, row["source"])
            place += 1
