"""LESS: how much a training step on a sample would help with target samples (arXiv 2402.04333).

For each epoch of a LoRA warm-up, influence is the cosine between the direction in which Adam would move the adapter for
the sample and the loss gradient of a target sample, averaged over a target group's samples. SQL on these columns
computes the sum over epochs, weighted by their mean learning rates, and the maximum over groups.

The loss is that of training, for samples and targets: the mean over the last answer's tokens and the end of its turn,
as the published code labels it. An answer that is cut at `max_length` has no such end.

The official code runs samples one by one, projects every gradient to 8,192 dimensions, stores it and then computes a
matrix of pool x targets. Here samples share passes (`sample_gradients`), nothing is projected, and only one number per
group is kept (`target_gradients`): the cosine itself, which the projection only estimates.

Memory, besides the model and its activations: Adam's moments and one vector per group, each as large as the adapter in
float32. A job that was killed continues after its last complete shard.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selection_platform.configuration.settings import ScoringSettings
from selection_platform.errors import PlatformError
from selection_platform.features.token_plan import TokenPlan, make_plan, remove_plan
from selection_platform.job.folder import file_hash
from selection_platform.job.progress import Progress
from selection_platform.job.registry import Job
from selection_platform.job.scoring_job import Pass, read_summary, run_scoring_job
from selection_platform.job.spec import FilePath, ScoringSpec
from selection_platform.job.versions import VERSIONS, logits_in
from selection_platform.methods.less.adam_direction import DIRECTIONS, Direction
from selection_platform.methods.less.influence_pass import InfluencePasses
from selection_platform.methods.less.target_gradients import read_targets
from selection_platform.methods.less.warmed_up import WarmedUp, load_warmed_up
from selection_platform.models.forward_pass import batches, padding_share
from selection_platform.models.provenance import model_identity, peak_memory_bytes
from selection_platform.models.renderers import load_renderer, text_identity
from selection_platform.training.epoch_snapshots import EpochSnapshot, epoch_snapshots

_TARGETS_FOLDER = "targets"
# Gradients of float16 activations vanish below 6e-8, as those of long answers do.
_DTYPES = ("float32", "bfloat16")


class InfluenceSpec(ScoringSpec):
    """One scoring job. Its dtype is for weights and activations; gradients of single samples are always float32.

    Attributes:
        warmup_folder: folder that `fine_tune` wrote with `keep_epochs`.
        targets_file: like `samples_file`, with the target samples and a column `target` (string): the group. A sample
        may
            be in several groups.
        scoring: sizes of the pass. `max_length` includes the end-of-sequence token. `tokens_per_batch` bounds
            activations; rows of logits take about `logit_rows * vocabulary * 10` bytes.
        directions: "adam", "published" or both (see `adam_direction`); the second costs little.
    """

    warmup_folder: FilePath
    targets_file: FilePath
    # A narrower type than the parent's: pyright does not know that pydantic freezes it.
    scoring: ScoringSettings  # pyright: ignore[reportIncompatibleVariableOverride]
    directions: tuple[Direction, ...] = ("adam",)


@dataclass(frozen=True)
class InfluenceSummary:
    """What a job did. Counts are of the whole job; seconds and memory are of the run that completed it.

    Attributes:
        samples: samples of the pool.
        epochs: number of epochs at which each sample was measured.
        targets: number of groups.
        target_samples: distinct samples in the groups, without dropped ones.
        target_samples_dropped: target samples whose prompt fills the window.
        tokens: tokens of measured pool samples at one epoch, with end-of-sequence tokens and without padding.
        padding_share: padding tokens / all tokens of the passes over these samples.
        truncated: samples of the pool whose answer, or its end, was cut.
        prompt_fills_context: truncated samples without any token of the answer; their influence is null.
        seconds: wall time, including loading.
        load_seconds: wall time of loading models.
        target_seconds: wall time of the targets' vectors.
        peak_memory_bytes: peak memory of the GPU if there is one, else of the process, since the process started.
        cut_prompts: samples of the pool whose prompt was cut. 0 in jobs of earlier versions, which did not count them.
    """

    samples: int
    epochs: int
    targets: int
    target_samples: int
    target_samples_dropped: int
    tokens: int
    padding_share: float
    truncated: int
    prompt_fills_context: int
    seconds: float
    load_seconds: float
    target_seconds: float
    peak_memory_bytes: int
    cut_prompts: int = 0


def measure(spec: InfluenceSpec, folder: Path) -> InfluenceSummary:
    """Measure all samples at all epochs into `folder`: write the shards, from `part-00000.parquet` on, and a manifest.

    Columns: `sample_id`; `epoch` (int32); `direction`; `target`; `influence` (float64 in [-1, 1], higher means that the
    sample helps more; null if the prompt fills the window); `mean_learning_rate` (float64) of the epoch's steps.

    A run on a folder with part of the same job continues it. On CPUs of one kind, with the same number of threads, this
    does not change the bytes of the shards. On a GPU last digits may change, because attention's backward pass sums in
    no fixed order.

    Raises:
        UnsupportedModel: as `check_model` says.
        NotFinite: the model gave NaN or infinity for a sample, which the message names.
        PlatformError: the spec does not fit the model or the warm-up, there are no samples, their ids repeat, or a
            target has no sample with an answer in the window.
    """
    _check(spec)
    snapshots = epoch_snapshots(Path(spec.warmup_folder))
    return run_scoring_job(
        spec,
        folder,
        identity=_identity(spec),
        summary_type=InfluenceSummary,
        begin=lambda: _begin(spec, snapshots, folder),
    )


def _begin(
    spec: InfluenceSpec, snapshots: Sequence[EpochSnapshot], folder: Path
) -> Pass[tuple[EpochSnapshot, TokenPlan], InfluenceSummary]:
    renderer = load_renderer(snapshots[0].folder, spec.text)
    max_length, cut = spec.scoring.max_length, spec.scoring.cut
    plan = make_plan(Path(spec.samples_file), renderer, max_length, cut, folder, with_end=True)
    targets = read_targets(Path(spec.targets_file), renderer, max_length, cut, folder / _TARGETS_FOLDER)
    shards = list(plan.shards(spec.scoring.samples_per_shard))
    passes = InfluencePasses(partial(_load, spec), targets, spec.directions, spec.scoring.tokens_per_batch)

    def summary(seconds: float) -> InfluenceSummary:
        return InfluenceSummary(
            samples=len(plan.sample_id),
            epochs=len(snapshots),
            targets=len(targets.groups),
            target_samples=len(targets.plan.sample_id) - targets.dropped,
            target_samples_dropped=targets.dropped,
            tokens=int(_lengths(plan).sum()),
            padding_share=padding_share(map(_lengths, shards), spec.scoring.tokens_per_batch),
            truncated=int(plan.truncated.sum()),
            prompt_fills_context=int((plan.answer_tokens == 0).sum()),
            seconds=seconds,
            load_seconds=passes.load_seconds,
            target_seconds=passes.target_seconds,
            peak_memory_bytes=peak_memory_bytes(),
            cut_prompts=int((plan.prompt_cut > 0).sum()),
        )

    def tidy() -> None:
        remove_plan(folder)
        shutil.rmtree(folder / _TARGETS_FOLDER)

    return Pass(
        label="measuring influence",
        pieces=[(snapshot, shard) for snapshot in snapshots for shard in shards],
        tokens=lambda piece: int(_lengths(piece[1]).sum()),
        score=lambda piece, counter: _table(spec, passes, *piece, counter),
        summary=summary,
        tidy=tidy,
    )


def _check(spec: InfluenceSpec) -> None:
    """Raise PlatformError for settings that are wrong for every model."""
    if not spec.directions or not set(spec.directions) <= set(DIRECTIONS):
        raise PlatformError(f"directions {spec.directions!r}: expected one or more of {', '.join(DIRECTIONS)}")
    if len(set(spec.directions)) < len(spec.directions):
        raise PlatformError(f"directions {spec.directions!r}: name each only once")
    if spec.dtype not in _DTYPES:
        raise PlatformError(f"dtype {spec.dtype!r}: expected one of {', '.join(_DTYPES)}")


def _identity(spec: InfluenceSpec) -> dict[str, Any]:
    """What the numbers and their order depend on: contents, not paths."""
    snapshots = epoch_snapshots(Path(spec.warmup_folder))
    epochs = [{**asdict(snapshot), "folder": None, "model": model_identity(snapshot.folder)} for snapshot in snapshots]
    return {
        "job": "gradient_influence",
        "code_version": VERSIONS["gradient_influence"],
        **logits_in(spec.dtype),
        "template": text_identity(Path(spec.warmup_folder), spec.text),
        "epochs": epochs,
        "samples": file_hash(Path(spec.samples_file)),
        "targets": file_hash(Path(spec.targets_file)),
        **spec.content(),
    }


def _lengths(plan: TokenPlan) -> np.ndarray:
    """Tokens of each sample in a pass; 0 if the prompt fills the window."""
    return np.where(plan.answer_tokens > 0, plan.joint_lengths, 0)


def _load(spec: InfluenceSpec, snapshot: EpochSnapshot) -> WarmedUp:
    """The model at the end of an epoch."""
    return load_warmed_up(
        snapshot,
        spec.directions,
        dtype=spec.dtype,
        max_length=spec.scoring.max_length,
        tokens_per_batch=spec.scoring.tokens_per_batch,
        logit_rows=spec.scoring.logit_rows,
    )


def _table(
    spec: InfluenceSpec, passes: InfluencePasses, snapshot: EpochSnapshot, shard: TokenPlan, counter: Progress
) -> pa.Table:
    """The rows of a shard at an epoch, by sample, direction and target."""
    directions, groups = spec.directions, passes.targets.groups
    influence = np.zeros((len(shard.sample_id), len(directions), len(groups)))
    lengths = _lengths(shard)
    for indices in batches(lengths, spec.scoring.tokens_per_batch):
        influence[indices] = passes.influence(snapshot, shard, indices)
        counter.advance(int(lengths[indices].sum()))
    sample, direction, group = (index.reshape(-1) for index in np.indices(influence.shape))
    return pa.table(
        {
            "sample_id": shard.sample_id.take(pa.array(sample)),
            "epoch": np.full(influence.size, snapshot.epoch, dtype=np.int32),
            "direction": pa.array(directions).take(pa.array(direction)),
            "target": pa.array(groups).take(pa.array(group)),
            "influence": pa.array(influence.reshape(-1), mask=(shard.answer_tokens == 0)[sample]),
            "mean_learning_rate": np.full(influence.size, snapshot.mean_learning_rate),
        }
    )


GRADIENT_INFLUENCE = Job(
    "gradient_influence",
    measure,
    InfluenceSpec,
    _identity,
    partial(read_summary, summary_type=InfluenceSummary),
    several_processes=True,
)
