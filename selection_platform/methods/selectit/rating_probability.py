"""How a model rates each sample's answer: the probabilities of the digits 1 to 5 after five rating prompts.

SelectIT (arXiv 2402.16705) is computed from these; the score itself is SQL on these columns.

The rating line comes first in a prompt, as in the paper, so the five prompts cannot share any part of a pass. The cost
is reduced in other ways: rows of similar length are batched across samples and prompts, without an attention mask, and
only the last row of logits is computed for each. The work is planned from lengths only, longest first, and split into
shards; a job that was killed continues after its last complete shard and ends with the same bytes.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedModel

from selection_platform.errors import NotFinite
from selection_platform.features.token_plan import TokenPlan, make_plan, remove_plan
from selection_platform.job.folder import content_hash, file_hash
from selection_platform.job.progress import Progress
from selection_platform.job.registry import Job
from selection_platform.job.scoring_job import Pass, read_summary, run_scoring_job
from selection_platform.job.spec import FilePath, ScoringSpec
from selection_platform.job.versions import VERSIONS, logits_in
from selection_platform.methods.selectit.rating_prompts import (
    RATING_CUE,
    RATING_PROMPTS,
    RATINGS,
    RatingTokens,
    conversation_tokens,
    rating_tokens,
)
from selection_platform.models.forward_pass import (
    batches,
    last_hidden_state,
    load_checked,
    pad,
    padding_share,
)
from selection_platform.models.head import float32_logits, logits_of
from selection_platform.models.provenance import model_identity, peak_memory_bytes
from selection_platform.models.renderers import text_identity
from selection_platform.text.template_choice import make_renderer


class RatingSpec(ScoringSpec):
    """One rating job. Probabilities are computed from float32 logits for any dtype.

    Attributes:
        model_folder: the rater's weights and tokenizer.
        scoring: sizes of the pass. `max_length` includes rating line and cue; a shard has five sequences per sample.
    """

    model_folder: FilePath


@dataclass(frozen=True)
class RatingSummary:
    """What a rating job did. Counts are of the whole job; seconds and memory are of the run that completed it.

    Attributes:
        samples: samples rated; there are five rows of each.
        tokens: tokens of all five prompts of all samples, without padding.
        padding_share: padding tokens / all tokens of the forward passes.
        truncated: samples whose answer was cut.
        prompt_fills_context: truncated samples without any answer token: the request is rated without its answer.
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
    seconds: float
    load_seconds: float
    peak_memory_bytes: int
    cut_prompts: int = 0


def rate(spec: RatingSpec, folder: Path) -> RatingSummary:
    """Rate all samples into `folder`: write the shards, from `part-00000.parquet` on, and then a manifest.

    Columns: `sample_id`; `prompt` (int32, 1 to 5); `probabilities` (fixed-size list of 5 float64: of the digits 1 to 5
    as the next token, among all tokens, so their sum says how likely the model answers with a digit); `truncated`
    (whether the answer was cut); `prompt_cut` and `answer_cut` (int32, tokens that did not fit). A sample's five rows
    are together, in the order of the prompts.

    A run on a folder with part of the same job continues it. This does not change the bytes of the shards, on one kind
    of machine. An error in a row ends the job; the published code skips the row instead, and so gives every later
    sample the score of another.

    Raises:
        UnsupportedModel: as `check_model` says.
        NoDigitTokens: as `digit_tokens` says.
        NotFinite: the model gave NaN or infinity for a sample, which the message names.
        PlatformError: the spec does not fit the model or the prompts, or there are no samples, or their ids repeat.
    """
    return run_scoring_job(
        spec,
        folder,
        identity=_identity(spec),
        summary_type=RatingSummary,
        begin=lambda: _begin(spec, folder),
    )


def _begin(spec: RatingSpec, folder: Path) -> Pass[TokenPlan, RatingSummary]:
    started = time.monotonic()
    model, tokenizer = load_checked(
        Path(spec.model_folder), spec.dtype, spec.scoring.max_length, spec.scoring.tokens_per_batch
    )
    load_seconds = time.monotonic() - started
    renderer = make_renderer(tokenizer, spec.text)
    tokens = rating_tokens(renderer)
    room = conversation_tokens(tokens, spec.scoring.max_length)
    plan = make_plan(Path(spec.samples_file), renderer, room, spec.scoring.cut, folder)
    shards = list(plan.shards(spec.scoring.samples_per_shard))

    def summary(seconds: float) -> RatingSummary:
        lengths = (tokens.lengths(shard).reshape(-1) for shard in shards)
        return RatingSummary(
            samples=len(plan.sample_id),
            tokens=int(tokens.lengths(plan).sum()),
            padding_share=padding_share(lengths, spec.scoring.tokens_per_batch),
            truncated=int(plan.truncated.sum()),
            prompt_fills_context=int((plan.truncated & (plan.answer_tokens == 0)).sum()),
            seconds=seconds,
            load_seconds=load_seconds,
            peak_memory_bytes=peak_memory_bytes(),
            cut_prompts=int((plan.prompt_cut > 0).sum()),
        )

    return Pass(
        label=f"rating with {Path(spec.model_folder).name}",
        pieces=shards,
        tokens=lambda shard: int(tokens.lengths(shard).sum()),
        score=lambda shard, counter: _rate_shard(spec, model, tokens, shard, counter),
        summary=summary,
        tidy=lambda: remove_plan(folder),
    )


def _identity(spec: RatingSpec) -> dict[str, Any]:
    return {**job_settings(spec), "samples": file_hash(Path(spec.samples_file))}


@torch.inference_mode()
def next_token_log_probabilities(
    model: PreTrainedModel, rows: list[np.ndarray], candidates: np.ndarray
) -> torch.Tensor:
    """Log-probabilities, in nats, of candidates for the token after each row.

    Args:
        model: one that passes `check_model`.
        rows: token ids, at least one per row; they run as one batch, padded on the right.
        candidates: token ids.

    Returns:
        float32, rows x candidates, on the CPU.
    """
    hidden = last_hidden_state(model, pad(rows).to(model.device))
    ends = torch.tensor([len(row) - 1 for row in rows], device=hidden.device)
    last = hidden[torch.arange(len(rows), device=hidden.device), ends]
    with float32_logits(model):
        logits = logits_of(model, last).float()
    wanted = logits[:, torch.from_numpy(candidates).to(logits.device)]
    return (wanted - logits.logsumexp(dim=-1, keepdim=True)).cpu()


def job_settings(spec: RatingSpec) -> dict[str, Any]:
    """Everything besides the samples that the numbers depend on: contents, not paths."""
    return {
        "job": "rating_probability",
        "code_version": VERSIONS["rating_probability"],
        **logits_in(spec.dtype),
        "template": text_identity(Path(spec.model_folder), spec.text),
        "prompts": content_hash([RATING_PROMPTS, RATING_CUE]),
        "model": model_identity(Path(spec.model_folder)),
        **spec.content(),
    }


def _rate_shard(
    spec: RatingSpec, model: PreTrainedModel, tokens: RatingTokens, shard: TokenPlan, counter: Progress
) -> pa.Table:
    """All prompts of the samples of a shard; the table that `rate` describes.

    Raises:
        NotFinite: a number is not finite.
    """
    prompts = len(tokens.heads)
    lengths = tokens.lengths(shard).reshape(-1)
    log_probability = np.empty((len(lengths), len(RATINGS)), dtype=np.float64)
    for rows in batches(lengths, spec.scoring.tokens_per_batch):
        sequences = [tokens.sequence(row % prompts, shard.joint(row // prompts)) for row in rows]
        log_probability[rows] = next_token_log_probabilities(model, sequences, tokens.digits).numpy()
        broken = rows[~np.isfinite(log_probability[rows]).all(axis=1)]
        if len(broken):
            raise NotFinite(
                f"{spec.model_folder} gives NaN or infinity for sample {shard.sample_id[broken[0] // prompts].as_py()} "
                f"in {spec.dtype}; check the weights, or rate with dtype bfloat16 or float32"
            )
        counter.advance(int(lengths[rows].sum()))
    samples = np.repeat(np.arange(len(shard.sample_id)), prompts)
    return pa.table(
        {
            "sample_id": shard.sample_id.take(pa.array(samples)),
            "prompt": pa.array(np.tile(np.arange(1, prompts + 1), len(shard.sample_id)), pa.int32()),
            "probabilities": pa.FixedSizeListArray.from_arrays(
                pa.array(np.exp(log_probability).reshape(-1)), len(RATINGS)
            ),
            "truncated": shard.truncated[samples],
            "prompt_cut": shard.prompt_cut[samples],
            "answer_cut": shard.answer_cut[samples],
        }
    )


RATING_PROBABILITY = Job(
    "rating_probability",
    rate,
    RatingSpec,
    _identity,
    partial(read_summary, summary_type=RatingSummary),
    several_processes=True,
)
