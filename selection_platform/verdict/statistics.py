"""Whether an arm differs from random selection by more than random runs differ from each other.

A run's value varies with its seed, which decides the draw and the training. Random runs show how much. So one run of an
arm is compared with the interval of one new random run (Student's t prediction interval), several runs are compared by
the difference of means (the wider of Welch's and Student's interval), and the base model, which has no seed, is
compared with the mean of the random runs. Differences above 0 are better than random, on every measure.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize, stats

from selection_platform.errors import PlatformError
from selection_platform.text.numbers import is_rounding

Word = Literal["better", "worse", "same", "not enough seeds"]
CONFIDENCE = 0.95
POWER = 0.8
MOST_SEEDS = 1000


class Spread(NamedTuple):
    """How much one run varies.

    Attributes:
        deviation: standard deviation, in the measure's unit.
        freedom: its degrees of freedom.
    """

    deviation: float
    freedom: int


@dataclass(frozen=True)
class Comparison:
    """An arm's runs compared with random runs, on one measure in one cell.

    Attributes:
        arm_runs: number of runs of the arm.
        random_runs: number of random runs.
        difference: mean of the arm's runs minus the mean of the random runs; above 0 is better.
        low: lower end of the 95% interval of the difference; None if `spread` is None.
        high: upper end.
        visible: half the interval, of the last look alone if there are looks. In a single comparison, a true difference
            of this size is seen half the time.
        p_value: two-sided p-value of no difference.
        p_adjusted: p-value adjusted by Holm for all comparisons of the family.
        equivalent_within: the smallest margin within which the two are equivalent, in a single comparison (two
            one-sided tests).
        spread: standard deviation of one run; see `spread_of`.
        standard_error: standard error of the difference.
        freedom: its degrees of freedom.
        spread_assumed: whether the arm has one run, which is assumed to vary as random runs do. This cannot be checked.
        compared: number of comparisons of the family that have a p-value, including this one, or will have one.
        detectable: the true difference that is seen four times in five at Holm's first step, which multiplies p-values
            by `compared`.
        p_same: p-value of a true difference of the margin or more (two one-sided tests).
        p_same_adjusted: the same, adjusted by Holm for all comparisons of the family.
        look: how often it was looked at while seeds were added; None if none are added. Interval and p-values are then
            those that hold however often one looks; see `sequential.compare_by_looks`.
        looks: how often it may be looked at.
        share: the share of the error rate that this look may spend.
    """

    arm_runs: int
    random_runs: int
    difference: float
    low: float | None = None
    high: float | None = None
    visible: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    equivalent_within: float | None = None
    spread: float | None = None
    standard_error: float | None = None
    freedom: float | None = None
    spread_assumed: bool = False
    compared: int | None = None
    detectable: float | None = None
    p_same: float | None = None
    p_same_adjusted: float | None = None
    look: int | None = None
    looks: int | None = None
    share: float | None = None

    @property
    def word(self) -> Word:
        """The verdict, for a comparison from `adjust`. A significant difference of any size is better or worse."""
        if self.p_adjusted is None or self.p_same_adjusted is None:
            return "not enough seeds"
        if self.p_adjusted < 1 - CONFIDENCE:
            return "better" if self.difference > 0 else "worse"
        return "same" if self.p_same_adjusted < 1 - CONFIDENCE else "not enough seeds"


def compare(
    arm: Sequence[float],
    random: Sequence[float],
    *,
    higher_is_better: bool = True,
    arm_varies: bool = True,
    spread: Spread | None = None,
) -> Comparison:
    """Compare an arm's runs with random runs. `adjust` then gives the verdict.

    There is no interval if there are fewer than two random runs, or if they are equal except for rounding, as on a
    benchmark with few items: it is then not known how much a run varies. The arm's own runs may be equal, because
    random runs still show how much a mean varies.

    Args:
        arm: value of each of the arm's runs, at least one.
        random: value of each random run, at least one.
        higher_is_better: whether larger values are better.
        arm_varies: whether runs of the arm vary; the base model does not.
        spread: spread of one run of either, if it is not computed from these runs alone.

    Raises:
        PlatformError: one side has no runs, or a value is NaN or infinite.
    """
    if not arm or not random:
        raise PlatformError("both sides need at least one run")
    if not all(math.isfinite(value) for value in (*arm, *random)):
        raise PlatformError("a run's value is NaN or infinite; evaluate it again")
    sign = 1 if higher_is_better else -1
    difference = sign * float(np.mean(arm) - np.mean(random))
    comparison = Comparison(len(arm), len(random), difference, spread_assumed=arm_varies and len(arm) == 1)
    if spread is None:
        own = spread_of(random)
        if own is None:
            return comparison
        error, freedom = _own_error(arm, random, own, arm_varies)
        deviation = own
    else:
        deviation, freedom = spread
        error = deviation * math.sqrt(arm_varies / len(arm) + 1 / len(random))
    half, half_of_90 = (error * float(stats.t.ppf(place, freedom)) for place in (0.975, 0.95))
    p_value = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return replace(
        comparison,
        low=difference - half,
        high=difference + half,
        visible=half,
        p_value=p_value,
        # The interval of two one-sided tests at 5% is the 90% interval.
        equivalent_within=abs(difference) + half_of_90,
        spread=deviation,
        standard_error=error,
        freedom=float(freedom),
    )


def _own_error(arm: Sequence[float], random: Sequence[float], spread: float, arm_varies: bool) -> tuple[float, float]:
    """Standard error of the difference and its degrees of freedom, from the compared runs alone."""
    of_random, n = spread**2 / len(random), len(random)
    if len(arm) == 1:
        # A single run has no variance of its own, so it is assumed to vary as random runs do.
        return math.sqrt(of_random + arm_varies * spread**2), n - 1
    of_arm, m = float(np.var(arm, ddof=1)) / len(arm), len(arm)
    freedom = (of_arm + of_random) ** 2 / (of_arm**2 / (m - 1) + of_random**2 / (n - 1))
    welch = math.sqrt(of_arm + of_random), freedom
    pooled = (of_arm * m * (m - 1) + of_random * n * (n - 1)) / (m + n - 2)
    student = math.sqrt(pooled * (1 / m + 1 / n)), m + n - 2
    # Welch's is too narrow if one side has two or three runs and the other more, Student's if the variances differ.
    return max(welch, student, key=lambda interval: interval[0] * stats.t.isf(0.025, interval[1]))


def spread_of(random: Sequence[float]) -> float | None:
    """The standard deviation of one run; None with fewer than two random runs, or if all are equal but for rounding.

    Args:
        random: value of each random run, at least one.
    """
    spread = float(np.std(random, ddof=1)) if len(random) > 1 else 0.0
    return None if is_rounding(spread, random) else spread


def pooled_spread(groups: Sequence[Sequence[float]]) -> tuple[Spread, float] | None:
    """One spread for several groups of runs, and a test of whether they have the same spread.

    Args:
        groups: groups of runs, each of one arm in one cell. Groups with fewer than three runs, or with equal runs, are
            left out, because the test cannot use them.

    Returns:
        The spread, and the p-value of equal spreads (Brown and Forsythe's test); None with fewer than two such groups.
    """
    used = [group for group in groups if len(group) > 2 and spread_of(group) is not None]
    if len(used) < 2:
        return None
    freedom = sum(len(group) - 1 for group in used)
    variance = sum((len(group) - 1) * float(np.var(group, ddof=1)) for group in used) / freedom
    return Spread(math.sqrt(variance), freedom), float(stats.levene(*used, center="median").pvalue)


def interval_of_one_run(spread: float | None, random_runs: int) -> float | None:
    """Half of the interval around the mean of the random runs that would have 95% of new random runs.

    Args:
        spread: standard deviation of the random runs; None if it is not known.
        random_runs: number of random runs.
    """
    if spread is None:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, random_runs - 1)) * spread * math.sqrt(1 + 1 / random_runs)


def interval_between_runs(spread: float | None, random_runs: int) -> float | None:
    """The difference that 95% of pairs of random runs stay below. Single runs of two arms cannot show a smaller one.

    Args:
        spread: standard deviation of the random runs; None if it is not known.
        random_runs: number of random runs.
    """
    if spread is None:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, random_runs - 1)) * spread * math.sqrt(2)


def adjust(comparisons: Sequence[Comparison], margin: float) -> list[Comparison]:
    """The comparisons of a family, with adjusted p-values.

    P-values of no difference, and separately those of a difference that matters, are adjusted by Holm. So there is a
    chance of 5% that any verdict of better or worse is wrong, and 5% that any verdict of the same is wrong. Comparisons
    without a p-value do not count, unless seeds are added to them: they will have one.

    Args:
        comparisons: the comparisons of the family.
        margin: the difference that is too small to matter, in the measure's unit.
    """
    waiting = sum(each.looks is not None and each.p_value is None for each in comparisons)
    compared = sum(comparison.p_value is not None for comparison in comparisons) + waiting
    of_difference = holm([comparison.p_value for comparison in comparisons], waiting)
    of_margin = [each.p_same if each.looks else p_same(each, margin) for each in comparisons]
    return [
        replace(
            comparison,
            compared=compared,
            p_adjusted=p_adjusted,
            p_same=of_margin_alone,
            p_same_adjusted=p_same_adjusted,
            detectable=detectable(comparison, compared / (comparison.share or 1)),
        )
        for comparison, p_adjusted, of_margin_alone, p_same_adjusted in zip(
            comparisons, of_difference, of_margin, holm(of_margin, waiting), strict=True
        )
    ]


def holm(p_values: Sequence[float | None], waiting: int = 0) -> list[float | None]:
    """P-values adjusted by Holm. None stays None and does not count.

    Args:
        p_values: of the comparisons.
        waiting: how many of those without a p-value count, as if it were 1.
    """
    known = sorted((p_value, index) for index, p_value in enumerate(p_values) if p_value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for place, (p_value, index) in enumerate(known):
        highest = max(highest, min(1.0, p_value * (len(known) + waiting - place)))
        adjusted[index] = highest
    return adjusted


def p_same(comparison: Comparison, margin: float) -> float | None:
    """The p-value of a true difference of the margin or more (two one-sided tests); None without a spread."""
    if comparison.standard_error is None or comparison.freedom is None:
        return None
    return float(stats.t.sf((margin - abs(comparison.difference)) / comparison.standard_error, comparison.freedom))


def detectable(comparison: Comparison, compared: float = 1) -> float | None:
    """The true difference that would be seen four times in five, in the measure's unit; None without a spread.

    Args:
        comparison: its runs and spread are used, but not its difference.
        compared: number of comparisons that are adjusted together. Holm's first step multiplies p-values by it. A look
            that may spend a share of the error rate multiplies them by one over the share, too.
    """
    if comparison.standard_error is None or comparison.freedom is None:
        return None
    return comparison.standard_error * _shift_to_see(comparison.freedom, compared)


@lru_cache(maxsize=4096)
def _shift_to_see(freedom: float, compared: float) -> float:
    """The true difference, in standard errors, that is seen four times in five."""
    highest = 4.0
    while _power(highest, freedom, compared) < POWER:
        highest *= 2
    return optimize.brentq(lambda shift: _power(shift, freedom, compared) - POWER, 0, highest)


def seeds_to_see(difference: float, spread: float, compared: float = 1) -> int | None:
    """The number of seeds of each arm to see a difference four times in five, at 5%, two-sided.

    Args:
        difference: the difference to see, above 0.
        spread: standard deviation of one run, above 0, in the same unit.
        compared: number of comparisons that are adjusted together. Holm's first step multiplies p-values by it. A look
            that may spend a share of the error rate multiplies them by one over the share, too.

    Returns:
        The number, at least 2; None if more than 1,000 are needed.
    """
    # The power grows with the number of seeds, so bisection finds the first that is enough.
    numbers = range(2, MOST_SEEDS + 1)

    def power(seeds: int) -> float:
        return _power(difference / spread * math.sqrt(seeds / 2), 2 * seeds - 2, compared)

    place = bisect_left(numbers, POWER, key=power)
    return numbers[place] if place < len(numbers) else None


def _power(shift: float, freedom: float, compared: float) -> float:
    """The power to see a difference of `shift` standard errors, with its sign."""
    return float(stats.nct.sf(stats.t.isf((1 - CONFIDENCE) / 2 / compared, freedom), freedom, shift))
