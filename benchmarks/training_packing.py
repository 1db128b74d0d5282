"""How fast a CPU trains on packed conversations, against padded ones.

    python -m benchmarks.training_packing

Forward and backward passes of a model of the demo's size (hidden 192, 4 layers, vocabulary 4,096), one thread, on
conversations as long as those of the packaged pools (characters / 4.2); the second half of each is trained on. Both
ways do the same steps, in turns. "rows" is how one device padded before: a step's rows, longest first, so many at a
time. CPU seconds are the least of three turns.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.training_balance import POOLS, lengths_of
from selection_platform.job.compute import cost_of_pairs
from selection_platform.models.packed_attention import packed_attention
from selection_platform.training.batches import Row, collate, pack
from selection_platform.training.loss import loss_in_parts
from selection_platform.training.order import Counts, EpochOrder, Packed

SIZES = ((32, 8, 2, 384), (64, 64, 4, 1024))
"""Conversations, those of a step, of the longest at once, and tokens at which they are cut."""
VOCABULARY, TURNS = 4096, 3

Batches = Sequence[Sequence[int]]


def new_model() -> LlamaForCausalLM:
    """Random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=3,
        max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def by_rows(lengths: Counts, global_batch: int, at_once: int) -> Iterator[list[int]]:
    """So many rows at a time, the longest of each step first."""
    order = np.random.default_rng([0, 0]).permutation(len(lengths))
    for start in range(0, len(order), global_batch):
        step = order[start : start + global_batch]
        step = step[np.argsort(-lengths[step], kind="stable")]
        yield from (step[first : first + at_once].tolist() for first in range(0, len(step), at_once))


def seconds(model: LlamaForCausalLM, rows: Sequence[Row], batches: Batches, *, packed: bool) -> float:
    """CPU time of a pass over all micro-batches."""
    model.zero_grad()
    started = time.process_time()
    with loss_in_parts(model), packed_attention(model) if packed else nullcontext():
        for numbers in batches:
            batch = (pack if packed else collate)([rows[number] for number in numbers])
            model(**batch, num_items_in_batch=1000)["loss"].backward()
    return time.process_time() - started


def compare(lengths: Counts, global_batch: int, at_once: int) -> str:
    """The cells of a row of the table."""
    generator, model = np.random.default_rng(0), new_model()
    rows = [Row(generator.integers(0, VOCABULARY, n, np.int32), np.arange(n) > n // 2) for n in lengths]
    plan = Packed(at_once * int(lengths.max()), cost_of_pairs(model))
    ways = {
        False: list(by_rows(lengths, global_batch, at_once)),
        True: [batch for batch in EpochOrder(lengths.tolist(), global_batch, 0, plan) if batch != (len(rows),)],
    }
    taken = [{packed: seconds(model, rows, each, packed=packed) for packed, each in ways.items()} for _ in range(TURNS)]
    padded, packed = (min(each[way] for each in taken) for way in ways)
    return f"{len(ways[False])} / {len(ways[True])} | {padded:.2f} | {packed:.2f} | {padded / packed:.2f}"


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    print("| pool | conversations, in a step, at once, cut | tokens | micro-batches | rows, s | packed, s | ratio |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for pool in POOLS:
        every = np.random.default_rng(1).permutation(lengths_of(pool))
        for count, global_batch, at_once, cut in SIZES:
            lengths = np.minimum(every[:count], cut)
            sizes = f"{count}, {global_batch}, {at_once}, {cut:,}"
            print(
                f"| {pool} | {sizes} | {lengths.mean():.0f} | {compare(lengths, global_batch, at_once)} |", flush=True
            )


if __name__ == "__main__":
    main()
