"""How often verdicts are wrong that are looked at after every seed, and how many runs stopping early saves.

Experiments as in `benchmarks.verdict`, of which each arm and random have three seeds at first and ten at most. After
each seed all comparisons are judged; those that are settled, or can hardly be settled any more, get no more seeds. The
first experiments of each kind are also judged by the platform's own functions, and every word has to agree.

    python -m benchmarks.sequential --experiments 4000
"""

import argparse
import sys
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.verdict import (
    CELLS,
    MARGIN,
    METHODS,
    OF_THE_PAPER,
    Array,
    Kind,
    Words,
    draw,
    holm,
    judge,
    standard_error,
)
from selection_platform.configuration.arm_settings import ArmSettings, SeedRange
from selection_platform.job.progress import progress
from selection_platform.text.tables import markdown_table
from selection_platform.verdict.chances import HOPELESS, chances
from selection_platform.verdict.looks import Look, schedule
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.verdicts import verdicts

FIRST, MOST = 3, 10
CHECKED = 2
SEED = 0

NO_DIFFERENCE = [
    Kind("spreads alike, 0.73"),
    Kind("spreads as the paper's: 0.80, 0.49, 0.92, 0.62", OF_THE_PAPER),
    Kind("one cell varies three times as much: 0.4, 0.4, 0.4, 1.2", (0.4, 0.4, 0.4, 1.2)),
    Kind("heavy tails (t with 4 degrees of freedom)", heavy=True),
    Kind("methods vary half as much as random", arm_factor=0.5),
    Kind("methods vary twice as much as random", arm_factor=2.0),
]
MARGINS = [
    Kind("spread 0.73", effect=MARGIN),
    Kind("spread 0.3", (0.3,) * CELLS, effect=MARGIN),
    Kind("spread 0.1", (0.1,) * CELLS, effect=MARGIN),
    Kind("spreads 0.2, 0.2, 0.4, 0.4", (0.2, 0.2, 0.4, 0.4), effect=MARGIN),
]


class Course(NamedTuple):
    """What became of experiments of one kind.

    Attributes:
        words: in the end: (experiments, comparisons).
        ever_different: whether a comparison was called better or worse at any look.
        ever_same: whether it was called the same at any look.
        runs: made in each experiment, with random ones.
    """

    words: Words
    ever_different: NDArray[np.bool_]
    ever_same: NDArray[np.bool_]
    runs: Array


def looks_up_to(most: int) -> tuple[Look, ...]:
    """The looks of an arm and of random with `FIRST` seeds at first and `most` at most."""
    seeds = ArmSettings(seeds=SeedRange(first=FIRST, max=most))
    return schedule({"random": seeds, "arm": seeds})["arm"].all


class _Seen(NamedTuple):
    """One look at all comparisons, each (experiments, comparisons)."""

    difference: Array
    error: Array
    freedom: Array

    def p_values(self, share: float) -> tuple[Array, Array]:
        """Of no difference, and of one of the margin or more, over the share of the error rate."""
        size = np.abs(self.difference)
        differ = 2 * stats.t.sf(size / self.error, self.freedom)
        return differ / share, stats.t.sf((MARGIN - size) / self.error, self.freedom) / share


def _seen(random: Array, arms: Array, look: Look) -> _Seen:
    few = random[..., : look.random_runs], arms[..., : look.arm_runs]
    difference = few[1].mean(axis=3) - few[0].mean(axis=2)[..., None]
    return _Seen(*(each.reshape(len(random), -1) for each in (difference, *standard_error(*few))))


def course(random: Array, arms: Array, looks: tuple[Look, ...], *, naive: bool = False, stop: bool = True) -> Course:
    """Look after every seed, and stop where a comparison is settled or hopeless.

    Args:
        random: values (experiments, cells, runs).
        arms: values (experiments, cells, methods, runs).
        looks: the looks.
        naive: judge each look as if it were the only one.
        stop: whether comparisons get no more seeds when they are settled or hopeless.
    """
    shape = len(random), CELLS * METHODS
    smallest = {sign: np.full(shape, np.inf) for sign in (-1, 1, 2)}
    active, words, sign = np.full(shape, True), np.zeros(shape, dtype=np.int8), np.zeros(shape)
    different = equal = np.full(shape, False)
    ever = np.full((2, *shape), False)
    runs = np.full(len(random), float(CELLS * (METHODS * looks[0].arm_runs + looks[0].random_runs)))
    for place, look in enumerate(looks):
        if place:
            runs += _added(active, looks[place - 1], look)
        seen = _seen(random, arms, look)
        differ, same = seen.p_values(1.0 if naive else look.share)
        sign = np.where(active, np.sign(seen.difference), sign)
        for key, p_value, where in ((-1, differ, sign < 0), (1, differ, sign > 0), (2, same, True)):
            before = np.inf if naive else smallest[key]
            smallest[key] = np.where(active & where, np.minimum(before, p_value), smallest[key])
        different = holm(np.minimum(1, np.where(sign > 0, smallest[1], smallest[-1])))
        equal = holm(np.minimum(1, smallest[2]))
        words = np.where(different, sign, np.where(equal, 2, 0)).astype(np.int8)
        ever |= [different, equal & ~different]
        if stop and place + 1 < len(looks):
            active &= (words == 0) & (_hope(seen, looks[place:], different, equal) >= HOPELESS)
    return Course(words, ever[0], ever[1], runs)


def _added(active: NDArray[np.bool_], before: Look, now: Look) -> Array:
    """Runs of a look that no earlier one had: each cell's random ones once."""
    cells = active.reshape(len(active), CELLS, METHODS).any(axis=2).sum(axis=1)
    of_random = cells * (now.random_runs - before.random_runs)
    return active.sum(axis=1) * (now.arm_runs - before.arm_runs) + of_random


def _hope(seen: _Seen, looks: tuple[Look, ...], different: NDArray[np.bool_], equal: NDArray[np.bool_]) -> Array:
    """The best chance of a look to come that it settles each comparison."""
    left, right = (
        np.broadcast_to(each.shape[1] - each.sum(axis=1, keepdims=True), each.shape).clip(1).astype(float)
        for each in (different, equal)
    )
    now, *later = looks
    return chances(*seen, now, later, MARGIN, (left, right)).max(axis=0)


def check(random: Array, arms: Array, looks: tuple[Look, ...]) -> None:
    """Compare with the platform's own functions, at each look.

    Raises:
        AssertionError: a word differs.
    """
    numbers = {"better": 1, "worse": -1, "same": 2, "not enough seeds": 0}
    seeds = ArmSettings(seeds=SeedRange(first=FIRST, max=looks[-1].arm_runs))
    planned = schedule({name: seeds for name in ("random", *map(str, range(METHODS)))})
    for place, look in enumerate(looks, start=1):
        # Nothing stops, so that both see the same runs.
        own = course(random[:CHECKED], arms[:CHECKED], looks[:place], stop=False).words
        for experiment in range(len(own)):
            runs = [
                Run(AVERAGE, Cell("m", f"{cell}", 1), name, seed, float(value))
                for cell in range(CELLS)
                for name, values in _by_arm(random[experiment, cell], arms[experiment, cell], look)
                for seed, value in enumerate(values)
            ]
            found = verdicts(runs, {}, MARGIN, schedule=planned)
            assert [numbers[each.word] for each in found] == own[experiment].tolist()


def _by_arm(random: Array, methods: Array, look: Look) -> list[tuple[str, Array]]:
    of_methods = [(f"{place}", values[: look.arm_runs]) for place, values in enumerate(methods)]
    return [("random", random[: look.random_runs]), *of_methods]


def wrong(kind: Kind, looks: tuple[Look, ...], experiments: int, generator: np.random.Generator) -> list[list[str]]:
    """How often any comparison of an experiment was ever called different, and ever the same: by the rule, and naively.

    Nothing stops here: who looks at all looks finds every error that somebody who stops may find.
    """
    most = looks[-1]
    random, arms = draw(replace(kind, arm_runs=most.arm_runs, random_runs=most.random_runs), experiments, generator)
    check(random, arms, looks)
    found = [course(random, arms, looks, naive=naive, stop=False) for naive in (False, True)]
    return [
        [_share(each.any(axis=1)) for each in of]
        for of in ((c.ever_different for c in found), (c.ever_same for c in found))
    ]


def saved(effect: float, differing: int, most: int, experiments: int, generator: np.random.Generator) -> list[str]:
    """What stopping early saves where methods truly differ: against as many seeds of all for the same power."""
    kind = Kind("", arm_runs=most, random_runs=most, effect=effect, differing=differing)
    random, arms = draw(kind, experiments, generator)
    found = course(random, arms, looks_up_to(most))
    power = (found.words[:, 0] == 1).mean()
    seeds, fixed = FIRST, judge(random[..., :FIRST], arms[..., :FIRST], pooled=False)
    while (fixed[:, 0] == 1).mean() < power and seeds < most:
        seeds += 1
        fixed = judge(random[..., :seeds], arms[..., :seeds], pooled=False)
    same = [_share(words[:, differing:] == 2) if differing < words.shape[1] else "" for words in (found.words, fixed)]
    runs = CELLS * (METHODS + 1) * seeds
    mean = found.runs.mean()
    return [f"{effect:g}", f"{differing}", f"{most}", f"{100 * power:.1f}%", f"{mean:.0f}", f"{seeds}", f"{runs}",
            f"{100 * (1 - mean / runs):.0f}%", *same]  # fmt: skip


def _share(hits: Any) -> str:
    return f"{100 * hits.mean():.1f}%"


def main(arguments: list[str]) -> None:
    """Simulate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=4000, help="of each kind")
    experiments = parser.parse_args(arguments).experiments
    generator, looks = np.random.default_rng(SEED), looks_up_to(MOST)
    different, same, less = [], [], []
    cases = [(2.0, 1, 10), (3.0, 1, 10), (3.0, CELLS * METHODS, 10), (1.0, 1, 20), (1.0, 1, 30)]
    with progress("kinds", len(NO_DIFFERENCE) + len(MARGINS) + len(cases), "kinds") as done:
        for kind in NO_DIFFERENCE:
            different.append([kind.name, *wrong(kind, looks, experiments, generator)[0]])
            done.advance(1)
        for kind in MARGINS:
            same.append([kind.name, *wrong(kind, looks, experiments, generator)[1]])
            done.advance(1)
        for case in cases:
            less.append(saved(*case, experiments, generator))
            done.advance(1)
    sides = ["the rule", "each look as if it were the only one"]
    print(markdown_table(["any of 24 ever falsely better or worse", *sides], different))
    print("\n" + markdown_table(["any of 24 ever falsely the same, all truly 1 point off", *sides], same))
    header = ["points", "methods that differ", "seeds at most", "called better", "runs, mean", "seeds of all for that",
              "runs", "saved", "others the same", "with these seeds"]  # fmt: skip
    print("\n" + markdown_table(header, less))


if __name__ == "__main__":
    main(sys.argv[1:])
