"""Embeddings of samples: mean last hidden states, without logits.

`answer_likelihood` gives the same embeddings together with likelihoods. This job is for models that only need
embeddings, such as those of DiverseEvol's rounds. It runs the decoder once per sample, and never the head. Shards,
resuming and the order of work are as in `answer_likelihood`.
"""

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from selection_platform.configuration.base import Later
from selection_platform.errors import NotFinite, PlatformError
from selection_platform.features.token_plan import TokenPlan, make_plan, remove_plan
from selection_platform.job.folder import file_hash, whole_file
from selection_platform.job.progress import Progress
from selection_platform.job.registry import Job
from selection_platform.job.scoring_job import Pass, read_summary, run_scoring_job
from selection_platform.job.spec import FilePath, ScoringSpec
from selection_platform.job.versions import VERSIONS
from selection_platform.models.forward_pass import (
    batches,
    last_hidden_state,
    load_checked,
    mean_hidden,
    pad,
    weighted_hidden,
)
from selection_platform.models.head import output_head
from selection_platform.models.provenance import model_identity, peak_memory_bytes
from selection_platform.models.renderers import text_identity
from selection_platform.text.template_choice import make_renderer

_ROWS_PER_READ = 4096


class EmbeddingSpec(ScoringSpec):
    """One embedding job. Means are computed in float32 for any dtype.

    Attributes:
        model_folder: weights and tokenizer.
        weighted: whether token i of a sample weighs i in its mean, instead of 1.
    """

    model_folder: FilePath
    weighted: Annotated[bool, Later(False)] = False


@dataclass(frozen=True)
class EmbeddingSummary:
    """What an embedding job did. Counts are of the whole job; seconds and memory are of the run that completed it.

    Attributes:
        samples: rows written.
        tokens: tokens embedded, without padding.
        truncated: samples whose answer was cut.
        seconds: wall time, including loading.
        load_seconds: wall time of loading the model.
        peak_memory_bytes: peak memory of the GPU if there is one, else of the process, since the process started.
        cut_prompts: samples whose prompt was cut. 0 in jobs of earlier versions, which did not count them.
    """

    samples: int
    tokens: int
    truncated: int
    seconds: float
    load_seconds: float
    peak_memory_bytes: int
    cut_prompts: int = 0


def embed(spec: EmbeddingSpec, folder: Path) -> EmbeddingSummary:
    """Embed all samples into `folder`: write the shards, from `part-00000.parquet` on, and then a manifest.

    Columns: `sample_id`; `embedding` (fixed-size list of float32: mean over prompt and answer tokens of the last
    hidden state, after the final norm; position-weighted if the spec says so).

    A run on a folder with part of the same job continues it. This does not change the bytes of the shards, on one kind
    of machine (kernels sum in another order on another GPU, or with another number of CPU threads).

    Raises:
        UnsupportedModel: as `check_model` says.
        NotFinite: the model gave NaN or infinity for a sample, which the message names.
        PlatformError: the spec does not fit the model, or there are no samples, or their ids repeat.
    """
    return run_scoring_job(
        spec,
        folder,
        identity=_identity(spec),
        summary_type=EmbeddingSummary,
        begin=lambda: _begin(spec, folder),
    )


def _begin(spec: EmbeddingSpec, folder: Path) -> Pass[TokenPlan, EmbeddingSummary]:
    started = time.monotonic()
    model, tokenizer = load_checked(
        Path(spec.model_folder), spec.dtype, spec.scoring.max_length, spec.scoring.tokens_per_batch
    )
    load_seconds = time.monotonic() - started
    renderer = make_renderer(tokenizer, spec.text)
    plan = make_plan(Path(spec.samples_file), renderer, spec.scoring.max_length, spec.scoring.cut, folder)
    return Pass(
        label=f"embedding with {Path(spec.model_folder).name}",
        pieces=list(plan.shards(spec.scoring.samples_per_shard)),
        tokens=lambda shard: int(shard.joint_lengths.sum()),
        score=lambda shard, counter: _embed_shard(spec, model, shard, counter),
        summary=lambda seconds: EmbeddingSummary(
            samples=len(plan.sample_id),
            tokens=int(plan.joint_lengths.sum()),
            truncated=int(plan.truncated.sum()),
            seconds=seconds,
            load_seconds=load_seconds,
            peak_memory_bytes=peak_memory_bytes(),
            cut_prompts=int((plan.prompt_cut > 0).sum()),
        ),
        tidy=lambda: remove_plan(folder),
    )


def _identity(spec: EmbeddingSpec) -> dict[str, Any]:
    """What the numbers and their order depend on: contents, not paths."""
    return {
        "job": "sample_embedding",
        "code_version": VERSIONS["sample_embedding"],
        "template": text_identity(Path(spec.model_folder), spec.text),
        "model": model_identity(Path(spec.model_folder)),
        "samples": file_hash(Path(spec.samples_file)),
        **spec.content(),
    }


@torch.inference_mode()
def _embed_shard(spec: EmbeddingSpec, model: PreTrainedModel, shard: TokenPlan, counter: Progress) -> pa.Table:
    """The table that `embed` describes, of one shard's samples."""
    hidden_size = output_head(model).in_features
    embedding = np.zeros((len(shard.sample_id), hidden_size), dtype=np.float32)
    for indices in batches(shard.joint_lengths, spec.scoring.tokens_per_batch):
        rows = [shard.joint(index) for index in indices]
        hidden = last_hidden_state(model, pad(rows).to(model.device))
        mean = weighted_hidden if spec.weighted else mean_hidden
        embedding[indices] = mean(hidden, shard.joint_lengths[indices])
        for index in indices[~np.isfinite(embedding[indices]).all(axis=1)]:
            raise NotFinite(
                f"{spec.model_folder} gives NaN or infinity for sample {shard.sample_id[index].as_py()} in "
                f"{spec.dtype}; check the weights, or embed with dtype bfloat16 or float32"
            )
        counter.advance(int(shard.joint_lengths[indices].sum()))
    values = pa.FixedSizeListArray.from_arrays(pa.array(embedding.reshape(-1)), hidden_size)
    return pa.table({"sample_id": shard.sample_id, "embedding": values})


def read_embeddings(
    files: Sequence[Path], into: Path, column: str = "embedding", wanted: Container[str] | None = None
) -> tuple[list[str], NDArray[np.float32]]:
    """The embeddings in some shards, in the order of sample ids, as an array that is mapped from a file.

    Args:
        files: shards of `embed` or of `answer_likelihood`.
        into: the file to write the array to (NumPy's .npy format, with any name). Delete it after use.
        column: fixed-size list of float32, without nulls.
        wanted: ids to read; None reads all.

    Returns:
        The sorted ids, and a read-only array, rows x dim, in the same order. Only the parts in use are in memory.

    Raises:
        PlatformError: there are no rows, an id occurs twice, or the files' embeddings differ in size.
    """
    names = [name for file in files for name in pq.read_table(file, columns=["sample_id"])["sample_id"].to_pylist()]
    kept = (index for index, name in enumerate(names) if wanted is None or name in wanted)
    order = np.array(sorted(kept, key=names.__getitem__), dtype=np.int64)
    sorted_ids = [names[index] for index in order]
    for before, after in pairwise(sorted_ids):
        if before == after:
            raise PlatformError(f"sample_id {after!r} occurs more than once in {files[0].parent}; remove the copies")
    sizes = {pq.read_schema(file).field(column).type.list_size for file in files}
    if not sorted_ids or len(sizes) != 1:
        raise PlatformError(
            f"{column} must have rows, all of the same size, but the sizes are {sorted(sizes)}; score the pool again"
        )
    place = np.full(len(names), -1)
    place[order] = np.arange(len(order))
    with whole_file(into) as temporary:
        shape = (len(order), sizes.pop())
        rows = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        _scatter(files, column, place, rows)
        rows.flush()
    return sorted_ids, np.load(into, mmap_mode="r")


def _scatter(files: Sequence[Path], column: str, place: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
    """Copy each embedding, in the order of the files, to its place among the rows."""
    start = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_PER_READ, columns=[column]):
                part = place[start : start + batch.num_rows]
                values: Any = batch.column(column)
                read = values.flatten().to_numpy().reshape(-1, rows.shape[1])
                rows[part[part >= 0]] = read[part >= 0]
                start += batch.num_rows


SAMPLE_EMBEDDING = Job(
    "sample_embedding",
    embed,
    EmbeddingSpec,
    _identity,
    partial(read_summary, summary_type=EmbeddingSummary),
    several_processes=True,
)
