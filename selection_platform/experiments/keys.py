"""Experiments: which method chose how many samples of which pool, to fine-tune which base model, with which seed.

Keys name partitions, folders and rows. They are made here and looked up everywhere else.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

MOST_NEAR = 3
NEAR = 0.4
"""Least similarity of a suggested key, from 0 to 1. It is low because a short key is never much like a whole one."""


@dataclass(frozen=True)
class Scoring:
    """A pool as one base model sees it: the unit at which model-based scores are computed."""

    pool: str
    model: str

    @property
    def key(self) -> str:
        """The partition key."""
        return f"{self.pool}/{self.model}"


@dataclass(frozen=True)
class PoolTargets:
    """A target set beside a pool: of some sets the samples are drawn from the pool, and some samples repeat a target.

    Attributes:
        pool: the pool.
        targets: name of the target set.
    """

    pool: str
    targets: str

    @property
    def key(self) -> str:
        """The partition key."""
        return f"{self.pool}/{self.targets}"


class Scored(NamedTuple):
    """A partition of a method's scores.

    Attributes:
        pool: the pool or sub-pool whose samples are scored.
        model: the base model; None where the scores do not depend on it.
    """

    pool: str
    model: str | None


@dataclass(frozen=True)
class SubPool:
    """The samples of a pool with the lowest ids.

    Attributes:
        pool: the whole pool.
        size: how many samples.
    """

    pool: str
    size: int

    @property
    def name(self) -> str:
        """Its name, used wherever a pool's name is."""
        return f"{self.pool}@{_count_text(self.size)}"


@dataclass(frozen=True)
class Experiment:
    """One fine-tuned and evaluated model.

    Attributes:
        method: name of the arm.
        pool: None for the base model, which is trained on nothing.
        model: the base model; None in a profile without models, whose arms only select and score by the pool alone.
        budget: samples to select; None for the whole pool.
        seed: of the draw (where the method draws) and of the training.
        pool_size: samples of the sub-pool that is selected from; None for the whole pool.
    """

    method: str
    pool: str | None
    model: str | None
    budget: int | None
    seed: int
    pool_size: int | None = None

    @property
    def selects_from(self) -> str | None:
        """Name of the pool or sub-pool that is selected from; None for the base model."""
        if self.pool is None or self.pool_size is None:
            return self.pool
        return SubPool(self.pool, self.pool_size).name

    @property
    def base_model(self) -> str:
        """The base model of an experiment that must have one: it is trained, or scored by a model."""
        assert self.model is not None
        return self.model

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the key: method, pool or sub-pool, model, budget and seed, without those that it lacks."""
        if self.pool is None:
            return self.method, str(self.model)
        budget = "all" if self.budget is None else _count_text(self.budget)
        parts = self.method, self.selects_from, self.model, budget, f"s{self.seed}"
        return tuple(part for part in parts if part is not None)

    @property
    def key(self) -> str:
        """The partition key."""
        return "/".join(self.parts)


def find(experiments: Mapping[str, Experiment], key: str) -> list[Experiment]:
    """The experiments that a key matches: a whole key matches one, a short key all that have its parts in this order.

    `ifd/s1` is short for `ifd/chats/qwen2-7b/10k/s1`.

    Args:
        experiments: by key.
        key: whole or short.
    """
    if key in experiments:
        return [experiments[key]]
    wanted = key.split("/")
    return [experiment for experiment in experiments.values() if _has(experiment.parts, wanted)]


def nearest(keys: Iterable[str], key: str) -> list[str]:
    """The keys most similar to one that does not exist, the most similar first; empty if none is similar."""
    return difflib.get_close_matches(key, list(keys), n=MOST_NEAR, cutoff=NEAR)


def _has(parts: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether the parts contain all that is wanted, in this order."""
    left = iter(parts)
    return all(part in left for part in wanted)


def _count_text(samples: int) -> str:
    return f"{samples // 1000}k" if samples >= 1000 and samples % 1000 == 0 else str(samples)
