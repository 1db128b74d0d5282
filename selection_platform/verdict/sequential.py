"""A comparison that is looked at again and again while seeds are added."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import stats

from selection_platform.verdict.looks import Looks
from selection_platform.verdict.statistics import CONFIDENCE, Comparison, compare, p_same


def compare_by_looks(
    arm: Mapping[int, float],
    random: Mapping[int, float],
    looks: Looks,
    margin: float,
    *,
    higher_is_better: bool = True,
    arm_varies: bool = True,
) -> Comparison:
    """Compare an arm's runs with random runs, with p-values and an interval that hold however often one looks.

    The p-value of each look is divided by its share of the error rate, and the smallest so far counts: of no difference
    among looks with the sign that the difference has now. The chance that this is ever below x is at most x. The
    interval goes with it: it is what the intervals of these looks have in common, or the gap between them if that is
    nothing. One of them is then wrong, which happens in at most 5% of cases, so that the interval still holds in 95%.
    It may leave out the difference itself. Everything else is of the last look whose runs are all there; runs beyond it
    wait for the next.

    Args:
        arm: value of each of the arm's runs, by seed.
        random: value of each random run.
        looks: the looks at this comparison.
        margin: the difference that is too small to matter, in the measure's unit.
        higher_is_better: whether larger values are better.
        arm_varies: whether runs of the arm vary; the base model does not.
    """
    count = looks.so_far(arm.keys(), random.keys())
    if not count:
        sign = 1 if higher_is_better else -1
        difference = sign * float(np.mean([*arm.values()]) - np.mean([*random.values()]))
        return Comparison(len(arm), len(random), difference, look=0, looks=len(looks.all))
    done = looks.all[:count]
    found = [
        compare(
            [arm[seed] for seed in looks.arm[: look.arm_runs]],
            [random[seed] for seed in looks.random[: look.random_runs]],
            higher_is_better=higher_is_better,
            arm_varies=arm_varies,
        )
        for look in done
    ]
    last = replace(found[-1], look=count, looks=len(looks.all), share=done[-1].share)
    if last.standard_error is None or last.freedom is None:
        return last
    known = [(each, look.share) for each, look in zip(found, done, strict=True) if each.p_value is not None]
    same_sign = [(each.p_value or 0.0) / share for each, share in known if each.difference * last.difference >= 0]
    halves = [_half(each, share, sides=2) for each, share in known]
    ends = [
        (each.difference - half, each.difference + half)
        for (each, _), half in zip(known, halves, strict=True)
        if each.difference * last.difference >= 0
    ]
    low, high = sorted((max(low for low, _ in ends), min(high for _, high in ends)))
    return replace(
        last,
        low=low,
        high=high,
        visible=halves[-1],
        p_value=min(1.0, *same_sign),
        p_same=min(1.0, *((p_same(each, margin) or 0.0) / share for each, share in known)),
        equivalent_within=min(abs(each.difference) + _half(each, share, sides=1) for each, share in known),
    )


def _half(look: Comparison, share: float, *, sides: int) -> float:
    """Half of the interval that spends a look's share of the error rate, of a look whose spread is known."""
    return (look.standard_error or 0.0) * float(stats.t.isf((1 - CONFIDENCE) * share / sides, look.freedom or 0.0))
