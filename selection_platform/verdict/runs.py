"""The runs that a verdict is about: ours, or those that a paper reports."""

import csv
from importlib.resources import files
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


def paper_runs() -> list[Run]:
    """The averages of "Rethinking Data Selection at Scale" (arXiv 2410.09335), 10,000 samples, in percent.

    The main results for Qwen2-7B and Llama3-8B: five random runs, one run of each method, the base model and all data.
    They are taken from a review that quotes the paper's table of averages, and agree with the numbers that other
    reviews quote; the table itself was not at hand. Numbers of single benchmarks could not be read.

    The paper's script sets the training seed to 0: if all five random runs used it, they vary by the draw alone, and
    not, as ours do, by the order of training too.
    """
    text = files("selection_platform.verdict").joinpath("paper.csv").read_text(encoding="utf-8")
    return [
        Run(
            AVERAGE,
            Cell(row["model"], row["pool"], int(row["budget"])),
            row["method"],
            int(row["seed"]),
            float(row["value"]),
        )
        for row in csv.DictReader(text.splitlines())
    ]
