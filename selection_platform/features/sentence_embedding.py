"""Vectors of conversations by a sentence encoder, without a base model.

A conversation's text is that of its messages, one after the other on lines of their own. Shards, resuming and the order
of work, longest first, are as in `answer_likelihood`. Token ids of the pool are in memory, four bytes each.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.errors import NotFinite, PlatformError
from selection_platform.job.folder import file_hash
from selection_platform.job.progress import Progress
from selection_platform.job.registry import Job
from selection_platform.job.scoring_job import Pass, read_summary, run_scoring_job
from selection_platform.job.spec import FilePath, ScoringSpec
from selection_platform.job.versions import VERSIONS
from selection_platform.models.batching import shard_slices
from selection_platform.models.forward_pass import batches, padding_share
from selection_platform.models.provenance import peak_memory_bytes
from selection_platform.models.sentence_encoder import Encoder, encode, encoder_identity, load_encoder

ROWS_PER_READ = 1000

Piece = list[tuple[str, np.ndarray]]
"""Sample ids and token ids of a shard."""


class SentenceSpec(ScoringSpec):
    """One job.

    Attributes:
        encoder_folder: the encoder. `scoring.max_length` is its window; `text` and `scoring.cut` are not used.
    """

    encoder_folder: FilePath


@dataclass(frozen=True)
class SentenceSummary:
    """What a job did. Counts are of the whole job; seconds and memory are of the run that completed it.

    Attributes:
        samples: rows written.
        tokens: tokens read, with those that the encoder puts around a text, without padding.
        padding_share: padding tokens / all tokens of the forward passes.
        cut: samples that lost their end.
        seconds: wall time, including loading.
        peak_memory_bytes: peak memory of the GPU if there is one, else of the process, since the process started.
    """

    samples: int
    tokens: int
    padding_share: float
    cut: int
    seconds: float
    peak_memory_bytes: int


def embed_sentences(spec: SentenceSpec, folder: Path) -> SentenceSummary:
    """Embed all samples into `folder`: shards `part-00000.parquet` and on, then a manifest.

    Columns: `sample_id`; `embedding` (fixed-size list of float32, of length 1).

    Raises:
        NotFinite: the encoder gave NaN or infinity for a sample, which the message names.
        PlatformError: the encoder cannot be used, or there are no samples, or their ids repeat.
    """
    return run_scoring_job(
        spec,
        folder,
        identity=_identity(spec),
        summary_type=SentenceSummary,
        begin=lambda: _begin(spec),
    )


def _identity(spec: SentenceSpec) -> dict[str, Any]:
    return {**job_settings(spec), "samples": file_hash(Path(spec.samples_file))}


def job_settings(spec: SentenceSpec) -> dict[str, Any]:
    """Everything besides the samples that the numbers depend on: contents, not paths."""
    return {
        "job": "sentence_embedding",
        "code_version": VERSIONS["sentence_embedding"],
        "encoder": encoder_identity(Path(spec.encoder_folder)),
        **spec.content(),
    }


def _begin(spec: SentenceSpec) -> Pass[Piece, SentenceSummary]:
    started, sizes = time.monotonic(), spec.scoring
    encoder = load_encoder(Path(spec.encoder_folder), sizes.max_length)
    rows, cut = _tokenized(Path(spec.samples_file), encoder, sizes.max_length)
    # The longest first, and of equal ones the lowest id.
    rows.sort(key=lambda row: (-len(row[1]), row[0]))
    pieces = [rows[part] for part in shard_slices(_lengths(rows), sizes.samples_per_shard)]

    def summary(_: float) -> SentenceSummary:
        lengths = (_lengths(piece) for piece in pieces)
        return SentenceSummary(
            samples=len(rows),
            tokens=sum(len(ids) for _, ids in rows),
            padding_share=padding_share(lengths, sizes.tokens_per_batch),
            cut=cut,
            seconds=time.monotonic() - started,
            peak_memory_bytes=peak_memory_bytes(),
        )

    return Pass(
        label="sentence embedding",
        pieces=pieces,
        tokens=lambda piece: int(_lengths(piece).sum()),
        score=lambda piece, counter: _embedded(spec, encoder, piece, counter),
        summary=summary,
        tidy=lambda: None,
    )


def _lengths(piece: Piece) -> np.ndarray:
    return np.array([len(ids) for _, ids in piece])


def _tokenized(samples_file: Path, encoder: Encoder, max_length: int) -> tuple[Piece, int]:
    """The token ids of each sample, and how many samples lost their end."""
    found: Piece = []
    cut = 0
    around = len(encoder.tokenizer("")["input_ids"])
    with pq.ParquetFile(samples_file) as file:
        for batch in file.iter_batches(ROWS_PER_READ, columns=["sample_id", "messages"]):
            rows = batch.to_pylist()
            texts = ["\n".join(message["content"] for message in row["messages"]) for row in rows]
            # Cut here, so that it is known which are.
            inner = encoder.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            for row, text, ids in zip(rows, texts, inner, strict=True):
                cut += len(ids) + around > max_length
                whole = encoder.tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
                found.append((row["sample_id"], np.array(whole, dtype=np.int32)))
    names = [name for name, _ in found]
    if not names or len(set(names)) < len(names):
        raise PlatformError(f"{samples_file}: has no samples, or one twice; make the pool again")
    return found, cut


def _embedded(spec: SentenceSpec, encoder: Encoder, piece: Piece, counter: Progress) -> pa.Table:
    """The table that `embed_sentences` describes, of one shard's samples."""
    lengths, vectors = _lengths(piece), None
    for indices in batches(lengths, spec.scoring.tokens_per_batch):
        found = encode(encoder, [piece[index][1] for index in indices])
        vectors = np.empty((len(piece), found.shape[1]), dtype=np.float32) if vectors is None else vectors
        vectors[indices] = found
        for index in indices[~np.isfinite(found).all(axis=1)]:
            raise NotFinite(
                f"{spec.encoder_folder} gives NaN or infinity for sample {piece[index][0]}; check the weights"
            )
        counter.advance(int(lengths[indices].sum()))
    assert vectors is not None
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.table({"sample_id": [name for name, _ in piece], "embedding": values})


SENTENCE_EMBEDDING = Job(
    "sentence_embedding",
    embed_sentences,
    SentenceSpec,
    _identity,
    partial(read_summary, summary_type=SentenceSummary),
    several_processes=True,
)
