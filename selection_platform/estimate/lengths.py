"""How long a pool's conversations are: counted where the pool was made, else assumed from what is known of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selection_platform.configuration.settings import FineTuningSettings, PassSettings
from selection_platform.experiments.keys import Experiment
from selection_platform.text.cutting import kept_in_scoring

CHARACTERS_PER_TOKEN = 4.2
"""Of English text, on average over the two packaged pools."""

SPREAD = 0.8
"""Standard deviation of the logarithm of a conversation's tokens, where lengths are assumed. About that of the packaged
pools."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Lengths:
    """Tokens of a pool's conversations before any cut; arrays have one entry each, in the order of sample ids.

    Attributes:
        prompt: everything before the last answer.
        answer: the last answer, without the end of its turn.
        known: how they are known, for people.
        measured: whether they were counted by a tokenizer.
    """

    prompt: Counts
    answer: Counts
    known: str
    measured: bool = True

    def __len__(self) -> int:
        return len(self.prompt)

    def take(self, rows: NDArray[Any]) -> "Lengths":
        """Some of them, in this order."""
        return Lengths(self.prompt[rows], self.answer[rows], self.known, self.measured)

    def sample(self, count: int, seed: int) -> "Lengths":
        """A random draw without replacement. If there are fewer than `count`, all of them in random order."""
        count = min(count, len(self))
        return self.take(np.random.default_rng(seed).choice(len(self), count, replace=False))

    @property
    def tokens(self) -> float:
        """Tokens of all of them."""
        return float(self.prompt.sum() + self.answer.sum())


class Extra(NamedTuple):
    """Tokens that a job adds to a conversation.

    Attributes:
        cue: before an answer that is scored without its prompt.
        end: after each answer in training.
        ratings: of each of SelectIT's rating lines with its cue.
    """

    cue: int
    end: int
    ratings: tuple[int, ...]


def assumed(rows: int, tokens: float, answer: float, known: str) -> Lengths:
    """Lengths whose logarithm is normal, with these means.

    Args:
        rows: conversations.
        tokens: mean tokens of a conversation.
        answer: mean tokens of its last answer.
        known: where the numbers come from.
    """
    # Quantiles, so that the same profile gives the same numbers; mixed, so that each part of them is a fair sample.
    steps = min(rows, 4096)
    quantiles = [NormalDist(-(SPREAD**2) / 2, SPREAD).inv_cdf((step + 0.5) / steps) for step in range(steps)]
    whole = np.exp(np.resize(np.random.default_rng(0).permutation(quantiles), rows))
    whole *= tokens / max(whole.mean(), 1e-9)
    answers = np.maximum(1, np.rint(whole * answer / tokens)).astype(np.int64)
    return Lengths(np.maximum(1, np.rint(whole).astype(np.int64) - answers), answers, known, measured=False)


def scored(lengths: Lengths, scoring: PassSettings, cue: int, end: int = 0) -> tuple[Counts, Counts]:
    """Tokens of each prompt and answer that fit the window."""
    return kept_in_scoring(lengths.prompt, lengths.answer + end, scoring.max_length, scoring.cut, 0, cue)


def trained(lengths: Lengths, recipe: FineTuningSettings, end: int) -> Counts:
    """Tokens of each conversation in training; those without an answer in the window are left out."""
    total = np.minimum(lengths.prompt + lengths.answer + end, recipe.max_length)
    # Of several turns an earlier answer may be left, which the lengths do not show.
    return total if recipe.cut == "shared" else total[lengths.prompt < recipe.max_length]


def targets(lengths: Lengths, recipe: FineTuningSettings, end: int) -> Counts:
    """Tokens of each conversation that training makes logits for, in the order of `trained`.

    Only the last answer is counted, as the lengths do not show earlier ones.
    """
    answer, whole = lengths.answer + end, lengths.prompt + lengths.answer + end
    if recipe.cut == "shared":
        # Of a turn that is cut, prompt and answer lose the same share.
        return np.minimum(answer, np.maximum(1, answer * recipe.max_length // whole))
    return np.minimum(answer, recipe.max_length - lengths.prompt)[lengths.prompt < recipe.max_length]


def padded(
    lengths: Counts, tokens_per_batch: int, in_order: Counts | None = None, per_shard: int | None = None
) -> Counts:
    """Rows and padded width of every batch of a pass: batches x 2.

    Args:
        lengths: tokens of each row; 0 for one that is left out.
        tokens_per_batch: most padded tokens of a batch.
        in_order: what the shards are ordered by, longest first; the lengths themselves if left out.
        per_shard: most rows of a shard; None for one shard.
    """
    from selection_platform.models.batching import batches, shard_slices

    by = lengths if in_order is None else in_order
    order = np.argsort(-by, kind="stable")
    found: list[tuple[int, int]] = []
    for shard in shard_slices(by[order], per_shard) if per_shard else [slice(None)]:
        part = lengths[order[shard]]
        found += [(len(rows), int(part[rows[0]])) for rows in batches(part, tokens_per_batch)]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def likely(experiment: Experiment, pool: Lengths) -> Lengths:
    """What an experiment that has not selected yet will select: the longest answers, or a fair part of the pool."""
    count = experiment.budget or 0
    if experiment.method.startswith("token_length"):
        return pool.take(np.argsort(-pool.answer, kind="stable")[:count])
    return pool.sample(count, experiment.seed)


def in_tokens(text: str, count: Callable[[str], int] | None) -> int:
    """Tokens of a text, by a tokenizer where there is one, else by its characters."""
    return count(text) if count else math.ceil(len(text) / CHARACTERS_PER_TOKEN)
