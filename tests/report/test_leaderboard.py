import polars as pl

from selection_platform.report.leaderboard import markdown_leaderboards
from selection_platform.text.tables import ranks

ROWS = [
    ("average", "base", "m", "p", 10.0),
    ("average", "base", "m", "q", 10.0),
    ("average", "random s0", "m", "p", 12.0),
    ("average", "random s0", "m", "q", 9.0),
    ("average", "ifd", "m", "p", 12.0),
    ("average", "ifd", "m", "q", 11.5),
    ("average", "zip", "m", "p", 11.0),
    ("gsm8k", "base", "m", "p", 10.0),
    ("gsm8k", "ifd", "m", "p", 10.0),
    ("held_out_loss", "base", "m", "p", 2.5),
    ("held_out_loss", "random s0", "m", "p", 2.25),
    ("held_out_loss", "ifd", "m", "p", 2.75),
]


def test_best_and_second_of_each_column_are_marked():
    results = pl.DataFrame(ROWS, schema=["measure", "arm", "model", "pool", "value"], orient="row")
    tables = markdown_leaderboards(results)
    assert list(tables) == [
        "Average of gsm8k, in percent (higher is better)",
        "Held-out loss, in bits per byte of the pool's held-out answers (lower is better)",
        "gsm8k, in percent (higher is better)",
    ]
    average, held_out_loss, gsm8k = tables.values()
    assert "*" not in gsm8k
    assert average.splitlines() == [
        "| arm       |     m · p |     m · q |",
        "| :-------- | --------: | --------: |",
        "| base      |     10.00 |   _10.00_ |",
        "| random s0 | **12.00** |      9.00 |",
        "| ifd       | **12.00** | **11.50** |",
        "| zip       |   _11.00_ |           |",
    ]
    assert held_out_loss.splitlines()[2:] == [
        "| base      |   _2.5000_ |",
        "| random s0 | **2.2500** |",
        "| ifd       |     2.7500 |",
    ]


def test_values_that_differ_by_rounding_share_a_rank():
    twice = {"a": 0.1 + 0.2, "b": 0.3, "c": 0.2, "d": None, "e": 0.1}
    assert ranks(twice, higher_is_better=True) == {"a": "best", "b": "best", "c": "second"}
    assert ranks(twice, higher_is_better=False) == {"e": "best", "c": "second"}
    assert ranks({"a": 0.1 + 0.2, "b": 0.3}, higher_is_better=True) == {}
