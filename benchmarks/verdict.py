"""How often verdicts are wrong, and what they see: many experiments of the paper's shape whose truth is known.

Four cells of five random runs and six methods each, one run a method, are drawn from normal distributions, and judged
by the rules of `selection_platform.verdict`, over whole arrays at once. The first experiments of each kind are also
judged by the platform's own functions, and every word has to agree.

    python -m benchmarks.verdict --experiments 10000
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selection_platform.job.progress import progress
from selection_platform.text.tables import markdown_table
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.verdicts import verdicts

CELLS, METHODS, RANDOM_RUNS = 4, 6, 5
MARGIN = 1.0
LEVEL = 0.05
TYPICAL = 0.73
"""The paper's spread of a random run over all its cells, in percentage points."""
OF_THE_PAPER = (0.80, 0.49, 0.92, 0.62)
CHECKED = 10
SEED = 0

Array = NDArray[np.float64]
Words = NDArray[np.int8]
"""Of each comparison: 1 better, -1 worse, 2 the same, 0 open."""


@dataclass(frozen=True)
class Kind:
    """Experiments of one kind.

    Attributes:
        name: as the table has it.
        spreads: of one random run in each cell.
        arm_runs: runs of each method.
        random_runs: random runs of each cell.
        arm_factor: how many times as much a method's runs vary.
        effect: true difference of the methods, in points.
        differing: how many of the methods differ by that, of all; None is all.
        heavy: whether runs are of Student's t with 4 degrees of freedom, of the same spread, and not normal.
    """

    name: str
    spreads: tuple[float, ...] = (TYPICAL,) * CELLS
    arm_runs: int = 1
    random_runs: int = RANDOM_RUNS
    arm_factor: float = 1.0
    effect: float = 0.0
    differing: int | None = None
    heavy: bool = False


NO_DIFFERENCE = [
    Kind("spreads alike, 0.73"),
    Kind("spreads as the paper's: 0.80, 0.49, 0.92, 0.62", OF_THE_PAPER),
    Kind("two cells vary twice as much: 0.5, 0.5, 1, 1", (0.5, 0.5, 1.0, 1.0)),
    Kind("one cell varies three times as much: 0.4, 0.4, 0.4, 1.2", (0.4, 0.4, 0.4, 1.2)),
    Kind("heavy tails (t with 4 degrees of freedom)", heavy=True),
    Kind("two runs of each method", arm_runs=2),
    Kind("three runs of each method", arm_runs=3),
    Kind("three runs of each method, ten random ones", arm_runs=3, random_runs=10),
    Kind("five runs of each, methods vary half as much as random", arm_runs=5, arm_factor=0.5),
    Kind("five runs of each, methods vary twice as much as random", arm_runs=5, arm_factor=2.0),
    Kind("three runs of each, methods vary twice as much as random", arm_runs=3, arm_factor=2.0),
    Kind("one run of each, methods vary half again as much as random", arm_factor=1.5),
    Kind("one run of each, methods vary twice as much as random", arm_factor=2.0),
]
AT_THE_MARGIN = [
    Kind("spread 0.73, one run", effect=MARGIN),
    Kind("spread 0.3, one run", (0.3,) * CELLS, effect=MARGIN),
    Kind("spread 0.1, one run", (0.1,) * CELLS, effect=MARGIN),
    Kind("spread 0.3, three runs of each method", (0.3,) * CELLS, arm_runs=3, effect=MARGIN),
    Kind("spreads 0.2, 0.2, 0.4, 0.4, one run", (0.2, 0.2, 0.4, 0.4), effect=MARGIN),
]
SIZES = ((1, 5), (3, 5), (5, 5), (10, 10), (15, 15), (20, 20), (30, 30))


def draw(kind: Kind, experiments: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Values of random runs (experiments, cells, runs), and of methods' runs (experiments, cells, methods, runs)."""

    def noise(*shape: int) -> Array:
        # Student's t with 4 degrees of freedom has a variance of 2.
        return generator.standard_t(4, shape) / np.sqrt(2) if kind.heavy else generator.normal(size=shape)

    spreads = np.array(kind.spreads)
    random = noise(experiments, CELLS, kind.random_runs) * spreads[:, None]
    arms = noise(experiments, CELLS, METHODS, kind.arm_runs) * spreads[:, None, None] * kind.arm_factor
    differs = np.arange(CELLS * METHODS) < (CELLS * METHODS if kind.differing is None else kind.differing)
    return random, arms + kind.effect * differs.reshape(CELLS, METHODS)[..., None]


def judge(random: Array, arms: Array, *, pooled: bool) -> Words:
    """The words of all comparisons: (experiments, comparisons)."""
    difference = arms.mean(axis=3) - random.mean(axis=2)[..., None]
    error, freedom = standard_error(random, arms)
    if pooled:
        one, of_pool, equal = _pool(random, arms)
        scale = np.sqrt(1 / arms.shape[3] + 1 / random.shape[2])
        error = np.where(equal[:, None, None], (one * scale)[:, None, None], error)
        freedom = np.where(equal[:, None, None], of_pool, freedom)
    flat = (len(random), CELLS * METHODS)
    different = holm((2 * stats.t.sf(np.abs(difference) / error, freedom)).reshape(flat))
    same = holm(stats.t.sf((MARGIN - np.abs(difference)) / error, freedom).reshape(flat))
    sign = np.sign(difference).reshape(flat)
    return np.where(different, sign, np.where(same, 2, 0)).astype(np.int8)


def standard_error(random: Array, arms: Array) -> tuple[Array, Array]:
    """Standard error of each difference and its degrees of freedom, each cell by its own spread."""
    n, m = random.shape[2], arms.shape[3]
    of_random = np.broadcast_to((random.var(axis=2, ddof=1) / n)[..., None], arms.shape[:3])
    if m == 1:
        return np.sqrt(of_random * (1 + n)), np.full(arms.shape[:3], n - 1.0)
    of_arms = arms.var(axis=3, ddof=1) / m
    freedom = (of_arms + of_random) ** 2 / (of_arms**2 / (m - 1) + of_random**2 / (n - 1))
    welch = np.sqrt(of_arms + of_random)
    pooled = (of_arms * m * (m - 1) + of_random * n * (n - 1)) / (m + n - 2)
    student = np.sqrt(pooled * (1 / m + 1 / n))
    wider = welch * stats.t.isf(0.025, freedom) >= student * stats.t.isf(0.025, m + n - 2)
    return np.where(wider, welch, student), np.where(wider, freedom, m + n - 2.0)


def _pool(random: Array, arms: Array) -> tuple[Array, float, NDArray[np.bool_]]:
    """One spread for each experiment, its degrees of freedom, and whether the spreads are not seen to differ."""
    groups = [random[:, cell] for cell in range(CELLS)]
    if arms.shape[3] > 2:
        groups += [arms[:, cell, method] for cell in range(CELLS) for method in range(METHODS)]
    freedom = sum(group.shape[1] - 1 for group in groups)
    squares = sum(group.var(axis=1, ddof=1) * (group.shape[1] - 1) for group in groups)
    test = stats.levene(*groups, center="median", axis=1)
    return np.sqrt(squares / freedom), float(freedom), test.pvalue >= LEVEL


def holm(p_values: Array) -> NDArray[np.bool_]:
    """Which are rejected in each row."""
    order = np.argsort(p_values, axis=1)
    steps = np.arange(p_values.shape[1], 0, -1)
    passed = np.cumprod(np.take_along_axis(p_values, order, axis=1) * steps < LEVEL, axis=1).astype(bool)
    rejected = np.zeros_like(passed)
    np.put_along_axis(rejected, order, passed, axis=1)
    return rejected


def check(random: Array, arms: Array) -> None:
    """Compare with the platform's own functions.

    Raises:
        AssertionError: a word differs.
    """
    own, pooled = judge(random, arms, pooled=False), judge(random, arms, pooled=True)
    numbers = {"better": 1, "worse": -1, "same": 2, "not enough seeds": 0}
    for place in range(min(CHECKED, len(random))):
        runs = [
            Run(AVERAGE, Cell("m", f"{cell}", 1), method, seed, float(value))
            for cell in range(CELLS)
            for method, values in _arms(random[place, cell], arms[place, cell]).items()
            for seed, value in enumerate(values)
        ]
        found = verdicts(runs, {}, MARGIN)
        assert [numbers[each.word] for each in found] == own[place].tolist()
        with_one = [each.pooled for each in found]
        if all(each is not None and each.word is not None for each in with_one):
            assert [numbers[each.word] for each in with_one if each and each.word] == pooled[place].tolist()


def _arms(random: Array, methods: Array) -> dict[str, Array]:
    return {"random": random, **{f"{place}": values for place, values in enumerate(methods)}}


def words_of(kind: Kind, experiments: int, generator: np.random.Generator) -> tuple[Words, Words]:
    """The words of a kind's experiments: by each cell's own spread, and by one where they are not seen to differ."""
    random, arms = draw(kind, experiments, generator)
    check(random, arms)
    return judge(random, arms, pooled=False), judge(random, arms, pooled=True)


def _share(hits: NDArray[np.bool_]) -> str:
    return f"{100 * hits.mean():.1f}%"


def main(arguments: list[str]) -> None:
    """Simulate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=10_000, help="of each kind")
    experiments = parser.parse_args(arguments).experiments
    generator = np.random.default_rng(SEED)
    false, same, power = [], [], []
    with progress("kinds", len(NO_DIFFERENCE) + len(AT_THE_MARGIN) + 3 * len(SIZES), "kinds") as done:
        for kind in NO_DIFFERENCE:
            own, pooled = words_of(kind, experiments, generator)
            false.append([kind.name, *(_share((abs(words) == 1).any(axis=1)) for words in (own, pooled))])
            done.advance(1)
        for kind in AT_THE_MARGIN:
            own, pooled = words_of(kind, experiments, generator)
            same.append([kind.name, *(_share((words == 2).any(axis=1)) for words in (own, pooled))])
            done.advance(1)
        for arm_runs, random_runs in SIZES:
            row = [f"{arm_runs} : {random_runs}"]
            for effect in (1.0, 2.0):
                kind = Kind("", arm_runs=arm_runs, random_runs=random_runs, effect=effect, differing=1)
                own, pooled = words_of(kind, experiments, generator)
                row += [_share(words[:, 0] == 1) for words in (own, pooled)]
                done.advance(1)
            none, _ = words_of(Kind("", arm_runs=arm_runs, random_runs=random_runs), experiments, generator)
            power.append([*row, _share(none == 2)])
            done.advance(1)
    sides = ["each cell's own spread (the verdict)", "one spread, if not seen to differ"]
    print(markdown_table(["any of 24 falsely better or worse", *sides], false))
    print("\n" + markdown_table(["any of 24 falsely the same, all truly 1 point off", *sides], same))
    header = [
        "runs of it : random",
        "1 point, own spread",
        "1 point, one spread",
        "2 points, own",
        "2 points, one",
        "no difference: same, own",
    ]
    print("\n" + markdown_table(header, power))


if __name__ == "__main__":
    main(sys.argv[1:])
