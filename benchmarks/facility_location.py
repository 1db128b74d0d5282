"""How long `facility_location` takes, and how much of the pool it looks at.

Run by hand:

    python -m benchmarks.facility_location --rows 20000 --covered 20000 --picks 10000 --dim 384

Vectors lie in groups of uneven size and spread, as those of real pools do. Work is the columns of cosines that are
computed: in a pool whose columns do not all fit into memory, some rows' more than once. The time of a larger pool is
worked out from the product of matrices, 2 x columns x covered samples x dimensions operations.
"""

import argparse
import os
import platform
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selection_platform.methods import facility_location as module


def rows_of(rows: int, dim: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    centre, spread = generator.standard_normal((200, dim)), generator.lognormal(-0.5, 0.5, 200)
    label = generator.choice(200, rows, p=generator.dirichlet(np.full(200, 0.5)))
    noise = generator.standard_normal((rows, dim), dtype=np.float32)
    return (2 + centre[label].astype(np.float32) + spread[label, None].astype(np.float32) * noise).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--covered", type=int, default=20_000)
    parser.add_argument("--picks", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--megabytes", type=int, default=1600, help="memory of the columns")
    given = parser.parse_args()
    vectors, computed = rows_of(given.rows, given.dim), [0, 0.0]
    inner = module._Search._computed

    def counted(self: module._Search, rows: list[int]) -> NDArray[np.float32]:
        started = time.process_time()
        columns = inner(self, rows)
        computed[0] += len(rows)
        computed[1] += time.process_time() - started
        return columns

    module._Search._computed = counted  # pyright: ignore[reportAttributeAccessIssue]
    wall, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        size = given.megabytes * 1_000_000
        picked = module.facility_location(vectors, given.covered, given.picks, Path(folder) / "state", size)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = 2 * computed[0] * min(given.covered, given.rows) * given.dim / computed[1]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPU cores, {given.dim} dimensions\n")
    print("| rows | covered | picks | s | CPU s | of these, columns | columns a row | peak memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    print(f"| {given.rows:,} | {given.covered:,} | {len(picked):,} | {wall:.0f} | {cpu:.0f} | {computed[1]:.0f} | "
          f"{computed[0] / given.rows:.1f} | {peak:,.0f} |")  # fmt: skip
    print(f"\n{rate / 1e9:.1f} GFLOP a second of CPU time")


if __name__ == "__main__":
    main()
