"""The runs that verdicts compare."""

from typing import NamedTuple

AVERAGE = "average"


class Cell(NamedTuple):
    """The runs that are compared with each other: one base model, on selections of one size from one pool.

    Attributes:
        model: the base model.
        pool: the pool.
        budget: number of selected samples.
    """

    model: str
    pool: str
    budget: int


class Run(NamedTuple):
    """One fine-tuned model's value of one measure.

    Attributes:
        measure: average (of the benchmarks, in percent), a benchmark (in percent) or held_out_loss (bits per byte).
        cell: cell of the run.
        method: the arm.
        seed: seed of the draw and of the training.
        value: value in the measure's unit.
    """

    measure: str
    cell: Cell
    method: str
    seed: int
    value: float
