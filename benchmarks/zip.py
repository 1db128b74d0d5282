"""How long ZIP takes, against compressing the whole list for every candidate as the official code does.

    python benchmarks/zip.py --pools 200 400 800 --budget 10000 --large 100000 1000000

1. What one candidate costs by full recompression, in processor time, at growing lengths of the list: measured.
2. Both searches on the pools of `--pools`, whose picks must be the same: measured. Beside it the time that the costs of
   table 1 give for full recompression, so that one sees how far to trust table 3.
3. Ours on the pools of `--large`, from a Parquet file of samples to one of picks, in a process of its own: measured.
   Full recompression of the same search: extrapolated. Every ratio that the search computes is charged what table 1
   says for the length of its list, which grows by the rows that ours picked. The ratio is that of processor times, so
   that other work on the machine hardly tells, and threads count as if they scaled perfectly. The sum is too little
   rather than too much: a candidate is charged as a row of mean length while long ones are preferred, and building
   the lists and passing them on, which the official code does too, costs nothing.

The pools are made up, and the same in every run. How fast zlib is depends on the text, and the ratio on that: words are
drawn so that it treats them like real chats (`sharegpt-en`: 25.5 MB/s and a ratio of 3.1; here 28.0 and 2.8).
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.configuration.method_settings import ZipScheduleSettings
from selection_platform.methods.zip.picks import write_picks
from selection_platform.methods.zip.selection import ZipSettings, record_text, select
from selection_platform.text.conversation import Message, sample_id, to_records

PAPER = ZipSettings(**ZipScheduleSettings().content())

THREADS = os.cpu_count() or 1
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
LETTER_WEIGHTS = [127, 91, 82, 75, 70, 67, 63, 61, 60, 43, 40, 28, 28, 24, 22, 24, 20, 19, 10, 15, 20, 8, 2, 1, 2, 1]
LIST_LENGTHS = [0, *(4**n for n in range(6, 13)), 2 * 4**12]  # bytes; 4 KiB to 32 MiB
SECONDS_PER_LENGTH = 0.5
ROWS_PER_BATCH = 10_000

Cost = Callable[[float], float]


def conversations() -> Iterator[tuple[str, list[Message]]]:
    """Conversations of made-up words, about 1.7 KB each, all different."""
    rng = random.Random(0)
    words = ["".join(rng.choices(LETTERS, LETTER_WEIGHTS, k=rng.randint(2, 10))) for _ in range(5000)]
    soup = " ".join(rng.choices(words, [1 / (rank + 3) for rank in range(len(words))], k=2_000_000))
    seen: set[str] = set()
    while True:
        length = int(rng.lognormvariate(7.18, 0.7)) + 6
        start = rng.randrange(len(soup) - length)
        middle = start + length // 5
        messages = [Message("user", soup[start:middle]), Message("assistant", soup[middle : start + length])]
        name = sample_id(messages)
        # Two short ones can be the same words.
        if name not in seen:
            seen.add(name)
            yield name, messages


def measure_cost() -> Cost:
    """Table 1. Gives the processor seconds that compressing a list of a length in bytes takes."""
    total, texts = 0, list[bytes]()
    for _, messages in conversations():
        texts.append(record_text(messages).encode())
        total += len(texts[-1])
        if total > LIST_LENGTHS[-1]:
            break
    raw = b", ".join(texts)
    print("Full recompression, one candidate of 1.7 KB, processor time (measured)\n")
    print("| list, MB | ms | MB/s |\n|--:|--:|--:|")
    lengths, seconds = [], []
    for length in LIST_LENGTHS:
        whole, runs, begin = raw[: length + 1700], 0, time.process_time()
        while time.process_time() - begin < SECONDS_PER_LENGTH:
            zlib.compress(whole, 9)
            runs += 1
        lengths.append(len(whole))
        seconds.append((time.process_time() - begin) / runs)
        print(
            f"| {len(whole) / 1e6:.3f} | {1e3 * seconds[-1]:.3f} | {len(whole) / seconds[-1] / 1e6:.1f} |", flush=True
        )

    def cost(length: float) -> float:
        beyond = max(1.0, length / lengths[-1])
        return float(np.interp(length, lengths, seconds)) * beyond

    return cost


def seconds_by_cost(cost: Cost, sizes: ZipSettings, row_lengths: Sequence[int], pick_lengths: Sequence[int]) -> float:
    """Processor seconds that full recompression takes for the same search.

    Args:
        cost: of one candidate, in seconds, by the length of the list in bytes.
        sizes: of a round, scaled to the pool.
        row_lengths: bytes of each of the pool's records.
        pick_lengths: bytes of the picked records, in the order of picking.
    """
    candidate = float(np.mean(row_lengths))
    total = len(row_lengths) * cost(candidate)
    anchor = 0
    for start in range(0, len(pick_lengths), sizes.k3):
        total += sizes.k1 * cost(anchor + candidate)
        picked_now = 0
        for place, length in enumerate(pick_lengths[start : start + sizes.k3]):
            total += (sizes.k2 - place) * cost(picked_now + candidate)
            picked_now += length
        anchor += picked_now
    return total


def full_recompression(names: list[str], texts: list[str], budget: int) -> list[str]:
    """The same search on all threads, where each ratio compresses the whole list. Budgets up to a third of the pool."""
    sizes = PAPER.scaled(len(names))
    by_name = dict(zip(names, texts, strict=True))

    with ThreadPoolExecutor(THREADS) as executor:

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


def compare(pools: list[int], cost: Cost) -> None:
    """Table 2: both searches, each picking a fifth of the pool."""
    print(
        "\nBoth searches, sizes of a round scaled to the pool (measured; in brackets by the costs above, all threads)\n"
    )
    print("| pool | budget | ours, s | full recompression, s | ratio |\n|--:|--:|--:|--:|--:|")
    for size in pools:
        names, messages = zip(*islice(conversations(), size), strict=True)
        texts = [record_text(each) for each in messages]
        begin = time.perf_counter()
        ours = [pick.sample_id for pick in select(names, texts, size // 5, PAPER)]
        middle = time.perf_counter()
        full = full_recompression(list(names), texts, size // 5)
        end = time.perf_counter()
        if ours != full:
            raise SystemExit(f"the picks differ on the pool of {size:,} rows")
        length = dict(zip(names, map(len, texts), strict=True))
        by_cost = seconds_by_cost(cost, PAPER.scaled(size), list(length.values()), [length[name] for name in ours])
        print(
            f"| {size:,} | {size // 5:,} | {middle - begin:.2f} | {end - middle:.2f} ({by_cost / THREADS:.2f}) | "
            f"{(end - middle) / (middle - begin):,.0f} |",
            flush=True,
        )


def write_samples(path: Path, rows: int) -> None:
    """The pool as a Parquet file, with the length in bytes of each record."""
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("sample_id", pa.string()), ("messages", pa.list_(message)), ("bytes", pa.int64())])
    source = conversations()
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, ROWS_PER_BATCH):
            batch = [
                {
                    "sample_id": name,
                    "messages": to_records(messages)[0],
                    "bytes": len(record_text(messages)),
                }
                for name, messages in islice(source, min(ROWS_PER_BATCH, rows - start))
            ]
            writer.write_table(pa.Table.from_pylist(batch, schema))


def run_ours(folder: Path, budget: int) -> None:
    """Pick, and print seconds, processor seconds and peak memory in bytes as JSON."""
    begin = time.perf_counter()
    write_picks(folder / "samples.parquet", budget, PAPER, folder)
    seconds = time.perf_counter() - begin
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps([seconds, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit]))


def time_large(pools: list[int], budget: int, cost: Cost) -> None:
    """Table 3."""
    print(f"\nOurs, Parquet to Parquet (measured), and full recompression (EXTRAPOLATED); {THREADS} threads\n")
    print("| pool | text, GB | budget | ours, s | processor, s | peak memory, GiB | full, processor hours | ratio |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for rows in pools:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_samples(folder / "samples.parquet", rows)
            command = [sys.executable, __file__, "--budget", str(budget), "--folder", name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            seconds, processor, peak = json.loads(done.stdout)
            samples = pq.read_table(folder / "samples.parquet", columns=["sample_id", "bytes"]).to_pydict()
            picked = pq.read_table(folder / "picks.parquet")["sample_id"].to_pylist()
        length = dict(zip(samples["sample_id"], samples["bytes"], strict=True))
        by_cost = seconds_by_cost(cost, PAPER.scaled(rows), samples["bytes"], [length[sample] for sample in picked])
        print(
            f"| {rows:,} | {sum(samples['bytes']) / 1e9:.2f} | {len(picked):,} | {seconds:.1f} | {processor:.1f} | "
            f"{peak / 2**30:.2f} | {by_cost / 3600:,.1f} | {by_cost / processor:,.0f} |",
            flush=True,
        )


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, nargs="*", default=[200, 400, 800], help="sizes for the comparison")
    parser.add_argument("--large", type=int, nargs="*", default=[20_000], help="sizes for ours alone")
    parser.add_argument("--budget", type=int, default=1000, help="rows to pick from those of --large")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        run_ours(arguments.folder, arguments.budget)
        return
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.platform()}, {platform.processor() or platform.machine()}, ", end=""
    )
    print(f"{THREADS} threads, Python {platform.python_version()}, zlib {zlib.ZLIB_RUNTIME_VERSION}\n")
    cost = measure_cost()
    compare(arguments.pools, cost)
    time_large(arguments.large, arguments.budget, cost)


if __name__ == "__main__":
    main()
