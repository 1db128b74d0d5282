"""The order of training: which rows a step has, and how devices share them as micro-batches."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

Counts = NDArray[np.int64]


class Plan(Protocol):
    """How a step's rows become micro-batches that fit a device's memory.

    Rows are given by their tokens, longest first.
    """

    def fits(self, lengths: Counts, places: int) -> bool:
        """Whether so many micro-batches can hold the rows."""
        ...

    def groups(self, lengths: Counts, places: int) -> list[list[int]]:
        """At most so many micro-batches, as alike as they can be, the dearest first; none if they cannot hold the rows.

        Each has numbers of rows in `lengths`.
        """
        ...


@dataclass(frozen=True)
class Packed:
    """Rows lie end to end, so any rows can share a micro-batch: each goes to the one that has least to do so far.

    Attributes:
        most: tokens that a micro-batch can have; a whole number of the longest rows.
        square: a row of n tokens takes as long as n + `square` x n^2 tokens without attention.
    """

    most: int
    square: float

    def fits(self, lengths: Counts, places: int) -> bool:
        """Whether so many micro-batches can hold the rows.

        They can where each has room for its share of the rows if all were as long as the longest: a micro-batch without
        room for a row then has its share.
        """
        return int(lengths.sum()) <= places * self.most and bool(self.groups(lengths, places))

    def groups(self, lengths: Counts, places: int) -> list[list[int]]:
        """As in `Plan`."""
        found: list[list[int]] = [[] for _ in range(places)]
        tokens, least = [0] * places, [(0.0, number) for number in range(places)]
        costs = lengths + self.square * lengths.astype(np.float64) ** 2
        for row, (length, cost) in enumerate(zip(lengths.tolist(), costs.tolist(), strict=True)):
            full: list[tuple[float, int]] = []
            while least and tokens[least[0][1]] + length > self.most:
                full.append(heapq.heappop(least))
            if not least:
                return []
            spent, number = least[0]
            heapq.heapreplace(least, (spent + cost, number))
            found[number].append(row)
            tokens[number] += length
            # A shorter row may fit.
            for each in full:
                heapq.heappush(least, each)
        return [found[number] for _, number in sorted(least, key=lambda each: (-each[0], each[1])) if found[number]]


@dataclass(frozen=True)
class Padded:
    """Rows are padded to the longest of their micro-batch, so neighbours in length share one.

    Attributes:
        most: tokens that a micro-batch can have, padding included; at least those of the longest row.
        rows: rows that it can have; any number if None, which several devices need to be alike.
    """

    most: int
    rows: int | None = None

    def fits(self, lengths: Counts, places: int) -> bool:
        """Whether so many micro-batches can hold the rows."""
        return len(self._neighbours(lengths, self.most)) <= places

    def groups(self, lengths: Counts, places: int) -> list[list[int]]:
        """As in `Plan`."""
        if not self.fits(lengths, places):
            return []
        low, high = int(lengths[0]), self.most
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if len(self._neighbours(lengths, middle)) <= places else (middle + 1, high)
        found = self._neighbours(lengths, low)
        return sorted(found, key=lambda rows: int(lengths[rows[0]]) * len(rows), reverse=True)

    def _neighbours(self, lengths: Counts, most: int) -> list[list[int]]:
        """Sorted rows cut into groups, each with as many rows as have `most` tokens with padding, and at least one."""
        found: list[list[int]] = []
        start = 0
        while start < len(lengths):
            count = min(max(1, most // int(lengths[start])), self.rows or len(lengths))
            found.append(list(range(start, min(len(lengths), start + count))))
            start += count
        return found


class EpochOrder(Sampler[tuple[int, ...]]):
    """The micro-batches of an epoch, in order. They depend only on seed and epoch: resuming needs no random state.

    Rows are shuffled, and each global batch is then cut into micro-batches. A step's gradient is a sum over its global
    batch, so the plan decides only which rows share a micro-batch: the optimisation is the same.

    Devices wait for each other, so each has the same number of micro-batches in each step, as few as fit its memory;
    where there are too few rows, some are blank. Micro-batch i is for device i modulo `devices`.

    Args:
        lengths: tokens of each row.
        global_batch: rows per optimiser step.
        seed: seed of the shuffling.
        plan: how a step is cut.
        devices: that share the work.
        epochs: for how many epochs the rounds of a step must do.

    Attributes:
        rounds: micro-batches per step on each device.
    """

    def __init__(
        self, lengths: Sequence[int], global_batch: int, seed: int, plan: Plan, devices: int = 1, epochs: int = 1
    ) -> None:
        self.lengths = np.array(lengths, dtype=np.int64)
        self.global_batch = global_batch
        self.seed = seed
        self.plan = plan
        self.devices = devices
        self.epoch = 0
        self.rounds = 1
        for step in (step for epoch in range(epochs) for step in self._steps(epoch)):
            while not plan.fits(self.lengths[step], self.rounds * devices):
                self.rounds += 1

    @property
    def steps_in_epoch(self) -> int:
        """Number of optimiser steps in an epoch; the last may have fewer rows."""
        return -(-len(self.lengths) // self.global_batch)

    def __len__(self) -> int:
        return self.steps_in_epoch * self.rounds * self.devices

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        for step in self._steps(self.epoch):
            for rows in self._dealt(self.lengths[step]):
                yield tuple(step[rows].tolist()) or (len(self.lengths),)

    def _steps(self, epoch: int) -> Iterator[Counts]:
        """The rows of each step of an epoch, longest first."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths))
        for start in range(0, len(order), self.global_batch):
            batch = order[start : start + self.global_batch]
            yield batch[np.argsort(-self.lengths[batch], kind="stable")]

    def _dealt(self, lengths: Counts) -> list[list[int]]:
        """A step's micro-batches for all devices and rounds; empty ones are blank."""
        places = self.rounds * self.devices
        # What fits fewer places may not fit more, as each row goes where least is to do.
        found = next(found for count in range(places, 0, -1) if (found := self.plan.groups(lengths, count)))
        found += [[]] * (places - len(found))
        # The dearest first in one round and last in the next, so that each device has some of both.
        turns = [found[start : start + self.devices] for start in range(0, places, self.devices)]
        return [rows for number, turn in enumerate(turns) for rows in (turn[::-1] if number % 2 else turn)]
