"""How long RDS+ takes in blocks, against the matrix of all cosines and a full ranking for each target.

Run by hand:

    python -m benchmarks.target_similarity --rows 20000 --dim 384 --targets 200 --picks 1000 --large 200000

The first part does it both ways on the same rows, and compares what is picked. The plain way keeps rows x targets
cosines and sorts all rows for each target, as published code does; here in our own words. The second part is ours alone
on more rows, and says how many floating-point operations a second it does: with it, the time of a million rows of 3,584
dimensions and 1,000 targets is worked out.

Seconds are of CPU time over all cores, so that others on the machine count little; memory is the peak of arrays.
"""

import argparse
import os
import platform
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selection_platform.methods.target_similarity import normalised, similarity

Array = NDArray[np.float32]
PAPER_ROWS, PAPER_DIM, PAPER_TARGETS = 1_000_000, 3584, 1000


class Measured(NamedTuple):
    """CPU seconds, peak bytes of arrays, and the rows that were picked."""

    seconds: float
    peak_bytes: int
    picked: list[int]


def measured(way: Callable[[], NDArray[np.int64]]) -> Measured:
    started = time.process_time()
    picked = way()
    seconds = time.process_time() - started
    # Once more for memory, as counting it takes time.
    tracemalloc.start()
    way()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Measured(seconds, peak, picked.tolist())


def plain(samples: Array, targets: Array, picks: int) -> NDArray[np.int64]:
    cosines = normalised(targets) @ normalised(samples).T
    ranked = np.argsort(-cosines, axis=1, kind="stable")
    picked: dict[int, None] = {}
    while len(picked) < picks:
        for rows in ranked:
            picked.setdefault(next(int(row) for row in rows if int(row) not in picked))
            if len(picked) == picks:
                break
    return np.array(list(picked))


def rows_of(generator: np.random.Generator, rows: int, dim: int) -> Array:
    """Rows that share directions, as hidden states do."""
    return generator.standard_normal((rows, dim), dtype=np.float32) + 2 * generator.standard_normal(dim, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the first part")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--picks", type=int, default=1000)
    parser.add_argument("--large", type=int, default=200_000, help="rows of the second part")
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    samples, targets = (rows_of(generator, count, given.dim) for count in (given.rows, given.targets))
    slow = measured(lambda: plain(samples, targets, given.picks))
    fast = measured(lambda: similarity(samples, targets, given.picks).picked)
    large = rows_of(generator, given.large, given.dim)
    more = measured(lambda: similarity(large, targets, given.picks).picked)
    speed = 2 * given.large * given.dim * given.targets / more.seconds
    whole = 2 * PAPER_ROWS * PAPER_DIM * PAPER_TARGETS / speed
    same = "the same" if slow.picked == fast.picked else "OTHER ROWS"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPU cores")
    print(f"{given.dim} dimensions, {given.targets} targets, {given.picks} picks; both ways pick {same}\n")
    print("| rows | way | CPU s | peak of arrays, MB |\n|---:|---|---:|---:|")
    ways = (given.rows, "all cosines", slow), (given.rows, "blocks", fast), (given.large, "blocks", more)
    for rows, way, each in ways:
        print(f"| {rows:,} | {way} | {each.seconds:.2f} | {each.peak_bytes / 1e6:,.0f} |")
    times, less = slow.seconds / fast.seconds, slow.peak_bytes / fast.peak_bytes
    print(f"\n{times:.1f} times as fast, in {less:.1f} times less memory; {speed / 1e9:.1f} GFLOP a second of CPU time")
    print(f"{PAPER_ROWS:,} x {PAPER_DIM:,} x {PAPER_TARGETS:,} takes about {whole / 60:.1f} minutes of it")


if __name__ == "__main__":
    main()
