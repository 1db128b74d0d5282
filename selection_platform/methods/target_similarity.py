"""RDS+: how similar the samples of a pool are to targets, and which are picked when targets take turns.

Similarity is the cosine of two position-weighted means of hidden states (arXiv 2503.01807, "Large-Scale Data Selection
for Instruction Tuning"). There is no matrix of samples x targets: samples go by in blocks, and each target keeps the
best rows that it may still need.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.job.folder import whole_file
from selection_platform.job.progress import progress
from selection_platform.methods.round_robin import in_turns

PRODUCTS_PER_BLOCK, ROWS_PER_BLOCK = 1_000_000, 8192
"""Cosines, and rows of vectors, in memory at a time, at most."""
ROWS_PER_TURN, ROWS_AT_LEAST = 4, 64
"""Best rows that a target keeps at first: this many for each of its turns, and this many more. Where other targets take
so many of them that one runs out, all is done again with more."""

_ROW_BITS, _SIGN = np.uint64(0xFFFF_FFFF), np.uint32(0x8000_0000)


@dataclass(frozen=True)
class Similarity:
    """What the targets say of each row.

    Attributes:
        highest: float32, each row's highest cosine with a target.
        nearest: int64, that target; the first of several.
        picked: int64, rows in the order of picking when targets take turns.
    """

    highest: NDArray[np.float32]
    nearest: NDArray[np.int64]
    picked: NDArray[np.int64]


Transform = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""What is done to vectors before they are compared."""


def similarity(
    samples: NDArray[np.float32], targets: NDArray[np.float32], picks: int, transform: Transform = np.asarray
) -> Similarity:
    """Compare each sample with each target.

    Args:
        samples: rows x dimensions, in the order of sample ids, which decides ties; may be mapped from a file.
        targets: targets x dimensions, in the order in which they take turns.
        picks: how many rows are picked, at most.
        transform: applied to both, a block of samples at a time.
    """
    rows, turns = len(samples), -(-picks // len(targets))
    most = min(picks, rows)
    depth = min(most, ROWS_PER_TURN * turns + ROWS_AT_LEAST)
    while True:
        highest, nearest, ranked = _ranked(samples, normalised(transform(targets)), depth, transform)
        picked = in_turns(list(ranked), most, whole=depth == most)
        if picked is not None:
            return Similarity(highest, nearest, picked)
        depth = min(most, 8 * depth)


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1; a vector of zeros has no direction, and stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _ranked(
    samples: NDArray[np.float32], targets: NDArray[np.float32], depth: int, transform: Transform
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Each row's highest cosine and its target, and each target's best rows, the best first: targets x depth."""
    rows = len(samples)
    highest, nearest = np.empty(rows, dtype=np.float32), np.empty(rows, dtype=np.int64)
    best = np.zeros((len(targets), 0), dtype=np.uint64)
    block = min(ROWS_PER_BLOCK, max(1, PRODUCTS_PER_BLOCK // len(targets)))
    with progress("similarity to targets", rows, "samples") as bar:
        for start in range(0, rows, block):
            part = slice(start, min(start + block, rows))
            cosines = targets @ normalised(transform(np.asarray(samples[part]))).T
            nearest[part] = cosines.argmax(axis=0)
            highest[part] = np.take_along_axis(cosines, nearest[None, part], axis=0)[0]
            best = _best(best, cosines, start, depth)
            bar.advance(part.stop - start)
    best.sort(axis=1)
    return highest, nearest, (_ROW_BITS - (best[:, ::-1] & _ROW_BITS)).astype(np.int64)


def _best(best: NDArray[np.uint64], cosines: NDArray[np.float32], start: int, depth: int) -> NDArray[np.uint64]:
    """The highest `depth` keys of each target, of those so far and those of a block, in any order.

    Args:
        best: targets x at most `depth` keys.
        cosines: targets x rows of the block.
        start: the block's first row.
        depth: how many to keep.
    """
    if best.shape[1] < depth:
        keys = _keys(cosines, np.arange(start, start + cosines.shape[1]))
    else:
        # Late blocks have few rows that are as good as the worst so far.
        target, column = np.nonzero(cosines >= _cosines(best.min(axis=1))[:, None])
        counts = np.bincount(target, minlength=len(best))
        place = np.arange(len(target)) - np.repeat(np.cumsum(counts) - counts, counts)
        # 0 is below every key.
        keys = np.zeros((len(best), counts.max()), dtype=np.uint64)
        keys[target, place] = _keys(cosines[target, column], start + column)
    both = np.concatenate([best, keys], axis=1)
    left_out = both.shape[1] - depth
    return both if left_out <= 0 else np.partition(both, left_out, axis=1)[:, left_out:]


def _keys(cosines: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Numbers that order rows by cosine, and equal ones by row: the higher is the better, and no two are equal."""
    # Added, as -0.0 and 0.0 are the same cosine. The bits of floats from 0 on are in order, and those below in reverse.
    bits = (cosines + np.float32(0)).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | _SIGN).astype(np.uint64)
    return (ordered << np.uint64(32)) | (_ROW_BITS - rows.astype(np.uint64))


def _cosines(keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The cosines in keys."""
    ordered = (keys >> np.uint64(32)).astype(np.uint32)
    return np.where(ordered >> 31, ordered ^ _SIGN, ~ordered).view(np.float32)


def write_similarity(sample_ids: list[str], target_ids: list[str], found: Similarity, into: Path) -> None:
    """Write sample_id, similarity (float64), nearest (sample id of the target) and place (int32, from 1, or null)."""
    place = np.zeros(len(sample_ids), dtype=np.int32)
    place[found.picked] = np.arange(1, len(found.picked) + 1)
    table = pa.table(
        {
            "sample_id": sample_ids,
            "similarity": found.highest.astype(np.float64),
            "nearest": pa.array(target_ids).take(pa.array(found.nearest)),
            "place": pa.array(place, mask=place == 0),
        }
    )
    with whole_file(into) as temporary:
        pq.write_table(table, temporary)
