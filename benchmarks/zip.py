"""How long ZIP takes, against compressing the whole list for every candidate as the official code does.

    python benchmarks/zip.py --pools 200 400 800 --large 30000

Both search the same made-up pools with the same sizes of a round, on the same machine in the same run, and must pick
the same rows. The pools of `--large` are searched by ours only. The last table computes, from the cost of one
candidate, what nobody would wait for: it is extrapolated and says so.
"""

import argparse
import os
import platform
import random
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from selection_platform.conversation import Message, sample_id
from selection_platform.scoring.zip import ZipSettings, record_text, select


def made_up_pool(size: int) -> tuple[list[str], list[str]]:
    """Ids and record texts of `size` conversations of made-up words, about 1.7 KB each, the same in every run."""
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlucmfwypvbgkjqxz", k=rng.randint(2, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    names, texts = [], []
    for _ in range(size):
        length = int(rng.lognormvariate(4.9, 0.7)) + 1
        contents = [" ".join(rng.choices(words, weights, k=k)) for k in (length // 4 + 1, length)]
        messages = [Message("user", contents[0]), Message("assistant", contents[1])]
        names.append(sample_id(messages))
        texts.append(record_text(messages))
    return names, texts


def full_recompression(names: list[str], texts: list[str], budget: int, workers: int) -> list[str]:
    """The same search on all threads, where each ratio compresses the whole list. Budgets up to a third of the pool."""
    sizes = ZipSettings().scaled(len(names))
    by_name = dict(zip(names, texts, strict=True))

    with ThreadPoolExecutor(workers) as executor:

        def ratios(chosen: list[str], candidates: list[str]) -> dict[str, float]:
            def ratio(name: str) -> float:
                raw = f"[{', '.join(by_name[each] for each in [*chosen, name])}]".encode()
                return len(raw) / len(zlib.compress(raw, 9))

            return dict(zip(candidates, executor.map(ratio, candidates), strict=True))

        state, picked = ratios([], names), []
        while len(picked) < budget:
            front = sorted(state, key=lambda name: (state[name], name))[: sizes.k1]
            state |= ratios(picked, front)
            shortlist = sorted(front, key=lambda name: (state[name], name))[: sizes.k2]
            for name in shortlist:
                del state[name]
            picked_now = []
            for _ in range(min(sizes.k3, budget - len(picked))):
                with_each = ratios(picked_now, shortlist)
                picked_now.append(min(shortlist, key=lambda name: (with_each[name], name)))
                shortlist.remove(picked_now[-1])
            picked += picked_now
    return picked


def compare(pools: list[int], workers: int) -> None:
    """Time both searches, each picking a fifth of the pool."""
    print("| pool | budget | ours, s | full recompression, s | ratio |\n|--:|--:|--:|--:|--:|")
    for size in pools:
        names, texts = made_up_pool(size)
        begin = time.perf_counter()
        ours = [pick.sample_id for pick in select(names, texts, size // 5, ZipSettings(), workers=workers)]
        middle = time.perf_counter()
        full = full_recompression(names, texts, size // 5, workers)
        end = time.perf_counter()
        if ours != full:
            raise SystemExit(f"the picks differ on the pool of {size:,} rows")
        times = middle - begin, end - middle
        print(f"| {size:,} | {size // 5:,} | {times[0]:.2f} | {times[1]:.2f} | {times[1] / times[0]:,.0f} |")


def time_ours(size: int, workers: int) -> None:
    """Time our search on one and on all threads, and say what it would take at the paper's size."""
    names, texts = made_up_pool(size)
    sizes = ZipSettings().scaled(size)
    rounds = 3
    print(f"\nPool of {size:,} rows, mean {sum(map(len, texts)) / size:,.0f} characters; k = {sizes}\n")
    print("| threads | each row alone, s | a round, s |\n|--:|--:|--:|")
    alone = a_round = 0.0
    for threads in sorted({1, workers}):
        begin = time.perf_counter()
        select(names, texts, 0, ZipSettings(), workers=threads)
        alone = time.perf_counter() - begin
        begin = time.perf_counter()
        select(names, texts, rounds * sizes.k3, ZipSettings(), workers=threads)
        a_round = (time.perf_counter() - begin - alone) / rounds
        print(f"| {threads} | {alone:.2f} | {a_round:.2f} |")
    paper = ZipSettings()
    per_round = a_round * _candidates(paper) / _candidates(sizes)
    for budget in (10_000, 50_000):
        minutes = (alone * 1_000_000 / size + per_round * budget / paper.k3) / 60
        print(f"Extrapolated to 1,000,000 rows, budget {budget:,}, {workers} threads: {minutes:.0f} minutes")


def _candidates(sizes: ZipSettings) -> int:
    """Ratios computed in one round."""
    return sizes.k1 + sum(sizes.k2 - picked for picked in range(sizes.k3))


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, nargs="*", default=[200, 400, 800], help="sizes for the comparison")
    parser.add_argument("--large", type=int, nargs="*", default=[30_000], help="sizes for ours alone")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    print(f"{date.today()}, {platform.platform()}, {platform.processor() or platform.machine()}, ", end="")
    print(f"{arguments.workers} threads, Python {platform.python_version()}, zlib {zlib.ZLIB_RUNTIME_VERSION}\n")
    compare(arguments.pools, arguments.workers)
    for size in arguments.large:
        time_ours(size, arguments.workers)


if __name__ == "__main__":
    main()
