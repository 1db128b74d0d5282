"""How much of their time the devices of a training wait for each other, and how much they compute padding.

    python -m benchmarks.training_balance --devices 4 8

A simulation of the paper's recipe (128 conversations a step, 4 on each device at once, cut at 4,096 tokens) on the
lengths of both packaged pools. Lengths are characters / 4.2; a micro-batch takes as long as it has tokens, padding
included. Three plans of the same steps:

1. rows: a step's rows are sorted, longest first, cut into micro-batches of four, and dealt to the devices in turn.
2. padded: as training does it. A step's sorted rows are cut where the padded micro-batches become most alike, whatever
   their rows.
3. tokens: rows go to the micro-batch with the fewest tokens so far, the longest first. This needs attention that keeps
   the rows of a micro-batch apart, since nothing is padded.

The last two make as few micro-batches as hold the tokens of four rows of 4,096. "Whole": devices that have the whole
model wait at the end of a step. "Split": they wait after each micro-batch, as blocks are gathered together.
"""

import argparse
import heapq
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.training.batches import EpochOrder

POOLS = ("instruct-mix", "sharegpt-en")
GLOBAL_BATCH, AT_ONCE, LONGEST = 128, 4, 4096
BUDGET = AT_ONCE * LONGEST

Counts = NDArray[np.int64]
Plan = Callable[[Counts, int, int], Sequence[Counts]]


def turns_of(pool: str) -> list[list[int]]:
    """Characters of each turn of each conversation, with ten for what a template puts around it."""
    with tempfile.TemporaryDirectory() as folder:
        write_raw_pool(PoolSettings.model_validate({"source": {"package": pool}, "on_bad_row": "skip"}), Path(folder))
        parts = [pq.read_table(file) for file in sorted(Path(folder).glob("*.parquet"))]
    # Of the record, quotes and names are left out.
    records = (json.loads(record) for part in parts for record in part["record"].to_pylist())
    return [[len(turn["content"]) + 10 for turn in record["messages"]] for record in records]


def lengths_of(pool: str) -> Counts:
    """Tokens of each conversation, after the cut."""
    characters = np.array([sum(turns) for turns in turns_of(pool)])
    return np.minimum(np.rint(characters / CHARACTERS_PER_TOKEN).astype(np.int64) + 1, LONGEST)


def by_rows(step: Counts, _: int, __: int) -> list[Counts]:
    """Micro-batches of so many rows, in order."""
    return [step[start : start + AT_ONCE] for start in range(0, len(step), AT_ONCE)]


def by_padding(step: Counts, devices: int, rounds: int) -> list[Counts]:
    """Neighbours together, so that the largest padded micro-batch is as small as it can be."""
    low, high = int(step[0]), int(step[0]) * len(step)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(step, middle)) <= devices * rounds else (middle + 1, high)
    return _filled(step, low)


def _filled(step: Counts, most: int) -> list[Counts]:
    """Neighbours together, as many as have so many padded tokens."""
    found, start = [], 0
    while start < len(step):
        end = start + max(1, most // int(step[start]))
        found.append(step[start:end])
        start = end
    return found


def by_tokens(step: Counts, devices: int, rounds: int) -> list[Counts]:
    """Each row, the longest first, to the micro-batch with the fewest tokens."""
    bins = [(0, number) for number in range(devices * rounds)]
    rows: list[list[int]] = [[] for _ in bins]
    for length in step.tolist():
        tokens, number = heapq.heappop(bins)
        rows[number].append(length)
        heapq.heappush(bins, (tokens + length, number))
    return [np.array(each, dtype=np.int64) for each in rows]


def simulate(lengths: Counts, devices: int, plan: Plan, *, padded: bool) -> tuple[float, float, float]:
    """Idle share of devices with the whole model and with a split one, and the share of padding."""
    order = np.array([row for batch in EpochOrder(lengths.tolist(), GLOBAL_BATCH, 0, AT_ONCE) for row in batch])
    whole = split = busy = text = 0
    for start in range(0, len(order) - GLOBAL_BATCH + 1, GLOBAL_BATCH):
        step = lengths[order[start : start + GLOBAL_BATCH]]
        rounds, batches = 1, plan(step, devices, 1)
        while max(_cost(batch, padded=padded) for batch in batches) > BUDGET:
            rounds += 1
            batches = plan(step, devices, rounds)
        costs = np.array([_cost(batch, padded=padded) for batch in batches])
        costs = -np.sort(-np.pad(costs, (0, -len(costs) % devices))).reshape(-1, devices)
        # Longest first in one round and last in the next, so that each device has some of both.
        dealt = costs if plan is by_rows else np.where(np.arange(len(costs))[:, None] % 2, costs[:, ::-1], costs)
        whole += devices * int(dealt.sum(axis=0).max())
        split += devices * int(dealt.max(axis=1).sum())
        busy += int(costs.sum())
        text += int(step.sum())
    return 1 - busy / whole, 1 - busy / split, 1 - text / busy


def _cost(batch: Counts, *, padded: bool) -> int:
    if not len(batch):
        return 0
    return int(len(batch) * batch.max()) if padded else int(batch.sum())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[4, 8])
    devices = parser.parse_args().devices
    print("| pool | devices | plan | idle, whole | idle, split | padding | not text, whole | split |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for pool in POOLS:
        lengths = lengths_of(pool)
        for count in devices:
            for name, plan in (("rows", by_rows), ("padded", by_padding), ("tokens", by_tokens)):
                whole, split, padding = simulate(lengths, count, plan, padded=plan is not by_tokens)
                lost = (1 - (1 - idle) * (1 - padding) for idle in (whole, split))
                cells = " | ".join(f"{share:.1%}" for share in (whole, split, padding, *lost))
                print(f"| {pool} ({len(lengths):,} of {lengths.mean():.0f} tokens) | {count} | {name} | {cells} |")


if __name__ == "__main__":
    main()
