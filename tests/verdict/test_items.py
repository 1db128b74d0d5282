"""The interval over items is of the number that is shown: by hand, and beside the textbook's standard errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from resources.warehouse import Warehouse
from selection_platform.evaluation.results import mean_and_stderr
from selection_platform.verdict.items import ItemInterval, Items, item_interval, seeds_and_items
from selection_platform.verdict.statistics import compare
from selection_platform.verdict.tables import over_items
from sql.queries import load_sql


def items(values, weights=None):
    """values: differences of items by subset."""
    difference = [value for of_subset in values.values() for value in of_subset]
    subset = [name for name, of_subset in values.items() for _ in of_subset]
    return Items(np.array(difference, float), np.array(weights or [1.0] * len(subset)), np.array(subset))


def test_items_count_by_weight_and_benchmarks_alike():
    found = item_interval({"a": items({"": [10, 0]}, [1.0, 3.0]), "b": items({"": [4, 4, 4]})})
    assert found.difference == pytest.approx((2.5 + 4) / 2)
    # One of the two items is drawn: 10 or 0, with a chance of a half each.
    assert (found.low, found.high) == (pytest.approx(2), pytest.approx(7))


def test_subsets_count_alike_whatever_their_sizes():
    small, large = [10.0, 0.0], [1.0] * 98
    assert item_interval({"bbh": items({"a": small, "b": large})}).difference == pytest.approx((5 + 1) / 2)
    assert item_interval({"mmlu": items({"": small + large})}).difference == pytest.approx(108 / 100)


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.sampled_from([-100.0, 0.0, 100.0]), min_size=2, max_size=9), min_size=1
    )
)
@settings(max_examples=20)
def test_the_standard_error_is_that_of_the_benchmarks_own_number(values):
    expected, error = mean_and_stderr(values, macro=True)
    found = item_interval({"bbh": items(values)})
    assert found.difference == pytest.approx(expected)
    # 10,000 draws know it to 1%; three times that, and more where few items are nearly always equal.
    assert found.error == pytest.approx(error, rel=0.06, abs=1e-9)


def test_subsets_of_one_item_are_drawn_from_each_other():
    found = item_interval({"bbh": items({"a": [0.0], "b": [100.0], "c": [0.0], "d": [100.0]}, [1, 2, 3, 4])})
    # Of four means of subsets: variance 10,000 / 3, over 4 of them.
    assert (found.difference, found.error) == (50, pytest.approx(math.sqrt(10_000 / 3 / 4), rel=0.04))
    assert item_interval({"bbh": items({"a": [7.0], "b": [1.0, 3.0]})}) == (4.5, None, None, None)


@pytest.mark.slow
def test_the_interval_over_seeds_and_items_holds_the_truth():
    """Arms, runs, items and what an item does in one run, each by chance; 2,000 experiments of no true difference."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(2000):
        of_items, of_runs = generator.normal(0, 5, 40), generator.normal(0, 1, 6)
        values = of_runs[:, None] + generator.normal(0, 3, (6, 40))
        # The arm, run 0, does better or worse on an item than random ones do.
        values[0] += of_items
        compared = compare([values[0].mean()], values[1:].mean(axis=1).tolist())
        differences = values[0] - values[1:].mean(axis=0)
        error = differences.std(ddof=1) / math.sqrt(40)
        both = seeds_and_items(compared, ItemInterval(compared.difference, None, None, error))
        assert both is not None
        held += both[0] < 0 < both[1]
    # The standard error of the share is half a percent.
    assert 0.94 < held / 2000 < 0.99


def test_seeds_and_items_are_both_needed():
    compared = compare([16], [10, 11, 12])
    both = seeds_and_items(compared, ItemInterval(5, 4, 6, 1.0))
    # Variances 4/3 and 1, and Satterthwaite's 2 (7/3)^2 / (4/3)^2 = 6.125 degrees of freedom.
    half = stats.t.isf(0.025, 6.125) * math.sqrt(7 / 3)
    assert both == (pytest.approx(5 - half), pytest.approx(5 + half))
    assert seeds_and_items(compare([16], [10]), ItemInterval(5, 4, 6, 1.0)) is None
    assert seeds_and_items(compared, ItemInterval(5, None, None, None)) is None


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """Two arms on BBH with subsets of 1 and 3 items, and on GSM8K; two subsets have an item of the same content."""
    warehouse = Warehouse(folder=str(tmp_path_factory.mktemp("warehouse")))
    right = {"random/p/m/2/s0": "0110 01", "ifd/p/m/2/s0": "1010 11"}
    for experiment, marks in right.items():
        method = experiment.split("/")[0]
        warehouse.replace(
            "experiments.keys",
            {"experiment": experiment},
            f"SELECT '{method}' AS method, 'p' AS pool, 'm' AS model, 2 AS budget, 0 AS seed",
        )
        of_bbh, of_gsm8k = ([float(mark) for mark in part] for part in marks.split())
        rows = [("bbh", f"bbh_{'one' if i == 0 else 'two'}", f"i{max(i - 1, 0)}", x) for i, x in enumerate(of_bbh)]
        rows += [("gsm8k", "gsm8k", f"i{i}", x) for i, x in enumerate(of_gsm8k)]
        text = ", ".join(f"('{b}', '{task}', '{item}', 'exact_match', {x}, 1.0)" for b, task, item, x in rows)
        warehouse.replace(
            "benchmarks.items",
            {"experiment": experiment},
            f"FROM (VALUES {text}) AS items(benchmark, task, item_id, metric, correct, weight)",
        )
        values = {"bbh": (of_bbh[0] + sum(of_bbh[1:]) / 3) / 2, "gsm8k": sum(of_gsm8k) / 2}
        text = ", ".join(f"('{name}', 'exact_match', {value}, true)" for name, value in values.items())
        warehouse.replace(
            "benchmarks.results",
            {"experiment": experiment},
            f'FROM (VALUES {text}) AS results(benchmark, metric, "value", "primary")',
        )
    warehouse.replace(
        "reports.leaderboard", {}, load_sql("90_reports/leaderboard"), {"experiments": list(right), "pools": ["p"]}
    )
    return warehouse


def test_the_interval_is_of_the_difference_that_the_leaderboard_has(warehouse):
    (found,) = over_items(warehouse.query(load_sql("90_reports/item_differences"))).values()
    board = warehouse.query(
        "SELECT arm, \"value\" FROM reports.leaderboard WHERE measure = 'average' ORDER BY arm"
    ).rows()
    assert [arm for arm, _ in board] == ["ifd", "random"]
    assert found.difference == pytest.approx(board[0][1] - board[1][1])
    # BBH: +1 of one item, and -1, 0 and 0 of three; GSM8K: +1 and 0.
    assert found.difference == pytest.approx((100 * (1 - 1 / 3) / 2 + 50) / 2)
