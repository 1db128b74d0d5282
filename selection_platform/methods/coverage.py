"""Picks that cover the clusters of a pool, of samples that are good by some score.

Each cluster has a mass, the sum of its picks' qualities, and counts as its mass to a power below 1: the more was picked
of a cluster, the less another pick of it adds. A pick also counts, in part, for clusters with a similar centre. Greedy
search takes, again and again, the sample that adds most. The objective is MIG's (arXiv 2504.13835), with clusters in
place of its labels.

A sample's gain depends on its cluster and its quality alone, and rises with the quality. So the best sample of each
cluster that is left is all that must be compared, whatever the size of the pool. A pick only lowers other gains, so an
outdated gain is an upper bound, and only the highest is computed again (lazy greedy, Minoux 1978).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.job.progress import progress

ROWS_PER_READ = 4096
CENTRES_PER_BLOCK = 512


@dataclass(frozen=True)
class Spread:
    """The clusters that a pick counts for.

    Attributes:
        clusters: for each cluster, those that a pick of it counts for, itself among them.
        shares: for each of these, the share of the pick's quality that it gets; they sum to 1.
        pairs: how many pairs of clusters are similar.
    """

    clusters: list[NDArray[np.int64]]
    shares: list[NDArray[np.float64]]
    pairs: int


def cluster_centres(
    files: Sequence[Path], column: str, sample_ids: Sequence[str], clusters: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The mean vector of each cluster's samples, and how many there are. Vectors are read in blocks.

    Args:
        files: Parquet files with `sample_id` and the column.
        column: fixed-size list of float32, without nulls.
        sample_ids: the samples of clusters; others in the files are passed over.
        clusters: each one's cluster, from 0.
    """
    cluster_of = dict(zip(sample_ids, map(int, clusters), strict=True))
    count, size = int(max(clusters)) + 1, pq.read_schema(files[0]).field(column).type.list_size
    sums, samples = np.zeros((count, size)), np.zeros(count, dtype=np.int64)
    with progress("centres of clusters", len(sample_ids), "samples") as bar:
        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS_PER_READ, columns=["sample_id", column]):
                    values: Any = batch.column(column)
                    of_rows = np.array([cluster_of.get(name, -1) for name in batch.column("sample_id").to_pylist()])
                    bar.advance(_add(values.flatten().to_numpy().reshape(-1, size), of_rows, sums, samples))
    return np.divide(sums, samples[:, None], out=sums, where=samples[:, None] > 0), samples


def _add(
    vectors: NDArray[np.float32], clusters: NDArray[np.int64], sums: NDArray[np.float64], samples: NDArray[np.int64]
) -> int:
    """Add vectors to the sums of their clusters, except those of cluster -1. Returns how many were added."""
    rows = np.argsort(clusters, kind="stable")[np.count_nonzero(clusters < 0) :]
    if len(rows):
        found, starts, counts = np.unique(clusters[rows], return_index=True, return_counts=True)
        sums[found] += np.add.reduceat(vectors[rows], starts, axis=0, dtype=np.float64)
        samples[found] += counts
    return len(rows)


def spread_among(centres: NDArray[np.float64], samples: NDArray[np.int64], similarity: float) -> Spread:
    """What a pick of each cluster counts for: its own cluster, and those with a similar centre, by their cosine.

    Args:
        centres: clusters x dimensions.
        samples: samples of each cluster.
        similarity: the lowest cosine that counts. Cosines are of centres minus the mean of all samples, without which
            all hidden states are alike.
    """
    around = centres - (samples @ centres) / samples.sum()
    length = np.linalg.norm(around, axis=1, keepdims=True)
    around = np.divide(around, length, out=np.zeros_like(around), where=length > 0)
    near, shares, pairs = [], [], 0
    for start in range(0, len(centres), CENTRES_PER_BLOCK):
        cosines = around[start : start + CENTRES_PER_BLOCK] @ around.T
        for cluster, row in enumerate(cosines, start):
            row[cluster] = 1
            near.append(np.flatnonzero(row >= similarity))
            shares.append(row[near[-1]] / row[near[-1]].sum())
            pairs += len(near[-1]) - 1
    return Spread(near, shares, pairs // 2)


def cover(
    clusters: NDArray[np.integer], quality: NDArray[np.float64], spread: Spread, count: int, power: float
) -> NDArray[np.int64]:
    """The rows that greedy search picks, in order.

    Gains are compared after rounding to float32, so that an equal gain that was summed in another order is a tie. Ties
    go to the higher quality, and then to the first row.

    Args:
        clusters: each row's cluster, from 0.
        quality: each row's quality, above 0.
        spread: what a pick of each cluster counts for.
        count: how many rows to pick, at most.
        power: of a cluster's mass, above 0 and at most 1.
    """
    order = np.lexsort((np.arange(len(clusters)), -quality, clusters))
    found, starts, sizes = np.unique(clusters[order], return_index=True, return_counts=True)
    left = {int(c): iter(order[s : s + n].tolist()) for c, s, n in zip(found, starts, sizes, strict=True)}
    mass = np.zeros(len(spread.clusters))

    def entry(cluster: int, row: int) -> tuple[float, float, int, int]:
        """A row as the heap orders it: the first is the best."""
        before = mass[spread.clusters[cluster]]
        after = before + quality[row] * spread.shares[cluster]
        gain = float((after**power - before**power).sum())
        return -float(np.float32(gain)), -float(quality[row]), row, cluster

    heap = [entry(cluster, next(rows)) for cluster, rows in left.items()]
    heapq.heapify(heap)
    picked: list[int] = []
    with progress("coverage of clusters", min(count, len(clusters)), "picks") as bar:
        while heap and len(picked) < count:
            *_, row, cluster = heap[0]
            now = entry(cluster, row)
            if now > heap[0]:
                heapq.heapreplace(heap, now)
                continue
            picked.append(row)
            bar.advance(1)
            mass[spread.clusters[cluster]] += quality[row] * spread.shares[cluster]
            row = next(left[cluster], None)
            if row is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, entry(cluster, row))
    return np.array(picked, dtype=np.int64)
