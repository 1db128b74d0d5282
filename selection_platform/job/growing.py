"""Per-sample jobs over a pool that grows: existing scores stay, and only new samples are scored."""

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
from selection_platform.job.shards import APART, apart_files, shard_files
from selection_platform.job.spec import ScoringSpec

ROWS_PER_BATCH = 10_000
"""Samples in memory at a time."""

Spec = TypeVar("Spec", bound=ScoringSpec)
Summary = TypeVar("Summary", bound=Any)


@dataclass(frozen=True)
class Grown(Generic[Summary]):
    """The result for all samples of a pool so far.

    Attributes:
        files: the shards, in the order in which they were written. They may hold samples that have since left the pool.
        content_hash: identity of the shards and of the pool's samples.
        summary: the jobs' summaries, combined.
        new_samples: how many samples this call scored.
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
    """Run a job on the samples of its file that no finished job in the folder has scored.

    Each job has its own folder, numbered from `000`; one that was killed continues if its samples are still the same.

    Args:
        spec: the spec for all samples of its file.
        folder: the folder of all jobs. Results of other settings are removed when the first of these jobs is finished.
        job: takes a spec and a folder, and writes shards and a manifest with `summary` and `content_hash`. A sample's
            result must not depend on other samples, except in its last digits.
        summary_type: a dataclass of counts, with `tokens`, `padding_share` and `peak_memory_bytes` among them.
        settings: everything besides the samples that the job's numbers depend on.

    Raises:
        Exception: whatever the job raises.
    """
    open_job_folder(folder, settings, f"{first_job(Path()).name}/{MANIFEST}")
    finished = _finished(folder)
    scored = _sample_ids(finished_shards(folder))
    all_samples = _sample_ids([Path(spec.samples_file)])
    new_samples = all_samples - scored
    if new_samples or not finished:
        samples = _samples_among(new_samples, Path(spec.samples_file), folder / "new_samples.parquet")
        part = _job(folder, len(finished))
        job(spec.model_copy(update={"samples_file": str(samples)}), part)
        samples.unlink()
        finished.append(part)
        remove_previous(folder)
    manifests = [read_manifest(part) or {} for part in finished]
    return Grown(
        files=finished_shards(folder),
        content_hash=content_hash([*(manifest["content_hash"] for manifest in manifests), *sorted(all_samples)]),
        summary=_combined(summary_type, [manifest["summary"] for manifest in manifests]),
        new_samples=len(new_samples),
    )


def finished_shards(folder: Path) -> list[Path]:
    """The shards of all finished jobs, in the order in which they were written."""
    return [file for part in _finished(folder) for file in shard_files(part)]


def finished_apart(folder: Path, name: str = APART) -> list[Path]:
    """The files beside these shards with a column apart, by the beginning of their names."""
    return [file for part in _finished(folder) for file in apart_files(part, name)]


def first_job(folder: Path) -> Path:
    """The folder of the first job: if it is not finished, no job is."""
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
    """Write the rows of some samples to a file, in the order of the samples file."""
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
    """A count of a summary. If an earlier version did not write it, it has its field's default."""
    return summary[field.name] if field.default is MISSING else summary.get(field.name, field.default)


def _combined(summary_type: type[Summary], summaries: list[dict[str, Any]]) -> Summary:
    """One summary of all jobs: counts and seconds are summed."""
    combined: dict[str, Any] = {
        field.name: sum(_count(summary, field) for summary in summaries) for field in fields(summary_type)
    }
    combined["peak_memory_bytes"] = max(summary["peak_memory_bytes"] for summary in summaries)
    shares = [(summary["tokens"], summary["padding_share"]) for summary in summaries]
    padding = sum(tokens * share / (1 - share) for tokens, share in shares)
    combined["padding_share"] = padding / (padding + combined["tokens"])
    return summary_type(**combined)
