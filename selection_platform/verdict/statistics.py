"""Whether an arm differs from random selection by more than random runs differ from each other.

A run's value varies with its seed: of the draw and of the training. Random arms show by how much. One new run of an arm
is therefore compared with the interval in which one new random run would lie (Student's t prediction interval), several
runs by the difference of means (the wider of Welch's and Student's interval), and the base model, which has no seed,
with the mean of the random runs.
Differences are as a user wants them: above 0 is better than random.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import optimize, stats

from selection_platform.errors import PlatformError
from selection_platform.text.numbers import is_rounding

Word = Literal["better", "worse", "same", "not enough seeds"]
CONFIDENCE = 0.95
POWER = 0.8
MOST_SEEDS = 1000


class Spread(NamedTuple):
    """How far one run varies.

    Attributes:
        deviation: standard deviation, in the measure's unit.
        freedom: degrees of freedom that it is known with.
    """

    deviation: float
    freedom: int


@dataclass(frozen=True)
class Comparison:
    """An arm's runs beside the random ones, on one measure of one model and pool.

    Attributes:
        arm_runs: runs of the arm.
        random_runs: runs of random selection.
        difference: mean of the arm's runs minus that of the random ones; above 0 is better.
        low: lower end of the 95% interval of the difference; None where `spread` is.
        high: upper end.
        visible: half the interval. A true difference of this size is told from 0 about half the time, by itself.
        p_value: two-sided, of no difference.
        p_adjusted: by Holm, for all comparisons of the family.
        equivalent_within: the smallest margin within which the two are equivalent, by itself (two one-sided tests).
        spread: standard deviation of one run; see `spread_of`.
        standard_error: of the difference.
        freedom: its degrees of freedom.
        spread_assumed: whether the arm has one run, which is taken to vary as random runs do; nothing can show that.
        compared: comparisons of the family that have a p-value, this one among them.
        detectable: the true difference that is seen four times in five at Holm's first step, where p-values count
            `compared` times.
        p_same: of a true difference of the margin or more (two one-sided tests).
        p_same_adjusted: by Holm, for all comparisons of the family.
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

    @property
    def word(self) -> Word:
        """The verdict, of a comparison that `adjust` has seen. A difference that is seen is one, however small."""
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
    """Compare an arm's runs with random ones; `adjust` makes a verdict of it.

    With fewer than two random runs there is no interval, and none where they are all equal but for rounding, as on a
    benchmark of a few items: how far a run can vary is then not known. The arm's own runs may be equal, since random
    ones still say how far a mean can be off.

    Args:
        arm: value of each of its runs, at least one.
        random: value of each random run, at least one.
        higher_is_better: whether larger values are better.
        arm_varies: whether other runs of the arm would come out otherwise; the base model is one and has none.
        spread: of one run of either, where it is not taken from these runs alone.

    Raises:
        PlatformError: there is no run, or a value is NaN or infinite.
    """
    if not arm or not random:
        raise PlatformError("both sides need at least one run")
    if not all(math.isfinite(value) for value in (*arm, *random)):
        raise PlatformError("a run's value is NaN or infinite; evaluate it again")
    sign = 1 if higher_is_better else -1
    difference = sign * float(np.mean(arm) - np.mean(random))
    found = Comparison(len(arm), len(random), difference, spread_assumed=arm_varies and len(arm) == 1)
    if spread is None:
        own = spread_of(random)
        if own is None:
            return found
        error, freedom = _own_error(arm, random, own, arm_varies)
        deviation = own
    else:
        deviation, freedom = spread
        error = deviation * math.sqrt(arm_varies / len(arm) + 1 / len(random))
    half, half_of_90 = (error * float(stats.t.ppf(place, freedom)) for place in (0.975, 0.95))
    p_value = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return replace(
        found,
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
    """Standard error of the difference and its degrees of freedom, from the runs that are compared alone."""
    of_random, n = spread**2 / len(random), len(random)
    if len(arm) == 1:
        # It is taken to vary as random runs do, as it has no variance of its own.
        return math.sqrt(of_random + arm_varies * spread**2), n - 1
    of_arm, m = float(np.var(arm, ddof=1)) / len(arm), len(arm)
    freedom = (of_arm + of_random) ** 2 / (of_arm**2 / (m - 1) + of_random**2 / (n - 1))
    welch = math.sqrt(of_arm + of_random), freedom
    pooled = (of_arm * m * (m - 1) + of_random * n * (n - 1)) / (m + n - 2)
    student = math.sqrt(pooled * (1 / m + 1 / n)), m + n - 2
    # Welch's is too narrow where a side has two or three runs and the other more, Student's where sides vary otherwise.
    return max(welch, student, key=lambda each: each[0] * stats.t.isf(0.025, each[1]))


def spread_of(random: Sequence[float]) -> float | None:
    """The standard deviation of one run; None where random runs are fewer than two, or equal but for rounding.

    Args:
        random: value of each random run, at least one.
    """
    spread = float(np.std(random, ddof=1)) if len(random) > 1 else 0.0
    return None if is_rounding(spread, random) else spread


def pooled_spread(groups: Sequence[Sequence[float]]) -> tuple[Spread, float] | None:
    """One spread for several groups of runs, and whether it may be one.

    Args:
        groups: runs of one arm in one cell each. Those of fewer than three runs, or of equal ones, are left out: the
            test says nothing of them.

    Returns:
        The spread, and the p-value of equal spreads (Brown and Forsythe's test); None where fewer than two are left.
    """
    used = [group for group in groups if len(group) > 2 and spread_of(group) is not None]
    if len(used) < 2:
        return None
    freedom = sum(len(group) - 1 for group in used)
    variance = sum((len(group) - 1) * float(np.var(group, ddof=1)) for group in used) / freedom
    return Spread(math.sqrt(variance), freedom), float(stats.levene(*used, center="median").pvalue)


def interval_of_one_run(spread: float | None, random_runs: int) -> float | None:
    """Half the interval around the mean of the random runs in which 95% of new ones would lie.

    Args:
        spread: standard deviation of the random runs; None where it is not known.
        random_runs: their number.
    """
    if spread is None:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, random_runs - 1)) * spread * math.sqrt(1 + 1 / random_runs)


def interval_between_runs(spread: float | None, random_runs: int) -> float | None:
    """The difference that 95% of pairs of random runs stay below: one run each of two arms cannot show a smaller one.

    Args:
        spread: standard deviation of the random runs; None where it is not known.
        random_runs: their number.
    """
    if spread is None:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, random_runs - 1)) * spread * math.sqrt(2)


def adjust(comparisons: Sequence[Comparison], margin: float) -> list[Comparison]:
    """The comparisons of a family, looked at together.

    P-values of no difference are adjusted by Holm, and so, apart from them, are those of a difference that matters: of
    all that is called better or worse, and of all that is called the same, the chance that any of it is wrong is 5%.
    Comparisons without a p-value do not count.

    Args:
        comparisons: of the family.
        margin: the difference that is too small to matter, in the measure's unit.
    """
    compared = sum(each.p_value is not None for each in comparisons)
    of_difference = holm([each.p_value for each in comparisons])
    of_margin = [_p_same(each, margin) for each in comparisons]
    return [
        replace(
            each,
            compared=compared,
            p_adjusted=p_adjusted,
            p_same=p_same,
            p_same_adjusted=p_same_adjusted,
            detectable=detectable(each, compared),
        )
        for each, p_adjusted, p_same, p_same_adjusted in zip(
            comparisons, of_difference, of_margin, holm(of_margin), strict=True
        )
    ]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted by Holm for all of them; None stays and does not count."""
    known = sorted((p_value, index) for index, p_value in enumerate(p_values) if p_value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for place, (p_value, index) in enumerate(known):
        highest = max(highest, min(1.0, p_value * (len(known) - place)))
        adjusted[index] = highest
    return adjusted


def _p_same(each: Comparison, margin: float) -> float | None:
    if each.standard_error is None or each.freedom is None:
        return None
    return float(stats.t.sf((margin - abs(each.difference)) / each.standard_error, each.freedom))


def detectable(each: Comparison, compared: int = 1) -> float | None:
    """The true difference that would be seen four times in five, in the measure's unit.

    Args:
        each: its runs and spread count, not its difference; None comes back where the spread is not known.
        compared: how many comparisons are looked at together; at Holm's first step each p-value counts so many times.
    """
    if each.standard_error is None or each.freedom is None:
        return None
    return each.standard_error * _shift_to_see(each.freedom, compared)


@lru_cache(maxsize=4096)
def _shift_to_see(freedom: float, compared: int) -> float:
    """The true difference, in standard errors, that is seen four times in five."""
    highest = 4.0
    while _power(highest, freedom, compared) < POWER:
        highest *= 2
    found: Any = optimize.brentq(lambda shift: _power(shift, freedom, compared) - POWER, 0, highest)
    return float(found)


def seeds_to_see(difference: float, spread: float, compared: int = 1) -> int | None:
    """Seeds of each arm with which a difference would be seen four times in five, at 5%, two-sided.

    Args:
        difference: that should be seen, above 0.
        spread: standard deviation of one run, above 0, in the same unit.
        compared: how many comparisons are looked at together; at Holm's first step each p-value counts so many times.

    Returns:
        The number, at least 2; None where more than 1,000 are needed.
    """
    # More seeds never see less, so halving finds the first that is enough.
    numbers = range(2, MOST_SEEDS + 1)

    def power(seeds: int) -> float:
        return _power(difference / spread * math.sqrt(seeds / 2), 2 * seeds - 2, compared)

    place = bisect_left(numbers, POWER, key=power)
    return numbers[place] if place < len(numbers) else None


def _power(shift: float, freedom: float, compared: int) -> float:
    """The chance to see a difference of `shift` standard errors, with its sign."""
    return float(stats.nct.sf(stats.t.isf((1 - CONFIDENCE) / 2 / compared, freedom), freedom, shift))
