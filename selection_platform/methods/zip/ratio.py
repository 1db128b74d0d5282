"""Compression ratios of a list of records with one more record, each for the price of that record.

The compressor that has read the list up to the place of its next record is copied for each candidate. What it then
writes is as long as `zlib.compress(text, 9)` of the whole text at once: zlib's output does not depend on how its input
is cut into calls. Nearly all time is spent inside zlib, in matching the candidate and in writing out the block that the
list had begun; the copy is a twentieth of it.
"""

import zlib
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 9
ROWS_PER_TASK = 64  # at most, so that no thread is left alone with a long tail

Rows = NDArray[np.int64]


class Anchor:
    """A list of records, compressed up to the place where the next record goes."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL)
        self._raw = 0
        self._packed = 0
        self._feed(b"[")

    def append(self, text: bytes) -> None:
        """Add a record for good."""
        self._feed(text + b", ")

    def _feed(self, data: bytes) -> None:
        self._raw += len(data)
        self._packed += len(self._compressor.compress(data))

    def ratios(self, texts: Iterable[bytes]) -> list[float]:
        """For each text the ratio of the list with this text alone added. Threads may share the anchor.

        Returns:
            Raw bytes by compressed bytes, brackets and commas included; low means diverse.
        """
        ratios = []
        for text in texts:
            branch = self._compressor.copy()
            packed = self._packed + len(branch.compress(text + b"]")) + len(branch.flush())
            ratios.append((self._raw + len(text) + 1) / packed)
        return ratios


@dataclass(frozen=True)
class Ratios:
    """Computes ratios of pool rows on all threads.

    Attributes:
        texts: record of each row, in UTF-8.
        executor: runs the tasks. Threads do, for zlib works outside the interpreter's lock.
        workers: number of its threads.
    """

    texts: list[bytes]
    executor: Executor
    workers: int

    def __call__(self, anchor: Anchor, rows: Rows) -> NDArray[np.float64]:
        """Ratio of the anchor's list with each of the rows (at least one) alone added. Shape of `rows`."""
        tasks = max(min(len(rows), 4 * self.workers), -(-len(rows) // ROWS_PER_TASK))
        parts = [part.tolist() for part in np.array_split(rows, tasks)]
        done = self.executor.map(lambda part: anchor.ratios(self.texts[row] for row in part), parts)
        return np.concatenate([np.array(ratios) for ratios in done])


def lowest(ratio: NDArray[np.floating], rows: Rows, count: int) -> Rows:
    """The `count` of the ascending `rows` with the lowest ratios, ascending; all where there are fewer.

    Args:
        ratio: of every row of the pool. Shape (pool,).
        rows: to choose from; the lower row wins a tie.
        count: at least 1.
    """
    if count >= len(rows):
        return rows
    values = ratio[rows]
    limit = np.partition(values, count - 1)[count - 1]
    chosen = values < limit
    chosen[np.flatnonzero(values == limit)[: count - np.count_nonzero(chosen)]] = True
    return rows[chosen]
