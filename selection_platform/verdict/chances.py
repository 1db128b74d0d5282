"""The chance that a look to come settles a comparison, from what is known now."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from selection_platform.verdict.looks import Look
from selection_platform.verdict.statistics import CONFIDENCE

SPREADS = 12
"""Spreads of one run that are tried, each as likely as the others: few runs do not tell it well."""

HOPELESS = 0.05
"""A comparison whose chance to be settled is smaller at every look to come gets no more seeds."""

Array = NDArray[np.float64]


def information(look: Look, *, varies: bool = True) -> float:
    """The information of a look: one over the variance of the difference, in runs.

    Args:
        look: the look.
        varies: whether runs of the arm vary; those of the base model do not.
    """
    return 1 / ((1 / look.arm_runs if varies else 0.0) + 1 / look.random_runs)


def chances(
    difference: Array,
    standard_error: Array,
    freedom: Array,
    now: Look,
    later: Sequence[Look],
    margin: float,
    steps: tuple[Array, Array],
    *,
    varies: bool = True,
) -> Array:
    """The chance of each look to come that it calls a comparison better, worse or the same: (looks, comparisons).

    It is the predictive power with a flat prior (Spiegelhalter, Freedman and Blackburn, Controlled Clinical Trials 7,
    1986): the true difference may be what the runs so far allow, and so may the spread. All arrays have one shape.

    Args:
        difference: at the last look, in the measure's unit.
        standard_error: of the difference, above 0.
        freedom: its degrees of freedom.
        now: the last look.
        later: the looks to come.
        margin: the difference that is too small to matter.
        steps: what Holm multiplies the smallest p-value by that is not settled: of no difference, and of a difference
            that matters.
        varies: see `information`.
    """
    before = information(now, varies=varies)
    places = (np.arange(SPREADS) + 0.5) / SPREADS
    spreads = [standard_error * np.sqrt(before * freedom / special.chdtri(freedom, place)) for place in places]
    return np.array([_of_look(difference, spreads, before, look, margin, steps, varies) for look in later])


def _of_look(
    difference: Array,
    spreads: Sequence[Array],
    before: float,
    then: Look,
    margin: float,
    steps: tuple[Array, Array],
    varies: bool,
) -> Array:
    after = information(then, varies=varies)
    single = not varies or then.arm_runs == 1
    freedom = then.random_runs - 1 if single else then.arm_runs + then.random_runs - 2
    spends = (1 - CONFIDENCE) * then.share
    to_differ = -special.stdtrit(freedom, spends / 2 / steps[0]) / math.sqrt(after)
    to_be_same = -special.stdtrit(freedom, spends / steps[1]) / math.sqrt(after)
    found = np.zeros_like(difference)
    for spread in spreads:
        moves = spread * math.sqrt(1 / before - 1 / after)
        outer = to_differ * spread
        inner = np.clip(margin - to_be_same * spread, 0, outer)
        found += 1 - _within(outer, difference, moves) + _within(inner, difference, moves)
    return found / len(spreads)


def _within(limit: Array, difference: Array, moves: Array) -> Array:
    """The chance that the difference ends up closer to 0 than a limit."""
    return special.ndtr((limit - difference) / moves) - special.ndtr((-limit - difference) / moves)
