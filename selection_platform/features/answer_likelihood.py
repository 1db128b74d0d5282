"""One forward pass for many methods: likelihood of prompt and answer, and an embedding, of every sample.

Each sample needs two passes. The joint pass, over prompt and answer, gives the negative log likelihood (NLL) of prompt
and answer, and the mean hidden state. With causal attention, the prompt's part is exactly what a pass over only the
prompt would give, so Entropy, IFD's numerator, IFD's pre-experience perplexity and all embeddings share this pass. The
direct pass, over `Assistant: ` and the answer, gives IFD's denominator (arXiv 2308.12032). SQL computes the scores from
these columns.

Memory is bounded: a forward pass has at most `tokens_per_batch` padded tokens, at most `logit_rows` rows of logits
exist at a time, and token ids are in a file in the job's folder. The work is planned from lengths only, longest first,
and split into shards; a job that was killed continues after its last complete shard and ends with the same bytes.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from transformers import PreTrainedModel

from selection_platform.configuration.base import Later
from selection_platform.configuration.settings import ScoringSettings
from selection_platform.errors import NotFinite
from selection_platform.features.token_count import Boundary
from selection_platform.features.token_plan import TokenPlan, make_plan, remove_plan
from selection_platform.job.folder import file_hash
from selection_platform.job.progress import Progress
from selection_platform.job.registry import Job
from selection_platform.job.scoring_job import Pass, read_summary, run_scoring_job
from selection_platform.job.shards import APART
from selection_platform.job.spec import FilePath, ScoringSpec
from selection_platform.job.versions import VERSIONS, logits_in
from selection_platform.models.forward_pass import (
    BatchResult,
    batches,
    forward,
    load_checked,
    padding_share,
)
from selection_platform.models.head import output_head
from selection_platform.models.provenance import model_identity, peak_memory_bytes
from selection_platform.models.renderers import text_identity
from selection_platform.text.rendering import template_hash
from selection_platform.text.template_choice import make_renderer

WEIGHTED, PROMPT_EFFECT = "weighted_embedding", "prompt_effect"
"""Columns of the files beside the shards."""
FILES_APART = {WEIGHTED: APART, PROMPT_EFFECT: f"{APART}.{PROMPT_EFFECT}"}
"""The beginnings of these files' names."""


class LikelihoodSpec(ScoringSpec):
    """One scoring job. Sums are computed in float64 for any dtype.

    Attributes:
        model_folder: weights and tokenizer.
        scoring: sizes of the pass. `tokens_per_batch` bounds activations; rows of logits take about `logit_rows *
            vocabulary * 10` bytes.
        boundary: "pieces", or "joint" for the twin of the published IFD script.
        prompt_embedding: whether to also write the embedding of each sample's prompt.
        weighted_embedding: whether to also write position-weighted embeddings, beside the shards.
        prompt_effect: whether to also write what the prompt does to each answer token's NLL, beside the shards.
    """

    model_folder: FilePath
    # A narrower type than the parent's: pyright does not know that pydantic freezes it.
    scoring: ScoringSettings  # pyright: ignore[reportIncompatibleVariableOverride]
    boundary: Boundary = "pieces"
    prompt_embedding: bool = False
    weighted_embedding: Annotated[bool, Later(False)] = False
    prompt_effect: Annotated[bool, Later(False)] = False


@dataclass(frozen=True)
class LikelihoodSummary:
    """What a scoring job did. Counts are of the whole job; seconds and memory are of the run that completed it.

    Attributes:
        samples: rows written.
        tokens: tokens of both passes, without padding.
        padding_share: padding tokens / all tokens of the forward passes.
        truncated: samples whose answer was cut.
        prompt_fills_context: truncated samples without any scored answer token; their answer NLLs are null.
        empty_answers: samples whose answer has no tokens; their answer NLLs are null too.
        seconds: wall time, including loading.
        load_seconds: wall time of loading the model.
        peak_memory_bytes: peak memory of the GPU if there is one, else of the process, since the process started.
        cut_prompts: samples whose prompt was cut. 0 in jobs of earlier versions, which did not count them.
    """

    samples: int
    tokens: int
    padding_share: float
    truncated: int
    prompt_fills_context: int
    empty_answers: int
    seconds: float
    load_seconds: float
    peak_memory_bytes: int
    cut_prompts: int = 0


def score(spec: LikelihoodSpec, folder: Path) -> LikelihoodSummary:
    """Score all samples into `folder`: write the shards, from `part-00000.parquet` on, and then a manifest.

    Columns: `sample_id`; `prompt_tokens` and `answer_tokens` (int32, scored tokens); `prompt_nll` (float64, nats,
    summed over prompt tokens 2..n, because the first has no context); `answer_nll` (given the prompt) and
    `direct_answer_nll` (given only `Assistant: `), both null if no answer token is scored; `direct_answer_tokens`,
    equal to `answer_tokens` unless the boundary is "joint"; `unshifted_answer_nll` and `unshifted_answer_tokens`, which
    the published entropy script takes for the answer's (`_unshifted`); `truncated` (whether the answer was cut);
    `prompt_cut` and `answer_cut` (int32, tokens that did not fit); `embedding` (fixed-size list of float32: mean over
    prompt and answer tokens of the last hidden state, after the final norm); optionally `prompt_embedding`. Beside the
    shards, optionally: in `apart-00000.parquet` and on, `weighted_embedding`, the position-weighted mean of the same;
    in `apart.prompt_effect-00000.parquet` and on, `prompt_effect` (list of float32: each scored answer token's NLL
    given the prompt, minus that given only `Assistant: `; null if no answer token is scored).

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
        summary_type=LikelihoodSummary,
        begin=lambda: _begin(spec, folder),
    )


def _begin(spec: LikelihoodSpec, folder: Path) -> Pass[TokenPlan, LikelihoodSummary]:
    started = time.monotonic()
    model, tokenizer = load_checked(
        Path(spec.model_folder), spec.dtype, spec.scoring.max_length, spec.scoring.tokens_per_batch
    )
    load_seconds = time.monotonic() - started
    renderer = make_renderer(tokenizer, spec.text)
    plan = make_plan(
        Path(spec.samples_file), renderer, spec.scoring.max_length, spec.scoring.cut, folder, spec.boundary
    )
    shards = list(plan.shards(spec.scoring.samples_per_shard))

    def summary(seconds: float) -> LikelihoodSummary:
        lengths = (lengths for shard in shards for lengths in (shard.joint_lengths, shard.direct_lengths))
        return LikelihoodSummary(
            samples=len(plan.sample_id),
            tokens=sum(map(_tokens, shards)),
            padding_share=padding_share(lengths, spec.scoring.tokens_per_batch),
            truncated=int(plan.truncated.sum()),
            prompt_fills_context=int((plan.truncated & (plan.answer_tokens == 0)).sum()),
            empty_answers=int((~plan.truncated & (plan.answer_tokens == 0)).sum()),
            seconds=seconds,
            load_seconds=load_seconds,
            peak_memory_bytes=peak_memory_bytes(),
            cut_prompts=int((plan.prompt_cut > 0).sum()),
        )

    return Pass(
        label=f"scoring with {Path(spec.model_folder).name}",
        pieces=shards,
        tokens=_tokens,
        score=lambda shard, counter: _score_shard(spec, model, shard, counter),
        summary=summary,
        tidy=lambda: remove_plan(folder),
        apart={column: name for column, name in FILES_APART.items() if getattr(spec, column)},
    )


def _tokens(shard: TokenPlan) -> int:
    """Tokens of both passes."""
    return int(shard.joint_lengths.sum() + shard.direct_lengths.sum())


def _identity(spec: LikelihoodSpec) -> dict[str, Any]:
    return {**job_settings(spec), "samples": file_hash(Path(spec.samples_file))}


def job_settings(spec: LikelihoodSpec) -> dict[str, Any]:
    """Everything besides the samples that the numbers depend on: contents, not paths."""
    # Version 1 does not count, so that what was made before another version existed stays.
    apart = {name: VERSIONS[name] for name in FILES_APART if getattr(spec, name) and VERSIONS[name] > 1}
    return {
        "job": "answer_likelihood",
        "code_version": VERSIONS["answer_likelihood"],
        **logits_in(spec.dtype),
        **({"code_versions_apart": apart} if apart else {}),
        "template": template_hash() if spec.boundary == "joint" else text_identity(Path(spec.model_folder), spec.text),
        "model": model_identity(Path(spec.model_folder)),
        **spec.content(),
    }


def _score_shard(spec: LikelihoodSpec, model: PreTrainedModel, shard: TokenPlan, counter: Progress) -> pa.Table:
    """Both passes over the samples of a shard; the table that `score` describes."""
    samples = len(shard.sample_id)
    embedding, prompt_embedding, weighted = np.empty((3, samples, output_head(model).in_features), dtype=np.float32)
    prompt_nll, answer_nll, direct_answer_nll, unshifted_nll = np.zeros((4, samples))
    unshifted_tokens = np.zeros(samples, dtype=np.int32)
    effects: list[np.ndarray | None] = [None] * samples
    for indices, result in _passes(spec, model, shard, counter, direct=False):
        embedding[indices] = result.mean_hidden
        if result.mean_prefix_hidden is not None:
            prompt_embedding[indices] = result.mean_prefix_hidden
        if result.weighted_hidden is not None:
            weighted[indices] = result.weighted_hidden
        for index, nll, unshifted in zip(indices, result.nll, result.unshifted_nll, strict=True):
            # The first token has no NLL, so the NLL of the first answer token is at prompt_tokens - 1.
            border = shard.prompt_tokens[index] - 1
            prompt_nll[index] = nll[:border].sum()
            answer_nll[index] = nll[border:].sum()
            unshifted_nll[index], unshifted_tokens[index] = _unshifted(shard, index, unshifted)
            if spec.prompt_effect and shard.answer_tokens[index]:
                effects[index] = nll[border:].copy()
    for indices, result in _passes(spec, model, shard, counter, direct=True):
        direct_answer_nll[indices] = [nll.sum() for nll in result.nll]
        for index, nll in zip(indices, result.nll, strict=True):
            given_prompt = effects[index]
            effects[index] = None if given_prompt is None else (given_prompt - nll).astype(np.float32)
    unscored = shard.answer_tokens == 0
    columns = {
        "sample_id": shard.sample_id,
        "prompt_tokens": shard.prompt_tokens,
        "answer_tokens": shard.answer_tokens,
        "direct_answer_tokens": shard.direct_answer_tokens,
        "unshifted_answer_tokens": unshifted_tokens,
        "prompt_nll": prompt_nll,
        "answer_nll": pa.array(answer_nll, mask=unscored),
        "direct_answer_nll": pa.array(direct_answer_nll, mask=shard.direct_answer_tokens == 0),
        "unshifted_answer_nll": pa.array(unshifted_nll, mask=unscored),
        "truncated": shard.truncated,
        "prompt_cut": shard.prompt_cut,
        "answer_cut": shard.answer_cut,
        "embedding": _vectors(embedding),
    }
    columns |= {"prompt_embedding": _vectors(prompt_embedding)} if spec.prompt_embedding else {}
    columns |= {WEIGHTED: _vectors(weighted)} if spec.weighted_embedding else {}
    columns |= {PROMPT_EFFECT: pa.array(effects, pa.list_(pa.float32()))} if spec.prompt_effect else {}
    return pa.table(columns)


def _unshifted(shard: TokenPlan, index: int, nll: np.ndarray) -> tuple[float, int]:
    """What the published entropy script sums as the answer's NLL, and over how many tokens.

    It takes the number of non-zero ids for the prompt's length, so each token 0 in a prompt ("!" in Qwen's vocabulary)
    moves the border one token to the left.

    Args:
        shard: the samples.
        index: the sample's index.
        nll: unshifted NLL of its tokens, without the first.
    """
    prompt = int(shard.prompt_tokens[index])
    border = max(1, int(np.count_nonzero(shard.joint(index)[:prompt])))
    return float(nll[border - 1 :].sum()), len(nll) - (border - 1)


def _vectors(rows: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def _passes(
    spec: LikelihoodSpec, model: PreTrainedModel, shard: TokenPlan, counter: Progress, direct: bool
) -> Iterator[tuple[np.ndarray, BatchResult]]:
    """Run the samples of a shard, batch by batch; yields positions in the shard and the model's results.

    Raises:
        NotFinite: a number is not finite.
    """
    lengths = shard.direct_lengths if direct else shard.joint_lengths
    first = shard.cue_length if direct else 1
    for indices in batches(lengths, spec.scoring.tokens_per_batch):
        rows = [shard.direct(index) if direct else shard.joint(index) for index in indices]
        prefixes = shard.prompt_tokens[indices] if spec.prompt_embedding and not direct else None
        weighted = spec.weighted_embedding and not direct
        result = forward(model, rows, first, spec.scoring.logit_rows, prefixes, weighted=weighted)
        for index, nll, mean_hidden in zip(indices, result.nll, result.mean_hidden, strict=True):
            if not (np.isfinite(nll).all() and np.isfinite(mean_hidden).all()):
                raise NotFinite(
                    f"{spec.model_folder} gives NaN or infinity for sample {shard.sample_id[index].as_py()} in "
                    f"{spec.dtype}; check the weights, or score with dtype bfloat16 or float32"
                )
        counter.advance(int(lengths[indices].sum()))
        yield indices, result


ANSWER_LIKELIHOOD = Job(
    "answer_likelihood",
    score,
    LikelihoodSpec,
    _identity,
    partial(read_summary, summary_type=LikelihoodSummary),
    several_processes=True,
)
