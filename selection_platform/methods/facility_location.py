"""Facility location: picks such that every sample of a pool is near to one of them.

The objective is the sum, over the samples to be covered, of the cosine with the nearest pick, or 0 if all are below 0
(QDIT, arXiv 2311.14736, without its quality term). Cosines are of vectors minus the mean of all, without which hidden
states are all alike. Greedy search takes, again and again, the row that raises the sum most; ties go to the first row.

All rows can be picked, and a part of them must be covered: all, if there are few enough, or else a sample. A row's gain
needs its cosines with all of these, its column. A pick only lowers other gains, so an outdated gain is an upper bound,
and a row is looked at again only when its bound is the highest (lazy greedy, Minoux 1978). Columns stay in memory as
long as there is room; those with the lowest bounds leave first.

Cosines are computed in float64 and kept as float32, and gains are compared after rounding to float32. So copies tie,
and neither threads nor blocks decide, except for a rare number between two float32s.
"""

import hashlib
import heapq
import logging
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file
from selection_platform.job.progress import progress
from selection_platform.job.versions import VERSIONS
from selection_platform.methods.round_robin import best_rows

logger = logging.getLogger(__name__)

COLUMNS_PER_BLOCK = 256
"""Columns that are computed at once: a product of matrices."""
BYTES_OF_COLUMNS = 1_600_000_000
"""Columns that stay in memory: all of 20,000 rows that cover each other."""
SECONDS_BETWEEN_SAVES = 30.0


def facility_location(
    vectors: NDArray[np.float32],
    covered: int,
    count: int,
    checkpoint: Path,
    bytes_of_columns: int = BYTES_OF_COLUMNS,
) -> NDArray[np.int64]:
    """The rows that greedy search picks, in order.

    Args:
        vectors: rows x dimensions, in the order of sample ids; may be mapped from a file.
        covered: how many rows must be covered, at most: the first, a random part as ids are hashes.
        count: how many rows to pick, at most.
        checkpoint: file from which a killed search of the same continues.
        bytes_of_columns: memory of the columns.

    Raises:
        PlatformError: the checkpoint cannot be read.
    """
    room = max(2 * COLUMNS_PER_BLOCK, bytes_of_columns // (4 * min(covered, len(vectors))))
    search = _Search(vectors, covered, room)
    saved = _load(checkpoint, search.identity)
    if saved is not None:
        search.go_on(*saved)
    count, last_save = min(count, len(vectors)), time.monotonic()
    with progress("facility location", count, "picks") as bar:
        bar.advance(len(search.picked))
        while len(search.picked) < count:
            bar.advance(search.step(count - len(search.picked)))
            if time.monotonic() - last_save > SECONDS_BETWEEN_SAVES:
                _save(checkpoint, search)
                last_save = time.monotonic()
    checkpoint.unlink(missing_ok=True)
    return np.array(search.picked, dtype=np.int64)


class _Search:
    """A greedy search.

    Attributes:
        identity: what it is a search of.
        picked: the rows so far, in order.
        bounds: float64, an upper bound of each row's gain; minus infinity for picks.
    """

    def __init__(self, vectors: NDArray[np.float32], covered: int, room: int) -> None:
        self._vectors, self._room = vectors, room
        self._mean, digest = _mean_and_digest(vectors)
        self.identity = f"{VERSIONS['facility_location']} {covered} {digest}"
        self._targets = self._directions(range(min(covered, len(vectors)))).T
        self._nearest = np.zeros(self._targets.shape[1], dtype=np.float32)
        self.picked: list[int] = []
        self.bounds = np.full(len(vectors), np.inf)
        self._columns: dict[int, NDArray[np.float32]] = {}
        # Rows with a column, the highest bound first. A row's older entries differ from its bound, and are passed over.
        self._heap: list[tuple[float, int]] = []

    def go_on(self, picked: list[int], bounds: NDArray[np.float64]) -> None:
        """Go on from where an earlier search was stopped."""
        self.picked, self.bounds = picked, bounds
        for start in range(0, len(picked), COLUMNS_PER_BLOCK):
            columns = self._computed(picked[start : start + COLUMNS_PER_BLOCK])
            self._nearest = np.maximum(self._nearest, columns.max(axis=0))

    def step(self, most: int) -> int:
        """Pick what can be told from the columns in memory, then compute more of them.

        Args:
            most: how many rows to pick, at most.

        Returns:
            How many were picked.
        """
        # One look per block: the best row without a column comes first among those that are computed next.
        outside = self.bounds.copy()
        outside[list(self._columns)] = -np.inf
        following = best_rows(outside, COLUMNS_PER_BLOCK)
        best_outside = (-float(outside[following[0]]), int(following[0]))
        before = len(self.picked)
        while len(self.picked) - before < most and (best := self._best()) is not None and best < best_outside:
            self._pick(best[1])
        self._compute([row for row in following.tolist() if outside[row] > -np.inf])
        return len(self.picked) - before

    def _best(self) -> tuple[float, int] | None:
        """Of the rows with a column, minus the gain of the best, and the row; None if there is none."""
        while self._heap:
            bound, row = self._heap[0]
            if row not in self._columns or -bound != self.bounds[row]:
                heapq.heappop(self._heap)
                continue
            self.bounds[row] = _gains(self._columns[row][None], self._nearest)[0]
            now = (-self.bounds[row], row)
            if now == (bound, row):
                return now
            heapq.heapreplace(self._heap, now)
        return None

    def _pick(self, row: int) -> None:
        self._nearest = np.maximum(self._nearest, self._columns.pop(row))
        self.bounds[row] = -np.inf
        self.picked.append(row)

    def _compute(self, rows: list[int]) -> None:
        """Compute columns, and the gains of their rows."""
        if not rows:
            return
        leave = len(self._columns) + len(rows) - self._room
        if leave > 0:
            known = np.fromiter(self._columns, dtype=np.int64)
            for place in best_rows(-self.bounds[known], leave):
                del self._columns[int(known[place])]
        columns = self._computed(rows)
        self.bounds[rows] = _gains(columns, self._nearest)
        for row, column in zip(rows, columns, strict=True):
            # A view would keep its whole block in memory.
            self._columns[row] = column.copy()
            heapq.heappush(self._heap, (-self.bounds[row], row))

    def _computed(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """The cosines of rows with the covered rows: rows x covered."""
        return (self._directions(rows) @ self._targets).astype(np.float32)

    def _directions(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """Vectors of length 1 from the mean; a row that is the mean has no direction, and stays 0."""
        from_mean = self._vectors[list(rows)] - self._mean
        length = np.linalg.norm(from_mean, axis=1, keepdims=True)
        return np.divide(from_mean, length, out=np.zeros_like(from_mean), where=length > 0)


def _gains(columns: NDArray[np.float32], nearest: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each row adds, rounded to float32."""
    more = np.maximum(columns - nearest, 0).sum(axis=1, dtype=np.float64)
    return more.astype(np.float32).astype(np.float64)


def _mean_and_digest(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    """The mean of all rows, and a hash of them."""
    total, digest = np.zeros(vectors.shape[1]), hashlib.sha256()
    for start in range(0, len(vectors), 8192):
        block = np.ascontiguousarray(vectors[start : start + 8192])
        total += block.sum(axis=0, dtype=np.float64)
        digest.update(block.tobytes())
    return total / len(vectors), digest.hexdigest()


def _load(path: Path, identity: str) -> tuple[list[int], NDArray[np.float64]] | None:
    """The picks and bounds of a search that was stopped; None if there is none of this identity."""
    if not path.exists():
        return None
    try:
        with np.load(path) as saved:
            if str(saved["identity"]) != identity:
                logger.info("%s belongs to other work; starting again", path)
                return None
            return saved["picked"].tolist(), saved["bounds"]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise PlatformError(f"{path} is not a checkpoint of a search ({error}); delete it to start again") from error


def _save(path: Path, search: _Search) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        picked = np.array(search.picked, np.int64)
        np.savez(file, identity=np.array(search.identity), picked=picked, bounds=search.bounds)
