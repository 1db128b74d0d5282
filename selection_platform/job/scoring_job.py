"""The frame of every scoring job: open the folder, plan, write shard after shard, declare it complete.

What a job does with one piece of its work is its own; all else is here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from selection_platform.job.folder import open_job_folder, read_manifest, write_manifest
from selection_platform.job.processes import first_process_first, is_first
from selection_platform.job.progress import Progress, progress
from selection_platform.job.shards import write_shards
from selection_platform.job.spec import ScoringSpec

Piece = TypeVar("Piece")
Summary = TypeVar("Summary", bound=Any)


@dataclass(frozen=True)
class Pass(Generic[Piece, Summary]):
    """A job that is ready to go through its samples.

    Attributes:
        label: what it does, for the progress line.
        pieces: of the work, one for each shard, the same and in the same order at every run.
        tokens: of a piece, for the progress line.
        score: makes a piece's rows, and tells of each batch that is done.
        summary: of the whole job, from the seconds that it took.
        tidy: removes what only the work needed.
    """

    label: str
    pieces: Sequence[Piece]
    tokens: Callable[[Piece], int]
    score: Callable[[Piece, Progress], pa.Table]
    summary: Callable[[float], Summary]
    tidy: Callable[[], None]


def run_scoring_job(
    spec: ScoringSpec,
    folder: Path,
    *,
    identity: dict[str, Any],
    summary_type: type[Summary],
    begin: Callable[[], Pass[Piece, Summary]],
) -> Summary:
    """Do what is left of a job in a folder: shards `part-00000.parquet` and on, then a manifest.

    Args:
        spec: of the job. The manifest says what decided its speed.
        folder: of the job.
        identity: what its content depends on.
        summary_type: a dataclass of what a job did.
        begin: loads models and makes the plan. Called only where something is left to do.

    Raises:
        Exception: whatever `begin` and the pass raise.
    """
    started = time.monotonic()
    with first_process_first():
        complete = open_job_folder(folder, identity)
    if complete:
        return read_summary(folder, summary_type)
    work = begin()
    with progress(work.label, sum(map(work.tokens, work.pieces)), "tokens") as counter:
        content = write_shards(
            folder,
            spec.scoring.samples_per_shard,
            work.pieces,
            score=lambda piece: work.score(piece, counter),
            skip=lambda piece: counter.advance(work.tokens(piece)),
        )
    summary = work.summary(time.monotonic() - started)
    if is_first():
        work.tidy()
        write_manifest(folder, {"summary": asdict(summary), "content_hash": content, "speed": spec.speed()})
    return summary


def read_summary(folder: Path, summary_type: type[Summary]) -> Summary:
    """What a finished job did."""
    return summary_type(**(read_manifest(folder) or {})["summary"])
