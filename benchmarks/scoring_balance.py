"""How much of their time the processes of a scoring pass wait for the last one.

    python -m benchmarks.scoring_balance --processes 8 32

A simulation on the lengths of both packaged pools: as they are, and drawn from them for a pool of a million. A shard
takes as long as it has tokens, padding included, in the pass over prompt and answer and in that over the answer alone.
Three plans of the same samples, longest first:

1. rows: shards of so many samples, dealt to the processes in turn.
2. claimed: the same shards; a process that is free takes the next one.
3. tokens: as scoring does it. Shards are also cut by tokens, and claimed.
"""

import argparse
import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.training_balance import LONGEST, POOLS, turns_of
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN
from selection_platform.models.batching import batches, shard_slices

MILLION = 1_000_000
TOKENS_PER_BATCH = 65_536

Counts = NDArray[np.int64]


def lengths_of(pool: str) -> tuple[Counts, Counts]:
    """Tokens of each conversation, and of its last turn alone."""
    turns = [each for each in turns_of(pool) if each]
    whole, last = np.array([(sum(each), each[-1]) for each in turns]).T
    joint, answer = (np.rint(each / CHARACTERS_PER_TOKEN).astype(np.int64) + 1 for each in (whole, last))
    return np.minimum(joint, LONGEST), np.minimum(answer, LONGEST)


def costs_of(joint: Counts, answer: Counts, shards: Sequence[slice]) -> list[int]:
    """Padded tokens of each shard's two passes, in batches as scoring makes them."""
    return [
        sum(
            len(rows) * int(lengths[part][rows[0]])
            for lengths in (joint, answer)
            for rows in batches(lengths[part], TOKENS_PER_BATCH)
        )
        for part in shards
    ]


def dealt(costs: Sequence[int], processes: int) -> float:
    """Idle share where each process has every n-th shard."""
    return 1 - sum(costs) / processes / max(sum(costs[first::processes]) for first in range(processes))


def claimed(costs: Sequence[int], processes: int) -> float:
    """Idle share where a process that is free takes the next shard."""
    free = [0] * processes
    for cost in costs:
        heapq.heapreplace(free, free[0] + cost)
    return 1 - sum(costs) / processes / max(free)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--samples-per-shard", type=int, default=10_000)
    options = parser.parse_args()
    processes, per_shard = options.processes, options.samples_per_shard
    print("| pool | processes | rows, dealt | rows, claimed | tokens, claimed | shards | padding, rows | tokens |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for pool in POOLS:
        whole, last = lengths_of(pool)
        drawn = np.random.default_rng(0).integers(0, len(whole), MILLION)
        for chosen in (np.arange(len(whole)), drawn):
            chosen = chosen[np.argsort(-whole[chosen], kind="stable")]
            joint, answer = whole[chosen], last[chosen]
            rows = [slice(start, start + per_shard) for start in range(0, len(joint), per_shard)]
            tokens = list(shard_slices(joint, per_shard))
            text = int(joint.sum() + answer.sum())
            of_rows, of_tokens = costs_of(joint, answer, rows), costs_of(joint, answer, tokens)
            padding = " | ".join(f"{1 - text / sum(costs):.1%}" for costs in (of_rows, of_tokens))
            for count in processes:
                idle = (dealt(of_rows, count), claimed(of_rows, count), claimed(of_tokens, count))
                cells = " | ".join(f"{share:.1%}" for share in idle)
                size = f"{pool} ({len(joint):,} of {joint.mean():.0f} tokens)"
                print(f"| {size} | {count} | {cells} | {len(rows)}, {len(tokens):,} | {padding} |")


if __name__ == "__main__":
    main()
