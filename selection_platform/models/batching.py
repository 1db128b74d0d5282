"""How rows are put into batches by their lengths. Importable without torch."""

from collections.abc import Iterator

import numpy as np


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
