"""The arithmetic of each job from lengths and a model's shape, counted as `job.compute` counts it while jobs run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selection_platform.configuration.settings import FineTuningSettings, PassSettings, PretrainingSettings
from selection_platform.estimate.lengths import Counts, Extra, Lengths, padded, scored, targets, trained
from selection_platform.estimate.shape import Shape
from selection_platform.job.compute import Compute
from selection_platform.models.batching import shard_slices

MOST_ROWS = 300_000
"""Conversations of a pool that are put into batches one by one. A part of a pool has larger shards for its rows, in
which fewer answers are of one length: for the `paper` profile's pools the scoring passes come out 0.1% higher than with
a million rows, and `estimate` takes 2 s of CPU in place of 5."""

Batches = NDArray[np.int64]
"""Rows and padded width of each batch: batches x 2."""


@dataclass
class Work(Compute):
    """An amount of arithmetic before it is done.

    Attributes:
        float32_flops: those of `forward_flops` that give logits in float32, whatever the model's number type.
    """

    float32_flops: float = 0.0


def plus(*parts: Work) -> Work:
    """The sum of some amounts."""
    total = Work()
    for part in parts:
        total.add(part)
        total.float32_flops += part.float32_flops
    return total


def times(count: float, part: Work) -> Work:
    """An amount, so many times."""
    forward, backward, logits = part.forward_flops, part.backward_flops, part.float32_flops
    return Work(round(count * part.tokens), count * forward, count * backward, float32_flops=count * logits)


def of_all(lengths: Lengths, work: Callable[[Lengths], Work]) -> Work:
    """What a pass over a pool takes: of a large pool a part is worked out, which is a fair one, as ids are hashes."""
    part = lengths.take(np.arange(min(len(lengths), MOST_ROWS)))
    return times(len(lengths) / max(1, len(part)), work(part))


def decoder(shape: Shape, batches: Batches, adapter: int = 0) -> Work:
    """A forward pass of every batch through the decoder, without the head."""
    rows, width = batches[:, 0].astype(np.float64), batches[:, 1].astype(np.float64)
    tokens = float((rows * width).sum())
    return Work(int(tokens), 2 * tokens * (shape.passed + adapter) + _attention(shape, rows, width))


def _attention(shape: Shape, rows: NDArray[np.float64], width: NDArray[np.float64]) -> float:
    return 4 * shape.layers * shape.attention * float((rows * width**2).sum())


def head(shape: Shape, positions: float) -> Work:
    """The logits of so many positions, as scores and losses are computed from them: in float32."""
    operations = 2 * positions * shape.head
    return Work(0, operations, float32_flops=operations)


def likelihood(shape: Shape, lengths: Lengths, scoring: PassSettings, extra: Extra) -> Work:
    """Both passes of `answer_likelihood`: over prompt and answer, and over the answer alone."""
    prompt, answer = scored(lengths, scoring, extra.cue)
    joint, alone = prompt + answer, np.where(answer > 0, answer + extra.cue, 0)
    size, shard = scoring.tokens_per_batch, scoring.samples_per_shard
    return plus(
        decoder(shape, padded(joint, size, joint, shard)),
        decoder(shape, padded(alone, size, joint, shard)),
        # Of the joint pass every position, of the other those from the cue's last token on.
        head(shape, float(joint.sum() + answer.sum() + np.count_nonzero(answer))),
    )


def embedding(shape: Shape, lengths: Lengths, scoring: PassSettings, extra: Extra) -> Work:
    """The pass of `sample_embedding`, which needs no logits."""
    joint = sum(scored(lengths, scoring, extra.cue))
    return decoder(shape, padded(np.asarray(joint), scoring.tokens_per_batch, None, scoring.samples_per_shard))


def sentences(shape: Shape, lengths: Lengths, sizes: PassSettings) -> Work:
    """The pass of `sentence_embedding`, with the two tokens that an encoder of BERT's kind puts around a text."""
    tokens = np.minimum(lengths.prompt + lengths.answer + 2, sizes.max_length)
    return decoder(shape, padded(tokens, sizes.tokens_per_batch, None, sizes.samples_per_shard))


def rating(shape: Shape, lengths: Lengths, scoring: PassSettings, extra: Extra) -> Work:
    """SelectIT's five prompts of each sample; one position's logits of each."""
    room = scoring.model_copy(update={"max_length": scoring.max_length - max(extra.ratings)})
    prompt, answer = scored(lengths, room, extra.cue)
    joint = -np.sort(-(prompt + answer))
    per_sample = np.array(extra.ratings)
    parts: list[Batches] = []
    for shard in shard_slices(joint, scoring.samples_per_shard):
        rows = joint[shard, None] + per_sample
        parts.append(padded(rows.reshape(-1), scoring.tokens_per_batch))
    return plus(decoder(shape, np.concatenate(parts)), head(shape, len(joint) * len(per_sample)))


def influence(
    lengths: Lengths, shape: Shape, scoring: PassSettings, extra: Extra, adapter: int, *, sharded: bool = True
) -> Work:
    """LESS's forward and backward passes at one epoch: gradients of activations, and of single samples.

    Args:
        lengths: of the samples.
        shape: the model's.
        scoring: sizes of the pass.
        extra: what is added to a conversation.
        adapter: numbers in the adapter.
        sharded: whether the samples are split into shards, as the pool is and the targets are not.
    """
    prompt, answer = scored(lengths, scoring, extra.cue, extra.end)
    joint = prompt + answer
    given = np.where(answer > 0, joint, 0)
    batches = padded(given, scoring.tokens_per_batch, joint, scoring.samples_per_shard if sharded else None)
    forward, logits = decoder(shape, batches, adapter), head(shape, float(answer.sum()))
    rows, width = batches[:, 0].astype(np.float64), batches[:, 1].astype(np.float64)
    singles = 2 * forward.tokens * adapter
    back = forward.forward_flops + _attention(shape, rows, width) + logits.forward_flops + singles
    return plus(forward, logits, Work(0, 0, back))


def training(shape: Shape, lengths: Lengths, recipe: FineTuningSettings, extra: Extra) -> Work:
    """A fine-tuning: logits of the answers, and the decoder once more where activations are recomputed.

    Nothing is padded. A model whose rows cannot be packed pads some more: 3 to 20% of the packaged pools.
    """
    tokens = trained(lengths, recipe, extra.end)
    if not len(tokens):
        return Work()
    adapter = shape.adapter(recipe.lora) if recipe.lora else 0
    alone = np.stack([np.ones_like(tokens), tokens], axis=1)
    answers = float(targets(lengths, recipe, extra.end).sum())
    each = steps(shape, alone, answers, adapter, full=recipe.lora is None, recomputed=recipe.gradient_checkpointing)
    return times(recipe.epochs, each)


def steps(
    shape: Shape, batches: Batches, positions: float, adapter: int = 0, *, full: bool, recomputed: bool = False
) -> Work:
    """The forward and backward passes of some micro-batches, with the logits of so many positions."""
    forward = decoder(shape, batches, adapter)
    # In training, logits have the number type of all products.
    logits = Work(0, head(shape, positions).forward_flops)
    rows, width = batches[:, 0].astype(np.float64), batches[:, 1].astype(np.float64)
    of_weights = 2 * (forward.tokens * shape.passed + positions * shape.head if full else forward.tokens * adapter)
    back = forward.forward_flops + _attention(shape, rows, width) + logits.forward_flops + of_weights
    again = forward.forward_flops if recomputed else 0.0
    return plus(forward, logits, Work(0, again, back))


def pretraining(settings: PretrainingSettings, shape: Shape) -> Work:
    """The pre-training of a small model."""
    batches = np.array([[settings.batch, settings.block_length]] * settings.steps)
    # Nothing comes before the first token of a block.
    return steps(shape, batches, settings.steps * settings.batch * (settings.block_length - 1), full=True)


def round_trainings(budget: int, initial_share: float, rounds: int, rows: int) -> list[int]:
    """How many samples each of DiverseEvol's trainings has."""
    from selection_platform.methods.diverse_evol.sizes import round_sizes

    sizes = round_sizes(min(budget, rows), initial_share, rounds)
    return [sum(sizes[:number]) for number in range(1, len(sizes))]


def decoding(shape: Shape, items: int, prompt: float, new: float, batch: int) -> Work:
    """Answers to some items: one pass over each prompt, and one over each new token."""
    sizes = _batches_of(items, batch)
    forward = decoder(shape, np.array([[rows, round(prompt)] for rows in sizes]))
    tokens = items * new
    attention = 4 * shape.layers * shape.attention * tokens * (prompt + new / 2)
    each = Work(round(tokens), 2 * tokens * (shape.passed + shape.head) + attention)
    return plus(forward, each)


def _batches_of(items: int, batch: int) -> Sequence[int]:
    return [min(batch, items - start) for start in range(0, items, batch)]


def held_out(shape: Shape, tokens: Counts, tokens_per_batch: int) -> Work:
    """The held-out loss of one pool."""
    return plus(decoder(shape, padded(tokens, tokens_per_batch)), head(shape, float(tokens.sum())))
