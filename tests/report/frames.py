"""Hand-made tables for a page: one model and pool, with numbers that can be worked out in the head."""

from dataclasses import replace

import polars as pl

from selection_platform.report.costs import PARTS, Arm, ExperimentCost, Spent, arm_costs
from selection_platform.report.data import PICK_SCHEMA, Margins, ReportData
from selection_platform.report.item_outcomes import counted
from selection_platform.verdict.runs import Cell, Run
from selection_platform.verdict.tables import run_rows, verdict_rows
from selection_platform.verdict.verdicts import LOSS, verdicts, with_random

EVIL = '<img src="https://example.org/x.png">&"'
CELL = Cell("m", EVIL, 10)
MARGINS = Margins(1.0, 0.01)
VALUES = {
    "average": {"random": [10, 11, 12], "ifd": [15], "zip": [5, 5.5], "base": [11]},
    LOSS: {"random": [2.0, 2.1, 2.2], "ifd": [2.0], "zip": [3.0, 3.0], "base": [2.1]},
    "mmlu": {"random": [10, 11, 12], "ifd": [15], "zip": [5, 5.5], "base": [11]},
}


def runs(values=VALUES):
    return [
        Run(measure, CELL, method, seed, value)
        for measure, methods in values.items()
        for method, of_method in methods.items()
        for seed, value in enumerate(of_method)
    ]


def data(values=VALUES, costs=(), **tables):
    made = runs(values)
    found = verdicts(with_random(made), {LOSS: MARGINS.loss}, MARGINS.points)
    about = ReportData("Test", "Invented.", MARGINS, run_rows(made), verdict_rows(found, {}))
    return replace(about, costs=costs, tables=tables)


def curve(values):
    """Rows of `reports.pool_size_curve`: random runs of 10, 11 and 12, and values of methods by pool size."""
    rows = [("average", "m", EVIL, 10, 400, True, "random", seed, 10.0 + seed) for seed in range(3)]
    rows += [
        ("average", "m", EVIL, 10, size, size == 400, method, 0, float(value))
        for method, sizes in values.items()
        for size, value in sizes.items()
    ]
    names = ["measure", "model", "pool", "budget", "pool_size", "whole", "method", "seed", "value"]
    return pl.DataFrame(rows, schema=names, orient="row")


ABLATION = pl.DataFrame(
    {
        "measure": ["average", "average"], "model": ["m", "m"], "pool": [EVIL, EVIL], "budget": [10, 10],
        "method": ["ifd", "less"], "runs": [1, 1], "clustered_runs": [2, 1], "value": [16.0, 12.0],
        "clustered_value": [14.5, 12.0], "gain": [-1.5, 0.0],
    }
)  # fmt: skip
OVERLAP = pl.DataFrame(
    {
        "pool": [EVIL] * 3, "model": ["m"] * 3, "budget": [10] * 3, "one": ["random", "random", "ifd"],
        "other": ["ifd", "zip", "zip"], "shared": [2, 0, 7], "by_chance": [2.5] * 3,
    }
)  # fmt: skip
PROFILE = pl.DataFrame(
    [
        (EVIL, "m", 10, "random", "source", 1, "<b>books</b>", 5, 15, 0.5, 0.75),
        (EVIL, "m", 10, "random", "source", 2, "$x$", 5, 5, 0.5, 0.25),
        (EVIL, "m", 10, "random", "turns", 1, "1", 10, 20, 1.0, 1.0),
        (EVIL, "m", 10, "ifd", "source", 1, "<b>books</b>", 10, 15, 1.0, 0.75),
        (EVIL, "m", 10, "ifd", "source", 2, "$x$", 0, 5, 0.0, 0.25),
        (EVIL, "m", 10, "ifd", "turns", 1, "1", 10, 20, 1.0, 1.0),
    ],
    schema=[
        "pool", "model", "budget", "method", "trait", "place", "value", "selected", "there", "share", "pool_share",
    ],
    orient="row",
)  # fmt: skip
COSTS = arm_costs(
    [
        ExperimentCost(f"{method} s{seed}", part, Spent(cpu_seconds=seconds, forward_flops=2 * seconds))
        for method, seeds, selecting in (("random", 3, 1.0), ("ifd", 1, 63.0))
        for seed in range(seeds)
        for part, seconds in zip(PARTS, (selecting, 2 * selecting, 20.0, 10.0), strict=True)
    ],
    {f"{method} s{seed}": Arm(method, *CELL) for method, seeds in (("random", 3), ("ifd", 1)) for seed in range(seeds)},
)
TRAINING = pl.DataFrame(
    [
        ("ifd/10/s0", "m", EVIL, 10, "ifd", 0, 10, 8, 3, 2, 60, 20),
        ("zip/10/s0", "m", EVIL, 10, "zip", 0, 10, 10, 0, 0, 90, 0),
        ("zip/10/s1", "m", EVIL, 10, "zip", 1, 10, 10, 1, 0, 90, None),
        ("all_data/s0", "m", EVIL, None, "all_data", 0, 1200, 1200, 1, 0, 999, 1),
    ],
    schema=[
        "experiment", "model", "pool", "budget", "method", "seed", "selected", "trained", "cut", "dropped",
        "answer_tokens", "answer_tokens_cut",
    ],
    orient="row",
)  # fmt: skip
HOSTILE = "</div><script>alert(1)</script>\x1b[2J \u202egnp.exe"
"""HTML, an escape sequence of terminals, and a turn of the writing direction."""
PICKS = pl.DataFrame(
    [
        ("ifd", "ifd", "m", EVIL, 10, 0, 1, "a1", EVIL, "CC0", [
            {"role": "user", "content": HOSTILE},
            {"role": "assistant", "content": "long " * 300},
            *({"role": role, "content": "more"} for role in ("user", "assistant", "user", "assistant", "user")),
        ]),
        ("ifd", "ifd", "m", EVIL, 10, 0, 2, "b2", None, None, None),
        ("random", "random", "m", EVIL, 10, 0, 1, "b2", None, None, None),
    ],
    schema=PICK_SCHEMA,
    orient="row",
)  # fmt: skip
# On m1 the arm and random runs differ by rounding alone.
DIFFERENCES = pl.DataFrame(
    [
        ("m", EVIL, 10, "ifd", "gsm8k", "gsm8k", "g1", 100.0, 1.0),
        ("m", EVIL, 10, "ifd", "gsm8k", "gsm8k", "g2", -50.0, 1.0),
        ("m", EVIL, 10, "ifd", "mmlu", "mmlu_art", "m1", -1e-14, 1.0),
        ("m", EVIL, 10, "ifd", "mmlu", "mmlu_law", "m2", 50.0, 1.0),
        ("m", EVIL, 10, "base", "mmlu", "mmlu_art", "m1", 0.0, 1.0),
    ],
    schema=["model", "pool", "budget", "method", "benchmark", "task", "item_id", "difference", "weight"],
    orient="row",
)
CARDS = pl.DataFrame(
    [
        ("m", EVIL, 10, method, "gsm8k", metric, metric == "equal_number", value)
        for method, values in (("random", (40.0, 90.0, 100.0, 30.0)), ("ifd", (50.0, 100.0, 75.0, 30.0)))
        for metric, value in zip(("equal_number", "answer_found", "ended", "strict_match"), values, strict=True)
    ]
    # A benchmark of one rule.
    + [("m", EVIL, 10, "ifd", "mine", metric, metric == "exact", 5.0) for metric in ("exact", "answer_found", "ended")],
    schema=["model", "pool", "budget", "method", "benchmark", "metric", "primary", "value"],
    orient="row",
)
# What the items of DIFFERENCES come to, if the card of gsm8k's changed.
GAINS = pl.DataFrame(
    [("m", EVIL, 10, "ifd", 2, 4, 12.5, 12.25), ("m", EVIL, 10, "base", 0, 1, 0.0, 0.0)],
    schema=[*["model", "pool", "budget", "method"], "changed", "items", "of_changed", "of_others"],
    orient="row",
)
EVERYTHING = {
    "answer_card": CARDS,
    "items_won_and_lost": counted(DIFFERENCES),
    "diversity_ablation": ABLATION,
    "selection_overlap": OVERLAP,
    "selection_profile": PROFILE,
    "training": TRAINING,
}
