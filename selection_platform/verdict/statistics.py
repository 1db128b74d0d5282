"""Whether an arm differs from random selection by more than random runs differ from each other.

A run's value varies with its seed: of the draw and of the training. Random arms show by how much. One new run of an arm
is therefore compared with the interval in which one new random run would lie (Student's t prediction interval), several
runs by the difference of means (Welch). Differences are as a user wants them: above 0 is better than random.
"""

import math
import warnings
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from selection_platform.errors import PlatformError
from selection_platform.text.numbers import is_rounding

Word = Literal["better", "worse", "same", "not enough seeds"]
CONFIDENCE = 0.95
POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Comparison:
    """An arm's runs beside the random ones, on one measure of one model and pool.

    Attributes:
        arm_runs: runs of the arm.
        random_runs: runs of random selection.
        difference: mean of the arm's runs minus that of the random ones; above 0 is better.
        low: lower end of the 95% interval of the difference; None where `spread` is.
        high: upper end.
        visible: the smallest difference that could have been told from 0: half the interval.
        p_value: two-sided, of no difference.
        p_adjusted: by Holm, for all comparisons that are looked at together.
        equivalent_within: the smallest margin within which the two are equivalent (two one-sided tests at 5%).
        spread: standard deviation of one run, by the random ones; see `spread_of`.
    """

    arm_runs: int
    random_runs: int
    difference: float
    low: float | None
    high: float | None
    visible: float | None
    p_value: float | None
    p_adjusted: float | None
    equivalent_within: float | None
    spread: float | None

    def word(self, margin: float) -> Word:
        """The verdict.

        Args:
            margin: the difference that is too small to matter, in the measure's unit.
        """
        if self.p_adjusted is None or self.equivalent_within is None:
            return "not enough seeds"
        if self.p_adjusted < 1 - CONFIDENCE:
            return "better" if self.difference > 0 else "worse"
        return "same" if self.equivalent_within <= margin else "not enough seeds"


def compare(arm: Sequence[float], random: Sequence[float], *, higher_is_better: bool = True) -> Comparison:
    """Compare an arm's runs with random ones; `p_adjusted` is the p-value until `adjust` has seen all comparisons.

    One run of the arm is taken to vary as random runs do. With fewer than two random runs there is no interval, and
    none where they are all equal but for rounding, as on a benchmark of a few items: how far a run can vary is then not
    known. The arm's own runs may be equal, since random ones still say how far a mean can be off.

    Args:
        arm: value of each of its runs, at least one.
        random: value of each random run, at least one.
        higher_is_better: whether larger values are better.

    Raises:
        PlatformError: there is no run, or a value is NaN or infinite.
    """
    if not arm or not random:
        raise PlatformError("both sides need at least one run")
    if not all(math.isfinite(value) for value in (*arm, *random)):
        raise PlatformError("a run's value is NaN or infinite; evaluate it again")
    ours, theirs = (np.array(values) * (1 if higher_is_better else -1) for values in (arm, random))
    difference = float(ours.mean() - theirs.mean())
    spread = spread_of(random)
    if spread is None:
        return Comparison(len(arm), len(random), difference, *[None] * 7)
    with warnings.catch_warnings():
        # SciPy warns of values that are nearly equal, as the arm's own may be.
        warnings.simplefilter("ignore", RuntimeWarning)
        # Pooled with one run, which has no variance of its own, else Welch's.
        test: Any = stats.ttest_ind(ours, theirs, equal_var=len(arm) == 1)
    low, high = test.confidence_interval(CONFIDENCE)
    # The interval of two one-sided tests at 5% is the 90% interval.
    one_sided = test.confidence_interval(2 * CONFIDENCE - 1)
    return Comparison(
        arm_runs=len(arm),
        random_runs=len(random),
        difference=difference,
        low=float(low),
        high=float(high),
        visible=float(high - low) / 2,
        p_value=float(test.pvalue),
        p_adjusted=float(test.pvalue),
        equivalent_within=float(max(abs(one_sided.low), abs(one_sided.high))),
        spread=spread,
    )


def spread_of(random: Sequence[float]) -> float | None:
    """The standard deviation of one run; None where random runs are fewer than two, or equal but for rounding.

    Args:
        random: value of each random run, at least one.
    """
    spread = float(np.std(random, ddof=1)) if len(random) > 1 else 0.0
    return None if is_rounding(spread, random) else spread


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


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with p-values adjusted by Holm for all of them; those without a p-value do not count."""
    p_values = [(each.p_value, index) for index, each in enumerate(comparisons) if each.p_value is not None]
    adjusted = list(comparisons)
    highest = 0.0
    for place, (p_value, index) in enumerate(sorted(p_values)):
        highest = max(highest, min(1.0, p_value * (len(p_values) - place)))
        adjusted[index] = replace(comparisons[index], p_adjusted=highest)
    return adjusted


def seeds_to_see(difference: float, spread: float) -> int | None:
    """Seeds of each arm with which a difference would be seen four times in five, at 5%, two-sided, of one look.

    Args:
        difference: that should be seen, above 0.
        spread: standard deviation of one run, above 0, in the same unit.

    Returns:
        The number, at least 2; None where more than 1,000 are needed.
    """
    # More seeds never see less, so halving finds the first that is enough.
    numbers = range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, POWER, key=lambda seeds: _power(difference / spread, seeds))
    return numbers[place] if place < len(numbers) else None


def _power(effect: float, seeds: int) -> float:
    """The chance to see a difference of `effect` standard deviations, with as many seeds of each of two arms."""
    freedom, shift = 2 * seeds - 2, effect * math.sqrt(seeds / 2)
    critical = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
    return float(stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift))
