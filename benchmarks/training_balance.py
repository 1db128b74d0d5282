"""How much of their time the devices of a training wait for each other, and how much they compute padding.

    python -m benchmarks.training_balance --devices 4 8

A simulation of the paper's recipe (128 conversations a step, 4 on each device at once, cut at 4,096 tokens) on the
lengths of both packaged pools. Lengths are characters / 4.2. A micro-batch takes as long as its tokens do, padding
included, and attention adds to that what it adds at Qwen2-7B: 6% to a row of 4,096 tokens. Three plans of the same
steps:

1. rows: a step's rows are sorted, longest first, cut into micro-batches of four, and dealt to the devices in turn.
2. padded: a step's sorted rows are cut where the padded micro-batches become most alike, whatever their rows. Training
   does this with models whose attention cannot keep rows apart.
3. packed: rows go to the micro-batch that has least to do so far, the longest first, and nothing is padded. Training
   does this with all other models.

The last two make as few micro-batches as hold the tokens of four rows of 4,096. "Whole": devices that have the whole
model wait at the end of a step. "Split": they wait after each micro-batch, as blocks are gathered together.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.training.order import Counts, EpochOrder, Packed, Padded

POOLS = ("instruct-mix", "sharegpt-en")
GLOBAL_BATCH, AT_ONCE, LONGEST = 128, 4, 4096
BUDGET = AT_ONCE * LONGEST
SQUARE = 28 * 3584 / 6_525_288_448
"""Layers x width of attention / weights of the decoder's matrices, of Qwen2-7B."""


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


def dealt(order: EpochOrder) -> Iterator[list[Counts]]:
    """The lengths in each step's micro-batches, those of one round side by side."""
    places = order.rounds * order.devices
    batches = [order.lengths[[row for row in batch if row < len(order.lengths)]] for batch in order]
    for start in range(0, len(batches), places):
        yield batches[start : start + places]


def by_rows(order: EpochOrder) -> Iterator[list[Counts]]:
    """Micro-batches of so many rows, in order."""
    for step in dealt(order):
        lengths = -np.sort(-np.concatenate(step))
        yield [lengths[start : start + AT_ONCE] for start in range(0, len(lengths), AT_ONCE)]


def simulate(lengths: Counts, devices: int, name: str) -> tuple[float, float, float]:
    """Idle share of devices with the whole model and with a split one, and the share of padding."""
    plan = Packed(BUDGET, SQUARE) if name == "packed" else Padded(BUDGET)
    order = EpochOrder(lengths.tolist(), GLOBAL_BATCH, 0, plan, devices)
    whole = split = busy = text = 0.0
    for batches in by_rows(order) if name == "rows" else dealt(order):
        if sum(map(len, batches)) < GLOBAL_BATCH:
            continue
        costs = np.array([cost(batch if name == "packed" else np.full(len(batch), batch.max())) for batch in batches])
        costs = np.pad(costs, (0, -len(costs) % devices)).reshape(-1, devices)
        whole += devices * costs.sum(axis=0).max()
        split += devices * costs.max(axis=1).sum()
        busy += costs.sum()
        text += sum(map(cost, batches))
    return 1 - busy / whole, 1 - busy / split, 1 - text / busy


def cost(lengths: Counts) -> float:
    """How long rows take that are computed together, in tokens without attention."""
    return float((lengths + SQUARE * lengths.astype(np.float64) ** 2).sum())


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
            for name in ("rows", "padded", "packed"):
                whole, split, padding = simulate(lengths, count, name)
                lost = (1 - (1 - idle) * (1 - padding) for idle in (whole, split))
                cells = " | ".join(f"{share:.1%}" for share in (whole, split, padding, *lost))
                print(f"| {pool} ({len(lengths):,} of {lengths.mean():.0f} tokens) | {count} | {name} | {cells} |")


if __name__ == "__main__":
    main()
