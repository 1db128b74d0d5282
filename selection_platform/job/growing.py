"""Per-sample jobs over a pool that grows: what was scored stays, and only new samples are scored."""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import (
    MANIFEST,
    content_hash,
    open_job_folder,
    read_manifest,
    remove_previous,
    whole_file,
)
from selection_platform.job.lock import alone_in_folder
from selection_platform.job.shards import shard_files
from selection_platform.job.spec import ScoringSpec

ROWS_PER_BATCH = 10_000
"""Samples in memory at a time."""

Spec = TypeVar("Spec", bound=ScoringSpec)
Summary = TypeVar("Summary", bound=Any)


@dataclass(frozen=True)
class Grown(Generic[Summary]):
    """What was made of a pool's samples so far.

    Attributes:
        files: the shards, in the order in which they were made. They may hold samples that have left the pool since.
        content_hash: identity of the shards and of the pool's samples.
        summary: the jobs' summaries put together.
        new_samples: how many samples were scored just now.
    """

    files: list[Path]
    content_hash: str
    summary: Summary
    new_samples: int


@alone_in_folder
def score_new_samples(
    spec: Spec,
    folder: Path,
    job: Callable[[Spec, Path], Summary],
    summary_type: type[Summary],
    settings: dict[str, Any],
) -> Grown[Summary]:
    """Run a job on those samples of its file that no finished job in the folder has scored.

    Each job has a folder of its own, `000` and on; one that was killed goes on if its samples are still the same.

    Args:
        spec: what to run on all samples of its file.
        folder: of all the jobs. What was made there with other settings goes when the first of these is finished.
        job: takes a spec and a folder, and has shards and a manifest with `summary` and `content_hash` for its result.
            What it gives for a sample must not depend on the others, but for last digits.
        summary_type: a dataclass of counts, with `tokens`, `padding_share` and `peak_memory_bytes` among them.
        settings: all that the job's numbers depend on beside the samples.

    Raises:
        Exception: whatever the job raises.
    """
    open_job_folder(folder, settings, f"{first_job(Path()).name}/{MANIFEST}")
    finished = _finished(folder)
    done = _sample_ids(finished_shards(folder))
    wanted = _sample_ids([Path(spec.samples_file)])
    new_samples = wanted - done
    if new_samples or not finished:
        samples = _samples_among(new_samples, Path(spec.samples_file), folder / "new_samples.parquet")
        part = _job(folder, len(finished))
        job(spec.model_copy(update={"samples_file": str(samples)}), part)
        samples.unlink()
        finished.append(part)
        remove_previous(folder)
    manifests = [read_manifest(each) or {} for each in finished]
    return Grown(
        files=finished_shards(folder),
        content_hash=content_hash([*(manifest["content_hash"] for manifest in manifests), *sorted(wanted)]),
        summary=_together(summary_type, [manifest["summary"] for manifest in manifests]),
        new_samples=len(new_samples),
    )


def finished_shards(folder: Path) -> list[Path]:
    """The shards of all finished jobs, in the order in which they were made."""
    return [file for each in _finished(folder) for file in shard_files(each)]


def first_job(folder: Path) -> Path:
    """The folder of the first job: where it is not finished, none is."""
    return _job(folder, 0)


def _job(folder: Path, number: int) -> Path:
    return folder / f"{number:03d}"


def _finished(folder: Path) -> list[Path]:
    finished: list[Path] = []
    while read_manifest(part := _job(folder, len(finished))) is not None:
        finished.append(part)
    return finished


def _sample_ids(files: Iterable[Path]) -> set[str]:
    return {name for file in files for name in pq.read_table(file, columns=["sample_id"])["sample_id"].to_pylist()}


def _samples_among(sample_ids: set[str], samples_file: Path, into: Path) -> Path:
    """The rows of some samples, in their order, as a file."""
    with (
        pq.ParquetFile(samples_file) as file,
        whole_file(into) as temporary,
        pq.ParquetWriter(temporary, file.schema_arrow) as writer,
    ):
        for batch in file.iter_batches(ROWS_PER_BATCH):
            wanted = [name in sample_ids for name in batch.column("sample_id").to_pylist()]
            writer.write_batch(batch.filter(pa.array(wanted)))
    return into


def _count(summary: dict[str, Any], field: Field[Any]) -> Any:
    """A count of a summary. One that an earlier version did not write has the default of its field."""
    return summary[field.name] if field.default is MISSING else summary.get(field.name, field.default)


def _together(summary_type: type[Summary], summaries: list[dict[str, Any]]) -> Summary:
    """Counts and seconds added up."""
    together: dict[str, Any] = {
        field.name: sum(_count(each, field) for each in summaries) for field in fields(summary_type)
    }
    together["peak_memory_bytes"] = max(each["peak_memory_bytes"] for each in summaries)
    padding = sum(each["tokens"] * each["padding_share"] / (1 - each["padding_share"]) for each in summaries)
    together["padding_share"] = padding / (padding + together["tokens"])
    return summary_type(**together)
