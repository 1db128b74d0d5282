"""How long greedy k-center takes, against the whole matrix of distances, and against one pass over the pool a pick.

Run by hand:

    python -m benchmarks.k_center --rows 20000 --dim 384 --start 200 --picks 600 --large 1000000

The first part keeps the matrix of all distances, and that of the rows left and the rows selected, from which each pick
takes a row and to which it adds a column, as DiverseEvol's code does; here in our own words, and with negative squares
set to 0, which it does not. Both ways pick from the same rows in the same run, and the picks are compared.

The second part is ours alone on a large pool, beside the plain way: a matrix-vector product over the pool for each
pick. The plain way's time is extrapolated from a few picks, without its pass over the rows selected beforehand.

The rows are made up, but not of noise alone: 1,000 clusters of varied size and spread in 32 dimensions, turned into
`dim` dimensions, with some noise in all of them.
"""

import argparse
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from selection_platform.methods.diverse_evol.k_center import k_center

CLUSTERS = 1000
EFFECTIVE_DIM = 32
NOISE = 0.1
ROWS_PER_BLOCK = 50_000
TIMED_PICKS = 5

Result = TypeVar("Result")


class Measured(NamedTuple):
    """Wall time in seconds, and peak memory in bytes: of the GPU where there is one, else of the process."""

    seconds: float
    peak_bytes: int


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the first part; 0 leaves it out")
    parser.add_argument("--dim", type=int, default=384, help="of the first part")
    parser.add_argument("--start", type=int, default=200, help="rows selected beforehand in the first part")
    parser.add_argument("--picks", type=int, default=600, help="picks of the first part")
    parser.add_argument("--large", type=int, default=1_000_000, help="rows of the second part; 0 leaves it out")
    parser.add_argument("--large-dims", type=int, nargs="*", help="default: 384, and on a GPU 3584 too")
    parser.add_argument("--large-start", type=int, default=1000)
    parser.add_argument("--large-picks", type=int, default=9000)
    options = parser.parse_args()
    if options.large_dims is None:
        options.large_dims = [384, 3584] if torch.cuda.is_available() else [384]
    return options


def made_up_rows(rows: int, dim: int) -> NDArray[np.float32]:
    """Rows x dim, the same in every run."""
    generator = np.random.default_rng(0)
    inner = min(dim, EFFECTIVE_DIM)
    turn = generator.standard_normal((inner, dim), dtype=np.float32) / np.float32(np.sqrt(inner))
    centre = 2 * generator.standard_normal((CLUSTERS, inner), dtype=np.float32)
    spread = generator.lognormal(-0.5, 0.5, (CLUSTERS, 1)).astype(np.float32)
    label = generator.choice(CLUSTERS, rows, p=generator.dirichlet(np.full(CLUSTERS, 0.5)))
    made = np.empty((rows, dim), dtype=np.float32)
    for first in range(0, rows, ROWS_PER_BLOCK):
        block = made[first : first + ROWS_PER_BLOCK]
        which = label[first : first + ROWS_PER_BLOCK]
        inside = spread[which] * generator.standard_normal((len(which), inner), dtype=np.float32)
        generator.standard_normal(dtype=np.float32, out=block)
        block *= NOISE
        block += (centre[which] + inside) @ turn
    return made


@torch.inference_mode()
def whole_matrix(embeddings: NDArray[np.float32], selected: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Greedy k-center with every distance in memory."""
    rows = torch.from_numpy(embeddings).to("cuda" if torch.cuda.is_available() else "cpu")
    norms = rows.square().sum(dim=1)
    distance = rows @ rows.T
    distance.mul_(-2).add_(norms).add_(norms[:, None]).clamp_(min=0).sqrt_()
    known = torch.from_numpy(selected).to(rows.device)
    is_left = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    is_left[known] = False
    left = is_left.nonzero()[:, 0]
    to_known = distance[left][:, known]
    picks: list[int] = []
    for _ in range(count):
        place = int(to_known.amin(dim=1).argmax())
        picks.append(int(left[place]))
        others = torch.ones(len(left), dtype=torch.bool, device=rows.device)
        others[place] = False
        left = left[others]
        to_known = torch.cat([to_known[others], distance[left, picks[-1]][:, None]], dim=1)
    return np.array(picks)


@torch.inference_mode()
def seconds_per_plain_pick(embeddings: NDArray[np.float32]) -> float:
    """Time of one pick that looks at every row: a product, a minimum, the farthest."""
    rows = torch.from_numpy(embeddings).to("cuda" if torch.cuda.is_available() else "cpu")
    norms = torch.cat([block.square().sum(dim=1) for block in rows.split(ROWS_PER_BLOCK)])
    nearest = torch.full_like(norms, torch.inf)

    def pick(times: int) -> None:
        row = 0
        for _ in range(times):
            torch.minimum(nearest, torch.addmv(norms, rows, rows[row], alpha=-2).add_(norms[row]), out=nearest)
            nearest[row] = -1
            row = int(nearest.argmax())

    pick(1)  # warm up
    started = time.perf_counter()
    pick(TIMED_PICKS)
    return (time.perf_counter() - started) / TIMED_PICKS


def measure(work: Callable[[], Result]) -> tuple[Result, Measured]:
    """What some work returns, and what it took."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        # Linux then counts the peak of resident memory afresh.
        Path("/proc/self/clear_refs").write_text("5")
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    if on_gpu:
        return result, Measured(seconds, torch.cuda.max_memory_allocated())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return result, Measured(seconds, int(status["VmHWM"].split()[0]) * 1024)


def machine() -> str:
    """The processor that did the work."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def table_row(way: str, rows: int, dim: int, start: int, picks: int, seconds: float, rest: str) -> None:
    print(f"| {way} | {rows:,} x {dim:,} | {start:,} + {picks:,} | {seconds:,.2f} | {rest} |", flush=True)


def against_the_matrix(options: argparse.Namespace) -> str:
    """Both ways on a small pool; what the comparison says."""
    embeddings = made_up_rows(options.rows, options.dim)
    selected = np.random.default_rng(1).choice(options.rows, options.start, replace=False)
    sizes = (options.rows, options.dim, options.start, options.picks)
    k_center(embeddings, selected, 10)  # warm up
    ours, cost = measure(lambda: k_center(embeddings, selected, options.picks))
    table_row("ours", *sizes, cost.seconds, f"{cost.peak_bytes / 2**30:.2f}")
    theirs, matrix_cost = measure(lambda: whole_matrix(embeddings, selected, options.picks))
    table_row("whole matrix", *sizes, matrix_cost.seconds, f"{matrix_cost.peak_bytes / 2**30:.2f}")
    in_place = int((ours == theirs).sum())
    return (
        f"Whole matrix / ours: {matrix_cost.seconds / cost.seconds:.0f}x in time. Same picks: "
        f"{len(np.intersect1d(ours, theirs)):,} of {options.picks:,}, {in_place:,} of them in the same place of the "
        "order; the matrix is float32 throughout."
    )


def large_pool(options: argparse.Namespace, dim: int) -> str:
    """Ours, and an estimate of the plain way; what the comparison says."""
    embeddings = made_up_rows(options.large, dim)
    selected = np.random.default_rng(1).choice(options.large, options.large_start, replace=False)
    sizes = (options.large, dim, options.large_start, options.large_picks)
    _, cost = measure(lambda: k_center(embeddings, selected, options.large_picks))
    table_row("ours", *sizes, cost.seconds, f"{cost.peak_bytes / 2**30:.2f}")
    plain = options.large_picks * seconds_per_plain_pick(embeddings)
    table_row(f"plain, extrapolated from {TIMED_PICKS} picks", *sizes, plain, "")
    return f"Plain / ours at {options.large:,} x {dim:,}: {plain / cost.seconds:.0f}x in time."


def main() -> None:
    options = arguments()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, torch {torch.__version__}, NumPy {np.__version__}\n")
    print("| way | pool | start + picks | seconds | peak memory, GiB |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    verdicts = [against_the_matrix(options)] if options.rows else []
    verdicts += [large_pool(options, dim) for dim in options.large_dims if options.large]
    print("\n" + "\n".join(verdicts))


if __name__ == "__main__":
    main()
