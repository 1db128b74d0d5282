"""The frame of every scoring job: open the folder, plan, write shard after shard, declare it complete.

A job itself only says how to score one piece of its work.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from selection_platform.job.folder import open_job_folder, read_manifest, write_manifest
from selection_platform.job.processes import first_process_first, is_first
from selection_platform.job.progress import Progress, progress
from selection_platform.job.shards import shards_hash, write_shards
from selection_platform.job.spec import ScoringSpec
from selection_platform.models.batching import shard_cut

Piece = TypeVar("Piece")
Summary = TypeVar("Summary", bound=Any)


@dataclass(frozen=True)
class Pass(Generic[Piece, Summary]):
    """A job that is ready to go through its samples.

    Attributes:
        label: what it does, for the progress line.
        pieces: the pieces of work, one per shard, in the same order in every run.
        tokens: the tokens of a piece, for the progress line.
        score: computes a piece's rows, and advances the progress after each batch.
        summary: the summary of the whole job, given the seconds that it took.
        tidy: removes temporary files.
        apart: columns of the rows that are kept beside the shards, with the beginnings of their files' names. They are
            no part of the job's content hash.
    """

    label: str
    pieces: Sequence[Piece]
    tokens: Callable[[Piece], int]
    score: Callable[[Piece, Progress], pa.Table]
    summary: Callable[[float], Summary]
    tidy: Callable[[], None]
    apart: Mapping[str, str] = field(default_factory=dict)


def run_scoring_job(
    spec: ScoringSpec,
    folder: Path,
    *,
    identity: dict[str, Any],
    summary_type: type[Summary],
    begin: Callable[[], Pass[Piece, Summary]],
) -> Summary:
    """Do the rest of a job in a folder: write the shards, from `part-00000.parquet` on, and then a manifest.

    Args:
        spec: the job's spec. The manifest records the settings that decided its speed.
        folder: the job's folder.
        identity: what its content depends on.
        summary_type: a dataclass of what a job did.
        begin: loads models and plans the work. It is called only if there is work to do.

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
        hashes = write_shards(
            folder,
            shard_cut(spec.scoring.samples_per_shard),
            work.pieces,
            score=lambda piece: work.score(piece, counter),
            skip=lambda piece: counter.advance(work.tokens(piece)),
            apart=work.apart,
        )
    summary = work.summary(time.monotonic() - started)
    if is_first():
        work.tidy()
        manifest = {"summary": asdict(summary), "content_hash": shards_hash(hashes), "speed": spec.speed()}
        write_manifest(folder, manifest, hashes=hashes)
    return summary


def read_summary(folder: Path, summary_type: type[Summary]) -> Summary:
    """What a finished job did."""
    return summary_type(**(read_manifest(folder) or {})["summary"])
