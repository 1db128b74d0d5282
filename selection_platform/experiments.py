"""Experiments: which method chose how many samples of which pool, to fine-tune which base model, with which seed.

Keys name partitions, folders and rows. They are made here and looked up everywhere else, never taken apart.
"""

from dataclasses import dataclass


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
class Experiment:
    """One fine-tuned and evaluated model.

    Attributes:
        method: name of the arm.
        pool: None for the base model, which is trained on nothing.
        model: the base model.
        budget: samples to select; None for the whole pool.
        seed: of the draw (where the method draws) and of the training.
    """

    method: str
    pool: str | None
    model: str
    budget: int | None
    seed: int

    @property
    def key(self) -> str:
        """The partition key."""
        if self.pool is None:
            return f"{self.method}/{self.model}"
        return f"{self.method}/{self.pool}/{self.model}/{_budget_text(self.budget)}/s{self.seed}"


def _budget_text(budget: int | None) -> str:
    if budget is None:
        return "all"
    return f"{budget // 1000}k" if budget >= 1000 and budget % 1000 == 0 else str(budget)
