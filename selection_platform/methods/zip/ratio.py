"""Compression ratios of a list of records with one more record, each at the cost of only that record.

A compressor that has read the list up to the next record is copied for each candidate. Its output then has the same
length as `zlib.compress(text, 9)` of the whole text: zlib's output does not depend on how its input is split into
calls. Nearly all time is spent inside zlib, to match the candidate and to write the block that the list has started;
the copy takes a twentieth of it.
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
        """For each text, the ratio of the list with only this text added. Threads may share the anchor.

        Returns:
            Raw bytes / compressed bytes, with brackets and commas; low means diverse.
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
        executor: runs the tasks. Threads are enough, because zlib runs outside the interpreter's lock.
        workers: number of the executor's threads.
    """

    texts: list[bytes]
    executor: Executor
    workers: int

    def __call__(self, anchor: Anchor, rows: Rows) -> NDArray[np.float64]:
        """Ratio of the anchor's list with only one of the rows (at least one) added, for each row. Shape of `rows`."""
        tasks = max(min(len(rows), 4 * self.workers), -(-len(rows) // ROWS_PER_TASK))
        parts = [part.tolist() for part in np.array_split(rows, tasks)]
        results = self.executor.map(lambda part: anchor.ratios(self.texts[row] for row in part), parts)
        return np.concatenate([np.array(ratios) for ratios in results])


def lowest(ratio: NDArray[np.floating], rows: Rows, count: int) -> Rows:
    """The `count` rows with the lowest ratios, ascending; all `rows` if there are fewer.

    Args:
        ratio: ratio of every row of the pool. Shape (pool,).
        rows: the rows to choose from, ascending; the lower row wins a tie.
        count: at least 1.
    """
    if count >= len(rows):
        return rows
    values = ratio[rows]
    limit = np.partition(values, count - 1)[count - 1]
    chosen = values < limit
    chosen[np.flatnonzero(values == limit)[: count - np.count_nonzero(chosen)]] = True
    return rows[chosen]
