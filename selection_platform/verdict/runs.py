"""The runs that a verdict is about: ours, or those that a paper reports."""

from typing import NamedTuple

AVERAGE = "average"


class Cell(NamedTuple):
    """What is compared with each other: runs of one base model on selections of one size from one pool.

    Attributes:
        model: the base model.
        pool: the pool.
        budget: samples selected.
    """

    model: str
    pool: str
    budget: int


class Run(NamedTuple):
    """One fine-tuned model's value of one measure.

    Attributes:
        measure: average (of the benchmarks, in percent), a benchmark (in percent) or held_out_loss (bits per byte).
        cell: what it is compared within.
        method: the arm.
        seed: of the draw and of the training.
        value: in the measure's unit.
    """

    measure: str
    cell: Cell
    method: str
    seed: int
    value: float
