"""PCA whitening: vectors turned and scaled so that every direction of the pool varies equally.

Hidden states vary mostly in a few directions that all texts share, which makes cosines alike. After whitening, these
directions weigh as much as others (CRDS-W, arXiv 2602.13773).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selection_platform.errors import PlatformError

DIMENSIONS = 512
"""Directions that are kept, those of most variance, as published."""
MOST_ROWS = 500_000
"""Rows that the directions are computed from, as published: the first, which is a random part as ids are hashes."""
ROWS_PER_BLOCK = 8192
LEAST_VARIANCE = 1e-10
"""Of a direction, relative to the largest. Below is rounding of float32."""


@dataclass(frozen=True)
class Whitening:
    """A linear map of vectors.

    Attributes:
        mean: float64, dimensions of the vectors.
        directions: float64, dimensions of the vectors x those that are kept, each divided by its standard deviation.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The whitened vectors."""
        return ((vectors - self.mean) @ self.directions).astype(np.float32)


def fit_whitening(vectors: NDArray[np.float32], dimensions: int = DIMENSIONS) -> Whitening:
    """The whitening of a pool's vectors.

    Args:
        vectors: rows x dimensions, in the order of sample ids; may be mapped from a file.
        dimensions: how many directions to keep, at most.

    Raises:
        PlatformError: all vectors are equal.
    """
    rows = vectors[:MOST_ROWS]
    # Around a vector near the mean, squares lose no digits.
    near = np.asarray(rows[:ROWS_PER_BLOCK], dtype=np.float64).mean(axis=0)
    total, squares = np.zeros_like(near), np.zeros((len(near), len(near)))
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        block = rows[start : start + ROWS_PER_BLOCK] - near
        total += block.sum(axis=0)
        squares += block.T @ block
    shift = total / len(rows)
    variance, directions = np.linalg.eigh(squares / len(rows) - np.outer(shift, shift))
    order = np.argsort(-variance, kind="stable")[:dimensions]
    order = order[variance[order] > LEAST_VARIANCE * max(variance[-1], 0)]
    if not len(order) or variance[-1] <= 0:
        raise PlatformError("rds_plus.whitened: all samples have the same hidden states; leave the arm out")
    return Whitening(near + shift, directions[:, order] / np.sqrt(variance[order]))
