"""How rows are put into batches and shards by their lengths. Importable without torch."""

from collections.abc import Iterator

import numpy as np

SMALLEST_SHARD = 2_500_000
"""Tokens that a shard may always have: in smaller ones, samples of unlike lengths share batches, which is padding. With
a tenth of it, one process scores the packaged pools 8 to 10% slower (`benchmarks.scoring_balance`)."""
SHARDS_LEFT = 100
"""A shard may also have this part of the tokens left. So the last ones are small: of a large pool, processes that
each take the next shard when they are free end at nearly one time."""


def batches(lengths: np.ndarray, tokens_per_batch: int) -> Iterator[np.ndarray]:
    """Indices of the rows of each batch: rows of similar length together, longest first, ties in the given order.

    A batch has at most `tokens_per_batch` tokens, padding included, but always at least one row. Rows of length 0 are
    left out.
    """
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    start = 0
    while start < len(order):
        rows = max(1, tokens_per_batch // int(lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def shard_cut(samples_per_shard: int) -> str:
    """What decides where `shard_slices` cuts, beside the lengths: shards that were cut otherwise are other shards."""
    return f"{samples_per_shard} samples, {SMALLEST_SHARD} tokens or 1/{SHARDS_LEFT} of those left"


def shard_slices(lengths: np.ndarray, samples_per_shard: int) -> Iterator[slice]:
    """Which samples each shard has: neighbours, until one more would be too many samples or too many tokens.

    The cut depends on nothing else: it is the same for any number of processes and any size of batches.

    Args:
        lengths: tokens of each sample, in the order of the work.
        samples_per_shard: most samples of a shard. It has at least one, however long.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    start = before = 0
    while start < len(lengths):
        most = max(SMALLEST_SHARD, int(ends[-1] - before) // SHARDS_LEFT)
        fit = int(np.searchsorted(ends, before + most, side="right"))
        end = min(max(fit, start + 1), start + samples_per_shard, len(lengths))
        yield slice(start, end)
        start, before = end, int(ends[end - 1])
