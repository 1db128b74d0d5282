"""Whether an arm differs from random selection by more than random runs differ from each other.

A run's value varies with its seed: of the draw and of the training. Random arms show by how much. One new run of an arm
is therefore compared with the interval in which one new random run would lie (Student's t prediction interval), several
runs by the difference of means (Welch). Differences are as a user wants them: above 0 is better than random.
"""

import gc
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower

from selection_platform.errors import PlatformError

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
        low: lower end of the 95% interval of the difference; None where the random runs are too few, or all equal.
        high: upper end.
        visible: the smallest difference that could have been told from 0: half the interval.
        p_value: two-sided, of no difference.
        p_adjusted: by Holm, for all comparisons that are looked at together.
        equivalent_within: the smallest margin within which the two are equivalent (two one-sided tests at 5%).
        spread: standard deviation of one run, by the random ones; None as above.
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
    none where they are all equal, as on a benchmark of a few items: how far a run can vary is then not known.

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
        raise PlatformError("a run's value is NaN or infinite; evaluate it anew")
    sign = 1 if higher_is_better else -1
    difference = sign * (float(np.mean(arm)) - float(np.mean(random)))
    spread = float(np.std(random, ddof=1)) if len(random) > 1 else 0.0
    if spread == 0:
        return Comparison(len(arm), len(random), difference, *[None] * 7)
    error, freedom = _standard_error(arm, random, spread)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom))
    # The interval of two one-sided tests at 5% is the 90% interval.
    one_sided = float(stats.t.ppf(CONFIDENCE, freedom)) * error
    return Comparison(
        arm_runs=len(arm),
        random_runs=len(random),
        difference=difference,
        low=difference - half,
        high=difference + half,
        visible=half,
        p_value=p_value,
        p_adjusted=p_value,
        equivalent_within=abs(difference) + one_sided,
        spread=spread,
    )


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


def _standard_error(arm: Sequence[float], random: Sequence[float], spread: float) -> tuple[float, float]:
    """Standard error of the difference, and its degrees of freedom."""
    if len(arm) == 1:
        return spread * math.sqrt(1 + 1 / len(random)), len(random) - 1
    ours, theirs = float(np.var(arm, ddof=1)) / len(arm), spread**2 / len(random)
    freedom = (ours + theirs) ** 2 / (ours**2 / (len(arm) - 1) + theirs**2 / (len(random) - 1))
    return math.sqrt(ours + theirs), freedom


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with p-values adjusted by Holm for all of them; those without a p-value do not count."""
    counted = [index for index, each in enumerate(comparisons) if each.p_value is not None]
    adjusted = list(comparisons)
    if counted:
        with _nothing_to_collect():
            _, p_values, *_ = multipletests([comparisons[index].p_value for index in counted], method="holm")
        for index, p_value in zip(counted, np.asarray(p_values), strict=True):
            adjusted[index] = replace(comparisons[index], p_adjusted=float(p_value))
    return adjusted


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Keep what there is out of the garbage collector's sight: statsmodels calls it with each adjustment, for 0.2 s."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def seeds_to_see(difference: float, spread: float) -> int | None:
    """Seeds of each arm with which a difference would be seen four times in five, at 5%, two-sided, of one look.

    Args:
        difference: that should be seen, above 0.
        spread: standard deviation of one run, above 0, in the same unit.

    Returns:
        The number, at least 2; None where more than 1,000 are needed.
    """
    power = TTestIndPower().power
    # More seeds never see less, so halving finds the first that is enough.
    numbers = range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, POWER, key=lambda seeds: power(difference / spread, seeds, 1 - CONFIDENCE))
    return numbers[place] if place < len(numbers) else None
