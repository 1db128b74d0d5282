"""Exact greedy k-center (farthest-first, Gonzalez 1985): rows that cover a pool, without a pass over it per pick.

Greedy k-center repeatedly picks the row that is farthest (Euclidean) from its nearest selected row; ties go to the
lowest row. A new pick can only shorten this distance, so an outdated distance is still an upper bound, and a row must
be checked again only when its bound is among the largest:

1. One pass over the pool, in float32, bounds every row's distance to the initially selected rows.
2. The front is the rows with the largest bounds. Matrix products update them with the selected rows that they have not
   seen yet, until each distance is exact or falls below the largest bound outside the front.
3. Picks are taken from the front as long as its farthest row beats every bound outside. Then a new front is formed.

After a row has come near a selected row, it is usually never in a front again. After the first pass, no row is compared
with a selected row twice, except at the edges of blocks, so the worst case is the work of the plain algorithm, with
matrix products instead of matrix-vector products.

Exactness: the squared distances that decide are |x|^2 + |s|^2 - 2 x.s in float64, of rows shifted towards their mean
(practically without rounding in float64). Values within float64's error of 0 count as 0: there is no NaN, and copies
are at distance 0. Distances are compared after rounding to float32, so rows whose squared distances agree to about 7
digits may tie. The bounds of step 1 include the largest possible rounding error, so they never decide. The picks are
those of plain greedy search on these numbers. Device, threads, and the sizes of fronts and blocks change only the last
digits of float64, which rounding to float32 hides, except for a rare number between two float32s. With small integers
nothing rounds at all.

Memory: the embeddings, 8 bytes per row, a copy of the initially selected rows, and blocks: up to 100 MiB on a CPU and 2
GiB on a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from selection_platform.errors import PlatformError
from selection_platform.job.progress import progress
from selection_platform.methods.diverse_evol.k_center_search import Pool, Search, slices

FIRST_FRONT = 2048
_ROWS_PER_BLOCK = 8192


class Cover(NamedTuple):
    """The result of a greedy search.

    Attributes:
        rows: int64, picked rows in the order of picking.
        distances: float64, each pick's distance to the nearest selected row when it was picked; they never rise.
        radius: largest distance of a row to its nearest selected or picked row; a low radius is a good cover.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]
    radius: float


def k_center(
    embeddings: NDArray[np.float32],
    selected: NDArray[np.integer],
    count: int,
    *,
    device: str | None = None,
    first_front: int = FIRST_FRONT,
) -> NDArray[np.int64]:
    """The rows that greedy k-center picks, in order; arguments and errors are those of `farthest_first`."""
    return farthest_first(embeddings, selected, count, device=device, first_front=first_front).rows


def k_center_of_pool(embeddings: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Greedy k-center where nothing is selected yet: first the row nearest to the mean, of equal ones the first.

    It computes on the CPU: it is part of a step, and only jobs hold a GPU. A million rows take seconds to minutes.

    Args:
        embeddings: rows x dim, float32; may be mapped from a file.
        count: rows to pick, at most.

    Raises:
        PlatformError: as `farthest_first` says.
    """
    mean = np.asarray(embeddings.mean(axis=0, dtype=np.float64))
    squared = np.empty(len(embeddings))
    for start in range(0, len(embeddings), _ROWS_PER_BLOCK):
        part = slice(start, start + _ROWS_PER_BLOCK)
        squared[part] = ((embeddings[part] - mean) ** 2).sum(axis=1)
    first = np.array([int(squared.astype(np.float32).argmin())])
    rest = k_center(embeddings, first, min(count, len(embeddings)) - 1, device="cpu")
    return np.concatenate([first, rest])


def farthest_first(
    embeddings: NDArray[np.float32],
    selected: NDArray[np.integer],
    count: int,
    *,
    device: str | None = None,
    first_front: int = FIRST_FRONT,
) -> Cover:
    """Pick `count` rows by greedy k-center, each the farthest from all selected and picked rows.

    Args:
        embeddings: rows x dim, float32; may be mapped from a file. A GPU holds all of them.
        selected: rows that are already selected, at least one, all different; they are not picked.
        count: rows to pick, at most the number of rows that are not selected; 0 only measures the radius.
        device: where to compute; None means the GPU if there is one, else the CPU.
        first_front: rows in the first front; it changes only speed, and adapts.

    Raises:
        PlatformError: a value is NaN, infinite or above 1e15 (the message names its row); `selected` is empty, has
            repeats or rows outside the pool; fewer than `count` rows are left.
    """
    _check(embeddings, selected, count)
    with torch.inference_mode(), _full_float32(), progress("k-center: picking", count, "samples") as counter:
        search = Search(Pool(embeddings, device), selected, first_front)
        for picked in search.pick(count):
            counter.advance(picked)
        # The next pick's distance is the radius.
        sum(search.pick(min(1, len(embeddings) - len(selected) - count)))
    distances = np.sqrt(np.array(search.squared, dtype=np.float64))
    radius = float(distances[count]) if len(distances) > count else 0.0
    return Cover(np.array(search.picks[:count], dtype=np.int64), distances[:count], radius)


def farthest_at_once(
    embeddings: NDArray[np.float32], selected: NDArray[np.integer], count: int, *, device: str | None = None
) -> NDArray[np.int64]:
    """The `count` rows farthest from `selected`, all at once, as in arXiv 2410.09335's scripts for DiverseEvol.

    This is a quirk to compare with, and not a good way to cover a pool: picks do not see each other, so one remote
    cluster can take all of them. As in the scripts, distances are sqrt(|x|^2 + |s|^2 - 2 x.s) in float32, of unshifted
    rows, and not clamped. For near copies of selected rows, the sum can round below 0. The root is then NaN, which
    their minimum passes on and their ranking treats as the largest. Which near copies this affects depends on the
    machine's rounding.

    Arguments and errors are those of `farthest_first`.

    Returns:
        int64, rows that were not selected: NaN first, then farthest first; ties by lowest row.
    """
    _check(embeddings, selected, count)
    with torch.inference_mode(), _full_float32():
        pool = Pool(embeddings, device)
        centres = pool.rows[pool.index(selected)]
        centre_norms = centres.square().sum(dim=1)
        distance = torch.full((len(pool.rows),), torch.inf, device=pool.device)
        for rows in slices(len(pool.rows), pool.block):
            block = pool.rows[rows]
            norms = block.square().sum(dim=1, keepdim=True)
            for part in slices(len(centres), pool.block):
                squared = norms + centre_norms[part] - 2 * (block @ centres[part].T)
                # Both minima pass NaN on.
                distance[rows] = torch.minimum(distance[rows], squared.sqrt().amin(dim=1))
        return _largest_first(distance.cpu().numpy(), selected)[:count]


def _largest_first(distance: NDArray[np.float32], left_out: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rows by falling distance, with NaN first and ties by lowest row, without those in `left_out`."""
    order = np.argsort(-np.where(np.isnan(distance), np.inf, distance), kind="stable")
    return order[~np.isin(order, left_out)].astype(np.int64)


def _check(embeddings: NDArray[np.float32], selected: NDArray[np.integer], count: int) -> None:
    """Raise PlatformError for invalid arguments; `Pool` checks the values."""
    if embeddings.ndim != 2 or embeddings.dtype != np.float32:
        raise PlatformError(f"embeddings must be rows x dim in float32, not {embeddings.ndim}-d {embeddings.dtype}")
    rows, known = len(embeddings), len(selected)
    if known == 0:
        raise PlatformError("no row is selected, so no distance is defined; select at least one row first, at random")
    if len(np.unique(selected)) != known or min(selected) < 0 or max(selected) >= rows:
        raise PlatformError(f"selected must be different rows from 0 to {rows - 1:,}; remove repeats and other rows")
    if not 0 <= count <= rows - known:
        raise PlatformError(f"cannot pick {count:,} of the {rows - known:,} rows that are not selected; pick fewer")


@contextmanager
def _full_float32() -> Iterator[None]:
    """Compute float32 products in float32: the bounds allow for its rounding, not for TF32's."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
