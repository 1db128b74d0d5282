"""Which benchmarks tell arms apart: how much their means differ, beside what seeds alone make of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from scipy import stats

from selection_platform.report.cells import cells_of, means_of, random_values, spreads
from selection_platform.report.parts import Table, cells
from selection_platform.verdict.runs import Run
from selection_platform.verdict.verdicts import CONTROLS, Verdict


@dataclass(frozen=True)
class Signal:
    """How a benchmark tells arms apart, over all cells.

    Attributes:
        arms: standard deviation of the arms' means, in percentage points.
        seeds: what it would be on average if seeds alone made them differ.
        seen: whether the arms differ by more in a test at 5%: F, with the degrees of freedom of arms and random runs.
    """

    arms: float
    seeds: float
    seen: bool


def signal_of(measure: str, runs: Sequence[Run], found: Sequence[Verdict]) -> Signal | None:
    """A benchmark's signal to noise; None where random runs do not vary, or there are no two arms.

    Controls are left out: that training does something is no sign that a choice does. Arms are taken to vary as random
    runs do, each mean by its number of runs.
    """
    of_arms: list[float] = []
    of_seeds: list[float] = []
    freedom = [0, 0]
    for cell in cells_of(found):
        in_cell = [run for run in runs if (run.measure, run.cell) == (measure, cell) and run.method not in CONTROLS]
        spread, means = spreads(found, measure).get(cell), means_of(in_cell)
        if spread and len(means) > 1:
            of_arms.append(variance([mean for mean, _ in means.values()]))
            of_seeds.append(spread**2 * fmean(1 / count for _, count in means.values()))
            freedom = [freedom[0] + len(means) - 1, freedom[1] + len(random_values(runs, measure, cell)) - 1]
    if not of_arms:
        return None
    seen = fmean(of_arms) / fmean(of_seeds) > float(stats.f.isf(0.05, *freedom))
    return Signal(math.sqrt(fmean(of_arms)), math.sqrt(fmean(of_seeds)), seen)


def signal_table(signals: Mapping[str, Signal]) -> Table:
    """Signal to noise of each benchmark."""
    rows = [
        cells(name, f"{each.arms:.2f}", f"{each.seeds:.2f}", f"{each.arms / each.seeds:.2f}")
        for name, each in signals.items()
    ]
    header = ["benchmark", "arms differ by", "seeds alone make", "signal to noise"]
    return Table("Signal to noise of each benchmark", header, rows, arms=None)


def signal_in_words(signals: Mapping[str, Signal]) -> str:
    """Which benchmarks tell arms apart, and what to do about the others."""
    without = [name for name, each in signals.items() if not each.seen]
    explained = (
        "Signal to noise: the standard deviation of the arms' means, beside what seeds alone make of it; about 1 means "
        "that nothing but seeds is seen."
    )
    if not without:
        return f"{explained} Each benchmark tells arms apart."
    if len(without) == len(signals):
        return f"{explained} No benchmark is seen to tell arms apart: more items, more seeds or other benchmarks may."
    return (
        f"{explained} Not seen to tell arms apart: {', '.join(without)}. They dilute differences in the average. "
        "Consider leaving them out of the next experiment, and decide so before its runs, not by the verdicts of these."
    )
