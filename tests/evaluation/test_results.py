import math

import pytest

from selection_platform.evaluation.results import ItemResult, mean_and_stderr, numbered, summarise


def test_micro_average_weighs_items_and_macro_average_subtasks():
    values = {"one": [1.0, 1.0, 0.0, 0.0], "two": [1.0, 1.0]}
    # Items: mean 4/6, variance (4 * (1/3)^2 + 2 * (2/3)^2) / 5 = 4/15, over 6 items.
    assert mean_and_stderr(values, macro=False) == (pytest.approx(2 / 3), pytest.approx(math.sqrt(4 / 15 / 6)))
    # Subtasks: means 1/2 and 1; variances 1/3 over 4 items and 0.
    assert mean_and_stderr(values, macro=True) == (0.75, pytest.approx(math.sqrt(1 / 3 / 4) / 2))


def test_one_item_has_no_standard_error():
    assert mean_and_stderr({"one": [1.0], "two": [0.0, 1.0]}, macro=True) == (0.75, None)
    assert mean_and_stderr({"one": [1.0]}, macro=False) == (1.0, None)


def test_primary_metric_comes_first():
    items = [
        ItemResult("ifeval", "t", str(index), metric, value, 1.0, "text")
        for index, values in enumerate([(0.0, 1.0), (1.0, 1.0)])
        for metric, value in zip(("strict", "loose"), values, strict=True)
    ]
    strict, loose = summarise(items, macro=False, primary="strict", higher_is_better={"strict": True, "loose": True})
    assert (strict.metric, strict.value, strict.items, strict.primary) == ("strict", 0.5, 2, True)
    assert (loose.metric, loose.value, loose.primary) == ("loose", 1.0, False)


def test_repeated_ids_are_numbered():
    seen: dict[str, int] = {}
    assert [numbered(item, seen) for item in ("a", "b", "a", "a")] == ["a", "b", "a#2", "a#3"]
