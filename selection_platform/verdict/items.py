"""How much the difference between two arms depends on the items of the benchmarks."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selection_platform.verdict.statistics import Comparison

RESAMPLES = 10_000
SEED = 0


class Items(NamedTuple):
    """Differences between two arms on the items of a benchmark.

    Attributes:
        difference: difference on each item, in percentage points.
        weight: weight of each item in the mean of its subset.
        subset: name of each item's subset. The benchmark's result is the mean of the subsets' means, each with the
            same weight. If it is the mean of all items, all items are in one subset.
    """

    difference: NDArray[np.float64]
    weight: NDArray[np.float64]
    subset: NDArray[np.str_]

    def where(self, chosen: NDArray[np.bool_]) -> "Items":
        """Some of the items."""
        return Items(self.difference[chosen], self.weight[chosen], self.subset[chosen])


class ItemInterval(NamedTuple):
    """The difference of an arm's average from random, and its interval over items, in percentage points.

    Attributes:
        difference: difference of the averages over benchmarks, as in the leaderboard.
        low: lower end of the 95% interval over items; None if some benchmark has too few items.
        high: upper end.
        error: standard error over items.
    """

    difference: float
    low: float | None
    high: float | None
    error: float | None


def item_interval(benchmarks: Mapping[str, Items]) -> ItemInterval:
    """The difference of the averages over benchmarks, and its 95% interval over items (percentile bootstrap).

    The items of each subset are resampled in pairs, one fewer than there are. So the spread of the resampled means is
    right also in small subsets (Rao and Wu, Journal of the American Statistical Association 83, 1988). Subsets of a
    single item have no spread of their own: their items are resampled from each other, which makes the interval wider
    rather than narrower. Seeds are not resampled: the interval is for the existing runs, and does not cover other runs.

    Args:
        benchmarks: the items of each benchmark; at least one benchmark with at least one item.
    """
    generator = np.random.default_rng(SEED)
    means, known = np.zeros(RESAMPLES), True
    for items in benchmarks.values():
        subsets = len(np.unique(items.subset))
        for part, share in _drawn_together(items):
            known &= len(part.difference) > 1
            if known:
                means += share / subsets * _drawn_means(part, generator)
    difference = mean_difference(benchmarks)
    if not known:
        return ItemInterval(difference, None, None, None)
    means /= len(benchmarks)
    low, high = np.quantile(means, [0.025, 0.975])
    return ItemInterval(difference, float(low), float(high), float(means.std()))


def seeds_and_items(comparison: Comparison, interval: ItemInterval) -> tuple[float, float] | None:
    """The 95% interval of the average's difference over seeds and items; None if either is not known.

    It is the sum of the variances over seeds and over items, with Satterthwaite's degrees of freedom. The variation of
    single items in single runs counts in both, so the interval is too wide rather than too narrow, as in Owen's
    pigeonhole bootstrap (Annals of Applied Statistics 1, 2007).

    Args:
        comparison: comparison of the average, for the same arm.
        interval: its interval over items.
    """
    if comparison.standard_error is None or comparison.freedom is None or interval.error is None:
        return None
    of_seeds = comparison.standard_error**2
    both = of_seeds + interval.error**2
    freedom = comparison.freedom * (both / of_seeds) ** 2
    # A look that may spend a share of the error rate has a wider interval.
    half = float(stats.t.isf(0.025 * (comparison.share or 1), freedom)) * math.sqrt(both)
    return comparison.difference - half, comparison.difference + half


def mean_difference(benchmarks: Mapping[str, Items]) -> float:
    """The difference of the averages over benchmarks, as the leaderboard has them, in percentage points.

    Args:
        benchmarks: the items of each, at least one of at least one.
    """
    return sum(_mean(items) for items in benchmarks.values()) / len(benchmarks)


def _mean(items: Items) -> float:
    """The mean of the subsets' means."""
    subsets = len(np.unique(items.subset))
    return sum(
        share / subsets * float(np.average(part.difference, weights=part.weight))
        for part, share in _drawn_together(items)
    )


def _drawn_together(items: Items) -> Iterator[tuple[Items, int]]:
    """Groups of items that are resampled together, with the number of subsets in each group."""
    _, places, counts = np.unique(items.subset, return_inverse=True, return_counts=True)
    alone = counts[places] == 1
    if alone.any():
        singles = items.where(alone)
        # A single item is its subset's mean, with any weight.
        yield singles._replace(weight=np.ones(len(singles.weight))), len(singles.weight)
    for place in np.flatnonzero(counts > 1):
        yield items.where(places == place), 1


def _drawn_means(items: Items, generator: np.random.Generator) -> NDArray[np.float64]:
    # Equal items are drawn together: the 14,000 items of MMLU have a dozen different values.
    kinds, counts = np.unique(np.stack([items.difference, items.weight]), axis=1, return_counts=True)
    differences, weights = kinds
    drawn = generator.multinomial(counts.sum() - 1, counts / counts.sum(), RESAMPLES) * weights
    return drawn @ differences / drawn.sum(axis=1)
