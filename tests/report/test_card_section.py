"""The answer cards, and the warning where a gain is of items whose card changed."""

from dataclasses import replace

import polars as pl
import pytest

from selection_platform.report.answer import answer
from selection_platform.report.card_section import answer_cards, gains_by_card, warnings
from sql.queries import load_sql
from tests.report.frames import CARDS, EVIL, GAINS, data

CELL = ("m", "p", 10)
SCHEMA = ["model", "pool", "budget", "method", "benchmark", "task", "item_id", "difference", "weight", "card_changed"]


def differences(*rows):
    return pl.DataFrame([(*CELL, *row) for row in rows], schema=SCHEMA, orient="row")


def test_gains_add_up_to_the_difference_of_the_averages():
    rows = differences(
        # BBH is the mean of its subsets' means: 100 of one item, and 30 of two.
        ("ifd", "bbh", "one", "a", 100.0, 1.0, True),
        ("ifd", "bbh", "two", "a", 60.0, 1.0, True),
        ("ifd", "bbh", "two", "b", 0.0, 1.0, False),
        # The mean of all items, whatever their tasks: 25.
        ("ifd", "mmlu", "art", "a", 100.0, 1.0, False),
        ("ifd", "mmlu", "law", "b", -20.0, 1.0, True),
        ("ifd", "mmlu", "law", "c", -20.0, 1.0, False),
        ("ifd", "mmlu", "law", "d", 40.0, 1.0, False),
    )
    (found,) = gains_by_card(rows).rows(named=True)
    assert (found["changed"], found["items"]) == (3, 7)
    assert found["of_changed"] == pytest.approx((50 + 15 - 5) / 2)
    assert found["of_others"] == pytest.approx((0 + 25 - 5 + 10) / 2)
    assert found["of_changed"] + found["of_others"] == pytest.approx(((100 + 30) / 2 + 25) / 2)


@pytest.mark.parametrize(
    ("of_changed", "of_others", "warned"),
    [(3.0, 1.0, True), (1.0, 3.0, False), (2.0, 2.0, False), (3.0, -4.0, False), (3.0, -1.0, True), (0.0, 0.0, False)],
)
def test_a_gain_that_is_more_of_changed_cards_is_warned_of(of_changed, of_others, warned):
    rows = pl.DataFrame([(*CELL, "zip", 12, 68, of_changed, of_others)], schema=GAINS.schema, orient="row")
    assert bool(warnings(rows)) == warned


def test_the_section_has_cards_and_other_rules_apart():
    section = answer_cards(CARDS, GAINS)
    assert section is not None
    found, rules = section.tables
    assert list(found.header) == ["arm", "gsm8k found", "gsm8k ended", "mine found", "mine ended"]
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["random", "90.00", "100.00", "", ""],
        ["ifd", "100.00", "75.00", "5.00", "5.00"],
    ]
    assert list(rules.header) == ["arm", "gsm8k equal number", "gsm8k strict match"]
    assert [sentence for sentence in section.paragraphs if sentence.startswith("Warning")] == [
        f"Warning: of what ifd gains over random in m · {EVIL} · 10, 24.75 points of the average, 12.50 come from the "
        "2 of 4 items whose answers were found or ended more often or more seldom, and 12.25 from the others."
    ]
    assert answer_cards(None, None) is None


@pytest.mark.parametrize(("of_changed", "warned"), [(19.0, True), (1.0, False)])
def test_the_answer_warns_of_a_better_arm_alone(of_changed, warned):
    made = data({"average": {"random": [10, 10.1, 10.2], "ifd": [30, 30.1, 30.2], "zip": [10.1]}})
    rows = [("m", EVIL, 10, method, 2, 4, of_changed, 20 - of_changed) for method in ("ifd", "zip")]
    gains = pl.DataFrame(rows, schema=GAINS.schema, orient="row")
    said = [sentence for sentence in answer(replace(made, card_gains=gains)).sentences if "Warning" in sentence]
    assert [sentence.startswith(f"Warning: more of the gain of ifd (m · {EVIL} · 10) comes") for sentence in said] == [
        True
    ] * warned
    assert not [sentence for sentence in answer(made).sentences if "Warning" in sentence]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    """Two random runs and one of zip on two items of GSM8K; zip ends the first, and one random run does not."""
    warehouse = new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")
    runs = {"random s0": ("random", 0, "01 10"), "random s1": ("random", 0, "11 10"), "zip": ("zip", 0, "11 11")}
    for experiment, (method, seed, marks) in runs.items():
        key = f"SELECT '{method}' AS method, 'p' AS pool, 'm' AS model, 10 AS budget, {seed} AS seed"
        warehouse.replace("experiments.keys", {"experiment": experiment}, key)
        ended, right = ([float(mark) for mark in part] for part in marks.split())
        rows = [("ended", f"i{i}", x) for i, x in enumerate(ended)]
        rows += [(metric, f"i{i}", x) for metric in ("equal_number", "strict_match") for i, x in enumerate(right)]
        text = ", ".join(f"('gsm8k', 'gsm8k', '{item}', '{metric}', {x}, 1.0)" for metric, item, x in rows)
        columns = "benchmark, task, item_id, metric, correct, weight"
        warehouse.replace("benchmarks.items", {"experiment": experiment}, f"FROM (VALUES {text}) AS items({columns})")
        means = {"equal_number": sum(right) / 2, "strict_match": sum(right) / 2, "ended": sum(ended) / 2}
        values = ", ".join(f"('gsm8k', '{name}', {x}, {name == 'equal_number'})" for name, x in means.items())
        columns = 'benchmark, metric, "value", "primary"'
        warehouse.replace("benchmarks.results", {"experiment": experiment}, f"FROM (VALUES {values}) AS r({columns})")
    values = {"experiments": list(runs), "pools": ["p"]}
    warehouse.replace("reports.leaderboard", {}, load_sql("90_reports/leaderboard"), values)
    return warehouse


def test_other_metrics_are_no_measures(warehouse):
    rows = warehouse.query("SELECT DISTINCT measure FROM reports.leaderboard ORDER BY measure").rows()
    assert rows == [("average",), ("gsm8k",)]
    averages = warehouse.query(load_sql("70_benchmarks/averages")).rows()
    assert dict(averages) == {"random s0": 0.5, "random s1": 0.5, "zip": 1.0}


def test_an_item_whose_card_changed_is_known(warehouse):
    rows = warehouse.query(load_sql("90_reports/item_differences"))
    assert rows.select("item_id", "difference", "card_changed").rows() == [("i0", 0.0, True), ("i1", 100.0, False)]


def test_cards_are_means_over_seeds(warehouse):
    rows = warehouse.query(load_sql("90_reports/answer_card")).select("method", "metric", "primary", "value").rows()
    assert rows == [
        ("random", "equal_number", True, 50.0),
        ("random", "ended", False, 75.0),
        ("random", "strict_match", False, 50.0),
        ("zip", "equal_number", True, 100.0),
        ("zip", "ended", False, 100.0),
        ("zip", "strict_match", False, 100.0),
    ]
