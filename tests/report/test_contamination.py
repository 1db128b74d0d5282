import polars as pl
import pytest

from selection_platform.report.contamination import contamination, owed_to_items, with_and_without

CELL = {"model": "m", "pool": "p", "budget": 10}
KEY = ("m", "p", 10)


def differences(method, values, benchmark="gsm8k"):
    return [
        {
            **CELL,
            "method": method,
            "benchmark": benchmark,
            "task": "t",
            "item_id": item,
            "difference": value,
            "weight": 1.0,
        }
        for item, value in values.items()
    ]


ROWS = pl.DataFrame(
    [
        # A gain of 20 points on four items and of 10 on one: 15. All of the former comes from items a and b.
        *differences("ifd", {"a": 100.0, "b": 100.0, "c": 0.0, "d": -120.0}),
        *differences("ifd", {"x": 10.0}, "mmlu"),
        *differences("zip", {"a": 0.0, "b": 0.0, "c": 40.0, "d": 40.0}),
        *differences("zip", {"x": 10.0}, "mmlu"),
    ]
)
HELD = pl.DataFrame(
    [
        {**CELL, "method": "random", "samples": 0.5, "items": ["d"]},
        {**CELL, "method": "ifd", "samples": 3.0, "items": ["a", "b"]},
        {**CELL, "method": "zip", "samples": 1.0, "items": ["never evaluated"]},
    ]
)


def of_method(rows, method):
    return rows.filter(pl.col("method") == method).drop("model", "pool", "budget", "method").row(0)


def test_gains_with_and_without_the_items_that_are_held():
    rows = with_and_without(ROWS, HELD)
    # Without a, b and random's d: (0 + 10) / 2.
    assert of_method(rows, "ifd") == (3.0, 3, 5, 15.0, 5.0)
    # Without d: ((0 + 0 + 40) / 3 + 10) / 2.
    assert of_method(rows, "zip") == (1.0, 1, 5, 15.0, pytest.approx((40 / 3 + 10) / 2))
    assert of_method(rows, "random") == (0.5, 0, 0, None, None)


def test_an_item_of_the_same_content_as_an_earlier_one_is_held_too():
    rows = pl.DataFrame(differences("ifd", {"a": 50.0, "a#2": 50.0, "c": 10.0}))
    held = HELD.filter(pl.col("method") == "ifd")
    assert of_method(with_and_without(rows, held), "ifd") == (3.0, 2, 3, pytest.approx(110 / 3), 10.0)


def test_no_gain_is_left_where_a_benchmark_has_no_other_item():
    held = HELD.with_columns(items=pl.lit(["x"], dtype=pl.List(pl.String)))
    assert of_method(with_and_without(ROWS, held), "zip") == (1.0, 1, 5, 15.0, None)


def test_arms_that_owe_over_half_of_their_gain_are_named():
    rows = with_and_without(ROWS, HELD)
    assert owed_to_items(rows, [(*KEY, "ifd"), (*KEY, "zip")]) == [
        "Of the gain of ifd (m · p · 10), +15.00 points, +5.00 are left without the 3 benchmark items that its samples "
        "or those of random runs hold."
    ]
    assert owed_to_items(rows, []) == []


def test_the_section_shows_each_arm_or_says_that_none_holds_any():
    section = contamination(with_and_without(ROWS, HELD))
    assert section is not None
    assert [[cell.text for cell in row] for row in section.tables[0].rows] == [
        ["random", "0.5", "", "", ""],
        ["ifd", "3.0", "3 of 5", "+15.00", "+5.00"],
        ["zip", "1.0", "1 of 5", "+15.00", "+11.67"],
    ]
    none = HELD.with_columns(samples=0.0, items=pl.lit([], dtype=pl.List(pl.String)))
    section = contamination(with_and_without(ROWS, none))
    assert section is not None
    assert (section.tables, section.paragraphs[-1]) == ((), "No selected sample holds one.")
