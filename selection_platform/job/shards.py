"""A scoring job's result in shards: a job that was killed continues after its last one, with the same bytes."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import content_hash, file_hash, whole_file
from selection_platform.job.integrity import check_files
from selection_platform.job.processes import process_count, process_number, wait_for_all

Work = TypeVar("Work")


SHARDS = "part-*.parquet"
APART = "apart"
"""Beginning of the names of all files beside shards, and the whole of the first kind's."""
CUT_FILE = "samples_per_shard"
"""File that records how a job split its work."""


def write_shards(
    folder: Path,
    samples_per_shard: int,
    work: Iterable[Work],
    score: Callable[[Work], pa.Table],
    skip: Callable[[Work], None],
    apart: Mapping[str, str] | None = None,
) -> str:
    """Write the shards, from `part-00000.parquet` on, one file per piece of work.

    If several processes share the job, each writes every n-th shard. An error in a piece ends the job, so that no shard
    is ever missing.

    Args:
        folder: the job's folder, opened with `open_job_folder`. Existing shards are kept, unless the work was split
            differently.
        samples_per_shard: how the work was split into pieces.
        work: the pieces, in the same order in every run.
        score: computes the rows of one piece.
        skip: called with each piece whose shard exists, or belongs to another process.
        apart: columns of the rows that each go into a file beside the shard, with `sample_id`, and the beginning of
            its name: `apart` stands for `apart-00000.parquet`. So the shards, their hash, and each of these files are
            the same with and without others.

    Returns:
        The hash of all shards' bytes.
    """
    if process_number() == 0:
        _remove_other_cuts(folder, samples_per_shard)
    wait_for_all()
    files: list[Path] = []
    for number, piece in enumerate(work):
        files.append(folder / f"part-{number:05d}.parquet")
        if files[-1].exists() or number % process_count() != process_number():
            skip(piece)
            continue
        table = score(piece)
        # First: where there is a shard, there are the files beside it.
        for column, name in (apart or {}).items():
            with whole_file(folder / f"{name}-{number:05d}.parquet") as temporary:
                pq.write_table(table.select(["sample_id", column]), temporary, use_dictionary=False)
            table = table.drop_columns([column])
        with whole_file(files[-1]) as temporary:
            pq.write_table(table, temporary, use_dictionary=False)
    wait_for_all()
    return content_hash([file_hash(file) for file in files])


def _remove_other_cuts(folder: Path, samples_per_shard: int) -> None:
    """Remove the shards of an interrupted run that split the same job differently."""
    cut = folder / CUT_FILE
    if cut.exists() and cut.read_text() == str(samples_per_shard):
        return
    for file in (*folder.glob(SHARDS), *folder.glob(f"{APART}*-*.parquet")):
        file.unlink()
    with whole_file(cut) as temporary:
        temporary.write_text(str(samples_per_shard))


def shard_files(folder: Path) -> list[Path]:
    """The shards of a finished job, in order.

    Raises:
        ChangedFile: the folder's files are not what was written.
    """
    check_files(folder)
    return sorted(folder.glob(SHARDS))


def apart_files(folder: Path, name: str = APART) -> list[Path]:
    """The files with a column apart, beside the shards of a finished job, in order; none if it has no such column.

    Args:
        folder: the job's folder.
        name: the beginning of their names.

    Raises:
        ChangedFile: the folder's files are not what was written.
    """
    check_files(folder)
    return sorted(folder.glob(f"{name}-*.parquet"))
