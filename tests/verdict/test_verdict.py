"""Verdicts on hand-worked numbers, on the paper's table, and through the command line."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from selection_platform.cli.main import main
from selection_platform.verdict.runs import Cell, Run, paper_runs
from selection_platform.verdict.statistics import Comparison, adjust, compare, seeds_to_see
from selection_platform.verdict.verdicts import verdicts

CELL = Cell("m", "p", 10)


def test_one_run_is_compared_with_where_one_new_random_run_would_lie():
    # Mean 11, standard deviation 1, three runs: t of two degrees of freedom at 97.5% is 4.3027; sqrt(1 + 1/3) = 1.1547.
    found = compare([16], [10, 11, 12])
    assert found.difference == pytest.approx(5)
    assert found.visible == pytest.approx(4.3027 * 1.1547, abs=1e-3)
    assert (found.low, found.high) == (pytest.approx(5 - 4.9683, abs=1e-3), pytest.approx(5 + 4.9683, abs=1e-3))
    # P(|T2| > x) = 1 - x / sqrt(2 + x^2).
    statistic = 5 / math.sqrt(4 / 3)
    assert found.p_value == pytest.approx(1 - statistic / math.sqrt(2 + statistic**2))
    assert found.spread == 1


def test_several_runs_are_compared_by_their_means():
    # Equal variances of 1 in both: standard error sqrt(1/3 + 1/3), four degrees of freedom, t at 97.5% is 2.7764.
    found = compare([13, 14, 15], [10, 11, 12])
    assert found.difference == pytest.approx(3)
    assert found.visible == pytest.approx(2.7764 * math.sqrt(2 / 3), abs=1e-3)
    # Two one-sided tests at 5%: t at 95% is 2.1318.
    assert found.equivalent_within == pytest.approx(3 + 2.1318 * math.sqrt(2 / 3), abs=1e-3)


def test_lower_is_better_turns_the_sign():
    assert compare([9], [10, 11, 12], higher_is_better=False).difference == pytest.approx(2)


def has_no_interval(found):
    numbers = (found.low, found.p_value, found.equivalent_within, found.spread)
    return numbers == (None,) * 4 and found.word(1) == "not enough seeds"


@pytest.mark.parametrize("random", [[10], [10, 10, 10], [50, 50, 50 + 1e-13], [1.3, 1.3 * (1 + 1e-12)], [0.0, 0.0]])
def test_too_few_or_equal_random_runs_give_no_interval(random):
    for arm in ([16], [16, 17], [50, 50], [50 + 1e-13]):
        assert has_no_interval(compare(arm, random))


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_random_runs_give_no_verdict_at_any_score(seeds):
    # NumPy's standard deviation of 116 of these is not 0.
    scores = [100 * right / 541 for right in range(542)]
    for arm in (1, seeds):
        for step in (-1, 1):
            assert all(has_no_interval(compare([score + step] * arm, [score] * seeds)) for score in scores)


def test_the_smallest_true_step_gives_a_verdict():
    # One item of 100,000 in one of five benchmarks.
    step = 100 / 100_000 / 5
    assert compare([90 + 40 * step], [90, 90, 90 + step]).word(1) == "better"
    assert compare([90, 90], [90, 90, 90 + step]).word(1) == "same"


def test_an_arm_whose_runs_are_equal_is_compared_by_the_spread_of_random(recwarn):
    # Standard error sqrt(0 + 1/3), two degrees of freedom.
    found = compare([16, 16, 16], [10, 11, 12])
    assert found.visible == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert compare([16 + 1e-14, 16, 16], [10, 11, 12]).p_value == pytest.approx(found.p_value)
    assert not recwarn.list


SCORES = st.integers(0, 541).map(lambda right: 100 * right / 541)
RUNS = st.lists(SCORES, min_size=1, max_size=5)


@given(RUNS, RUNS, st.floats(-100, 100), st.floats(0.01, 100))
def test_the_word_depends_on_neither_the_zero_nor_the_unit(arm, random, shift, unit):
    found = compare(arm, random)
    assume(found.p_value is None or abs(found.p_value - 0.05) > 1e-6)
    assume(found.equivalent_within is None or abs(found.equivalent_within - 1) > 1e-6)
    moved = [[(value + shift) * unit for value in runs] for runs in (arm, random)]
    assert compare(*moved).word(unit) == found.word(1)
    lower_is_better = compare(*([-value for value in runs] for runs in moved), higher_is_better=False)
    assert lower_is_better.word(unit) == found.word(1)


def test_runs_must_be_numbers():
    with pytest.raises(ValueError, match="NaN"):
        compare([math.nan], [1, 2])
    with pytest.raises(ValueError, match="at least one run"):
        compare([], [1, 2])


def comparison(p_value, difference=1.0, equivalent_within=9.0):
    return Comparison(1, 5, difference, -1, 1, 1, p_value, p_value, equivalent_within, 1)


def test_holm_multiplies_the_smallest_by_their_number_and_never_falls():
    # 0.01 * 3, 0.02 * 2, max(0.04, 0.03 * 1); what has no p-value is not counted.
    found = adjust([comparison(0.03), comparison(None), comparison(0.01), comparison(0.02)])
    assert [each.p_adjusted for each in found] == [
        pytest.approx(0.04),
        None,
        pytest.approx(0.03),
        pytest.approx(0.04),
    ]


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        (comparison(0.04), "better"),
        (comparison(0.04, difference=-1.0), "worse"),
        (comparison(0.06), "not enough seeds"),
        (comparison(0.06, equivalent_within=0.5), "same"),
    ],
)
def test_the_words(numbers, word):
    assert numbers.word(margin=0.5) == word


def test_seeds_that_a_difference_needs():
    # The textbook's two groups of 17 for a difference of one standard deviation at a power of 0.8.
    assert seeds_to_see(1, 1) == 17
    assert seeds_to_see(100, 1) == 2
    assert seeds_to_see(0.01, 1) is None


def test_no_random_run_is_an_error():
    with pytest.raises(ValueError, match="m on p: there is no random run"):
        verdicts([Run("average", CELL, "ifd", 0, 1.0)], {}, 1.0)


def test_the_papers_table_has_no_method_above_random_and_eight_of_24_below():
    runs = paper_runs()
    assert len(runs) == 4 * (5 + 8)
    found = [each for each in verdicts(runs, {}, 1.0) if each.method not in ("base", "all_data")]
    assert len(found) == 24
    assert sum((each.comparison.low or 0) > 0 for each in found) == 0
    assert sum((each.comparison.high or 0) < 0 for each in found) == 8
    # All looks together: LESS on WildChat with Qwen2 alone.
    assert [(each.cell.pool, each.method) for each in found if each.word == "worse"] == [("wildchat", "less")]


def test_the_command_on_the_papers_table(capsys):
    assert main(["verdict", "--reference", "paper"]) == 0
    text = capsys.readouterr().out
    assert "2 lie above their interval of no difference" in text
    assert "qwen2-7b · openhermes · 10,000: 5 random runs, 58.11 on average, standard deviation 0.80" in text
    assert main(["verdict", "--reference", "paper", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 32
    less = next(row for row in rows if row["method"] == "less" and row["pool"] == "wildchat")
    assert (less["verdict"], less["difference"]) == ("worse", pytest.approx(53.81 - 59.158))


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "much"])
def test_a_margin_is_above_0(margin, capsys):
    with pytest.raises(SystemExit):
        main(["verdict", "--margin", margin])
    assert "is not a margin: a number above 0" in capsys.readouterr().err
