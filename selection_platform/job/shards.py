"""A scoring job's result in shards: a job that was killed continues after its last one, with the same bytes."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.errors import PlatformError
from selection_platform.job.claims import Claims
from selection_platform.job.folder import content_hash, file_hash, whole_file
from selection_platform.job.integrity import check_files
from selection_platform.job.processes import gathered, process_number

Work = TypeVar("Work")


SHARDS = "part-*.parquet"
APART = "apart"
"""Beginning of the names of all files beside shards, and the whole of the first kind's."""
CUT_FILE = "cut"
"""File that records how a job split its work."""
_CLAIMS = ".claims"


def write_shards(
    folder: Path,
    cut: str,
    work: Sequence[Work],
    score: Callable[[Work], pa.Table],
    skip: Callable[[Work], None],
    apart: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write the shards, from `part-00000.parquet` on, one file per piece of work.

    If several processes share the job, one that is free takes the next piece, so a slow one does fewer. An error in a
    piece ends the job, so that no shard is ever missing. Each file is read back once, by one process, for its hash.

    Args:
        folder: the job's folder, opened with `open_job_folder`. Existing shards are kept, unless the work was split
            differently.
        cut: a description of how the work is split into pieces.
        work: the pieces, in the same order in every run and process.
        score: computes the rows of one piece.
        skip: called with each piece whose shard exists, or that another process takes.
        apart: columns of the rows that each go into a file beside the shard, with `sample_id`, and the beginning of
            its name: `apart` stands for `apart-00000.parquet`. So the shards, their hash, and each of these files are
            the same with and without others.

    Returns:
        The SHA-256 of each shard, and of each file beside one, by name. Every process has all.

    Raises:
        PlatformError: a shard was not written.
    """
    if process_number() == 0:
        _remove_left_overs(folder, cut)
    claims = Claims(folder / _CLAIMS)
    # Asked once: on a network's file system, a file that one machine looked for may stay hidden from it for a while.
    there = {path.name for path in folder.glob(SHARDS)}
    hashes: dict[str, str] = {}
    for number, piece in enumerate(work):
        is_ours = claims.take(number)
        if not is_ours or _shard(number) in there:
            skip(piece)
        else:
            _write_shard(folder, number, score(piece), apart or {})
        if is_ours:
            names = [_shard(number), *(_beside(name, number) for name in (apart or {}).values())]
            hashes |= {name: file_hash(folder / name) for name in names}
    # All are done where this ends.
    hashes = {name: found for of_process in gathered(hashes) for name, found in of_process.items()}
    for number in range(len(work)):
        if _shard(number) not in hashes:
            raise PlatformError(f"{folder / _shard(number)}: no process wrote this shard; run again, and it is written")
    if process_number() == 0:
        claims.remove()
    return hashes


def shards_hash(hashes: Mapping[str, str]) -> str:
    """The hash of all shards' bytes, from what `write_shards` returns; files beside the shards do not count."""
    return content_hash([hashes[name] for name in sorted(hashes) if fnmatch(name, SHARDS)])


def _shard(number: int) -> str:
    return f"part-{number:05d}.parquet"


def _beside(name: str, number: int) -> str:
    return f"{name}-{number:05d}.parquet"


def _write_shard(folder: Path, number: int, table: pa.Table, apart: Mapping[str, str]) -> None:
    # First: where there is a shard, there are the files beside it.
    for column, name in apart.items():
        with whole_file(folder / _beside(name, number)) as temporary:
            pq.write_table(table.select(["sample_id", column]), temporary, use_dictionary=False)
        table = table.drop_columns([column])
    with whole_file(folder / _shard(number)) as temporary:
        pq.write_table(table, temporary, use_dictionary=False)


def _remove_left_overs(folder: Path, cut: str) -> None:
    """Remove what a killed process was writing, and the shards of a run that split the same job differently."""
    for begun in folder.glob(".*.partial"):
        begun.unlink()
    file = folder / CUT_FILE
    if file.exists() and file.read_text() == cut:
        return
    for left_over in (*folder.glob(SHARDS), *folder.glob(f"{APART}*-*.parquet")):
        left_over.unlink()
    with whole_file(file) as temporary:
        temporary.write_text(cut)


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
