"""Picking in turns: each target takes its best sample that no target has taken yet (arXiv 2503.01807)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selection_platform.methods.positions import write_positions


def best_rows(values: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The rows with the highest values, the highest first; among equal values the first row.

    Args:
        values: one finite number for each row.
        count: how many rows, at most.
    """
    count = min(count, len(values))
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    border = np.partition(values, len(values) - count)[len(values) - count]
    above, equal = np.flatnonzero(values > border), np.flatnonzero(values == border)
    rows = np.concatenate([above, equal[: count - len(above)]])
    return rows[np.lexsort((rows, -values[rows]))]


def in_turns(ranked: Sequence[NDArray[np.int64]], count: int, *, whole: bool = True) -> NDArray[np.int64] | None:
    """Rows in the order of picking: the first target's best, the second target's best of the rest, and so on.

    Args:
        ranked: for each target its best rows, the best first.
        count: how many rows to pick, at most.
        whole: whether each target has `count` rows, or all there are.

    Returns:
        The rows. None if a target runs out of rows, and its rows are not whole.
    """
    picked: dict[int, None] = {}
    # Not as lists: of a thousand targets with ten thousand rows each, few are looked at.
    waiting = [map(int, rows) for rows in ranked]
    while waiting and len(picked) < count:
        left = []
        for rows in waiting:
            row = next((row for row in rows if row not in picked), None)
            if row is None:
                if not whole:
                    return None
                continue
            picked[row] = None
            left.append(rows)
            if len(picked) == count:
                break
        waiting = left
    return np.array(list(picked), dtype=np.int64)


def write_picks(by_target: Sequence[tuple[list[str], NDArray[np.floating]]], count: int, into: Path) -> None:
    """Pick in turns, and write `sample_id` and `position` (from 1) in the order of picking.

    Args:
        by_target: for each target, sample ids in order and a finite number for each. Ties go to the lower id.
        count: how many samples to pick, at most.
        into: Parquet file.
    """
    names = sorted({name for ids, _ in by_target for name in ids})
    place = {name: row for row, name in enumerate(names)}
    ranked = []
    for ids, values in by_target:
        rows = np.array([place[name] for name in ids], dtype=np.int64)
        ranked.append(rows[best_rows(values, count)])
    picked = in_turns(ranked, count)
    assert picked is not None
    write_positions([names[row] for row in picked], into)
