"""A scoring job's result in shards: a job that was killed goes on after its last whole one, with the same bytes."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import content_hash, file_hash, whole_file
from selection_platform.job.processes import process_count, process_number, wait_for_all

Work = TypeVar("Work")


def write_shards(
    folder: Path, work: Iterable[Work], score: Callable[[Work], pa.Table], skip: Callable[[Work], None]
) -> str:
    """Write `part-00000.parquet` and on, one file for each piece of work.

    Several processes at the job each write the shards whose numbers fall to them. An error in a piece ends the job, so
    that no shard is ever left out.

    Args:
        folder: the job's folder, opened with `open_job_folder`; shards that are there already are kept.
        work: pieces of the job, the same and in the same order at every run.
        score: makes the rows of one piece.
        skip: told of each piece whose shard is there already, or falls to another process.

    Returns:
        The hash of all shards' bytes.
    """
    files: list[Path] = []
    for number, piece in enumerate(work):
        files.append(folder / f"part-{number:05d}.parquet")
        if files[-1].exists() or number % process_count() != process_number():
            skip(piece)
            continue
        table = score(piece)
        with whole_file(files[-1]) as temporary:
            pq.write_table(table, temporary, use_dictionary=False)
    wait_for_all()
    return content_hash([file_hash(file) for file in files])


def shard_files(folder: Path) -> list[Path]:
    """The shards of a finished job, in order."""
    return sorted(folder.glob("part-*.parquet"))
