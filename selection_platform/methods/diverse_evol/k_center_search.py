"""The search behind `k_center`, which explains how it works.

Squared distances decide; in this module "distance" means the squared distance.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from selection_platform.errors import PlatformError

LARGEST_VALUE = 1e15  # squares of larger ones could overflow float32

_ACTIVE = 1024  # rows of a front among which picks are made
_FEWEST_PICKS = 32  # after a front with fewer picks, the next front is twice as large
_MOST_PICKS = 256  # after a front with more picks, the next front is half as large
_CPU_BLOCK, _GPU_BLOCK = 1024, 8192  # rows in one matrix product
_GONE = -1.0  # the distance of a selected row: below every other


def slices(total: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


class Pool:
    """The embeddings on a device.

    Attributes:
        device: where they are.
        block: rows in one matrix product.
        rows: float32, rows x dim, as given.
    """

    def __init__(self, embeddings: NDArray[np.float32], device: str | None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        on_cpu = self.device.type == "cpu"
        self.block = _CPU_BLOCK if on_cpu else _GPU_BLOCK
        with warnings.catch_warnings():
            # torch warns about read-only memory; nothing here writes to it.
            warnings.simplefilter("ignore", UserWarning)
            given = torch.from_numpy(embeddings)
        self.rows = given if on_cpu else torch.empty(given.shape, device=self.device)
        total = torch.zeros(given.shape[1], dtype=torch.float64, device=self.device)
        for part in slices(len(given), self.block):
            if not on_cpu:
                self.rows[part] = given[part].to(self.device)
            total += self._checked(part).sum(dim=0, dtype=torch.float64)
        # Rounded to bfloat16, so that subtracting it is exact in float64 and keeps small integers exact everywhere.
        self._shift = (total / len(given)).bfloat16().float()

    def _checked(self, part: slice) -> torch.Tensor:
        """Some rows, unchanged; PlatformError if one cannot be used."""
        block = self.rows[part]
        usable = (block.abs() <= LARGEST_VALUE).all(dim=1)
        if not usable.all():
            row = part.start + int(usable.logical_not().nonzero()[0])
            raise PlatformError(f"row {row:,} has NaN, infinity or a value above {LARGEST_VALUE:g}; leave the row out")
        return block

    def index(self, rows: NDArray[np.integer]) -> torch.Tensor:
        """Row numbers as an index on the device."""
        return torch.from_numpy(np.array(rows, dtype=np.int64)).to(self.device)

    def moved(self, rows: slice | torch.Tensor) -> torch.Tensor:
        """Some rows minus the rounded mean: float32, each value rounded once."""
        return self.rows[rows] - self._shift

    def exact(self, rows: torch.Tensor) -> torch.Tensor:
        """Some rows minus the rounded mean: float64, not rounded."""
        return self.rows[rows].double() - self._shift.double()


class _Points:
    """Rows whose distances to other rows are computed: float64, rows x dim."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self._norms = values.square().sum(dim=1)

    def nearest(self, centres: torch.Tensor, first: int) -> torch.Tensor:
        """Squared distance of each of the `first` points to the nearest of the centres, float32."""
        norms = self._norms[:first]
        # |s|^2 - 2 x.s
        partial = torch.addmm(centres.square().sum(dim=1), self.values[:first], centres.T, alpha=-2)
        nearest = partial.amin(dim=1) + norms
        # The largest error of float64 for a distance near 0, where both norms are similar.
        noise = norms * (2 * centres.shape[1] * torch.finfo(torch.float64).eps)
        return nearest.masked_fill_(nearest <= noise, 0).float()


class Search:
    """A greedy search in progress.

    Attributes:
        picks: rows picked so far, in order.
        squared: for each pick, its squared distance when it was picked.
    """

    def __init__(self, pool: Pool, selected: NDArray[np.integer], front_size: int) -> None:
        self.picks: list[int] = []
        self.squared: list[float] = []
        self._pool = pool
        self._front_size = front_size
        # Selected rows, followed by the picks in order.
        self._centres = pool.index(selected)
        # A row's squared distance to the nearest centre is at most its bound, which covers the first `seen` centres
        # exactly.
        self._bound = self._first_bounds()
        self._seen = torch.zeros(len(pool.rows), dtype=torch.int32, device=pool.device)

    def pick(self, count: int) -> Iterator[int]:
        """Pick `count` more rows, at most the number left; yields the number of picks of each front."""
        goal = len(self.picks) + count
        while (before := len(self.picks)) < goal:
            front, outside = _front(self._bound, self._front_size)
            self._update(front, outside[0])
            self._pick_from(front, outside, goal - before)
            picked = len(self.picks) - before
            if picked < _FEWEST_PICKS:
                self._front_size *= 2
            elif picked > _MOST_PICKS:
                self._front_size = max(_ACTIVE, self._front_size // 2)
            yield picked

    def _first_bounds(self) -> torch.Tensor:
        """An upper bound of every row's squared distance to the nearest selected row."""
        pool = self._pool
        # The rounding of products, sums and shifted values stays below half this share of |x|^2 + |s|^2.
        slack = 1 + 2 * (pool.rows.shape[1] + 16) * torch.finfo(torch.float32).eps
        bound = torch.empty(len(pool.rows), device=pool.device)
        centres = pool.moved(self._centres)
        centre_norms = centres.square().sum(dim=1) * slack
        for rows in slices(len(pool.rows), pool.block):
            block = pool.moved(rows)
            nearest = torch.full((len(block),), torch.inf, device=pool.device)
            for part in slices(len(centres), pool.block):
                partial = torch.addmm(centre_norms[part], block, centres[part].T, alpha=-2)
                nearest = torch.minimum(nearest, partial.amin(dim=1))
            bound[rows] = (nearest + block.square().sum(dim=1) * slack).clamp(min=0)
        bound[self._centres] = _GONE
        return bound

    def _update(self, rows: torch.Tensor, enough: float) -> None:
        """Update the bounds of some rows, each until it is exact or falls below `enough`."""
        pool, known = self._pool, len(self._centres)
        # Rows that have seen the fewest centres come first, so that the others can join later.
        order = rows[self._seen[rows].argsort(stable=True)]
        for block in order.split(pool.block):
            points = _Points(pool.exact(block))
            bound, seen = self._bound[block], self._seen[block]
            while len(block) > 0 and (start := int(seen[0])) < known:
                end = min(start + pool.block // 2, known)
                joined = int((seen < end).sum())
                nearest = points.nearest(pool.exact(self._centres[start:end]), joined)
                bound[:joined] = torch.minimum(bound[:joined], nearest)
                seen[:joined] = end
                self._bound[block], self._seen[block] = bound, seen
                left = (bound >= enough).nonzero()[:, 0]
                if len(left) < len(block):
                    block, bound, seen, points = block[left], bound[left], seen[left], _Points(points.values[left])

    def _pick_from(self, front: torch.Tensor, outside: tuple[float, int], most: int) -> None:
        """Pick at most `most` rows from an updated front, as long as no row outside comes first."""
        places, (bound, place) = _front(self._bound[front], _ACTIVE)
        if bound >= 0:
            outside = max(outside, (bound, -int(front[-place])))
        active = front[places]
        # These bounds are exact; the others fell below a bound outside.
        active = active[self._bound[active] >= outside[0]]
        if len(active) == 0:
            return
        rows, squared = active.tolist(), self._bound[active]
        points = _Points(self._pool.exact(active))
        picked: list[int] = []
        while len(picked) < most:
            best = int(squared.argmax())
            farthest = float(squared[best])
            if (farthest, -rows[best]) <= outside:
                break
            picked.append(best)
            self.squared.append(farthest)
            squared = torch.minimum(squared, points.nearest(points.values[best : best + 1], len(rows)))
            squared[best] = _GONE
        self.picks.extend(rows[best] for best in picked)
        self._bound[active] = squared
        self._centres = torch.cat([self._centres, active[picked]])
        self._seen[active] = len(self._centres)


def _front(bound: torch.Tensor, size: int) -> tuple[torch.Tensor, tuple[float, int]]:
    """The places of the `size` largest bounds, with lower places first among equals, and the first place left out.

    Returns:
        int64 places, rising; and the first place left out as (bound, -place): of two such pairs the larger comes
        first. Selected rows count as left out.
    """
    limit = float(bound.topk(size + 1).values[-1]) if size < len(bound) else _GONE
    above = (bound > limit).nonzero()[:, 0]
    if limit == _GONE:
        return above, (_GONE, 0)
    level = (bound == limit).nonzero()[:, 0]
    fill = size - len(above)
    return torch.cat([above, level[:fill]]).sort().values, (limit, -int(level[fill]))
