"""Verdicts on hand-worked numbers, on the paper's table, and through the command line."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from selection_platform.cli.main import main
from selection_platform.verdict.results_table import paper_runs
from selection_platform.verdict.runs import Cell, Run
from selection_platform.verdict.statistics import (
    Comparison,
    Spread,
    adjust,
    compare,
    detectable,
    holm,
    pooled_spread,
    seeds_to_see,
)
from selection_platform.verdict.tables import verdict_rows, verdicts_of
from selection_platform.verdict.verdicts import LOSS, verdicts
from selection_platform.verdict.words import counts_in_words, shown_measures

CELL = Cell("m", "p", 10)


def pooled_of(verdict):
    assert verdict.pooled is not None
    return verdict.pooled


def word_of(comparison, margin):
    """The verdict of a comparison that is looked at by itself."""
    return adjust([comparison], margin)[0].word


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
    return numbers == (None,) * 4 and word_of(found, 1) == "not enough seeds"


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
    assert word_of(compare([90 + 40 * step], [90, 90, 90 + step]), 1) == "better"
    assert word_of(compare([90, 90], [90, 90, 90 + step]), 1) == "same"


def test_an_arm_whose_runs_are_equal_is_compared_by_the_spread_of_random(recwarn):
    # Standard error sqrt(0 + 1/3), two degrees of freedom.
    found = compare([16, 16, 16], [10, 11, 12])
    assert found.visible == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert compare([16 + 1e-14, 16, 16], [10, 11, 12]).p_value == pytest.approx(found.p_value)
    assert not recwarn.list


SCORES = st.integers(0, 541).map(lambda right: 100 * right / 541)
RUNS = st.lists(SCORES, min_size=1, max_size=5)


@pytest.mark.slow
@given(RUNS, RUNS, st.floats(-100, 100), st.floats(0.01, 100))
def test_the_word_depends_on_neither_the_zero_nor_the_unit(arm, random, shift, unit):
    found = compare(arm, random)
    assume(found.p_value is None or abs(found.p_value - 0.05) > 1e-6)
    assume(found.equivalent_within is None or abs(found.equivalent_within - 1) > 1e-6)
    moved = [[(value + shift) * unit for value in runs] for runs in (arm, random)]
    assert word_of(compare(*moved), unit) == word_of(found, 1)
    lower_is_better = compare(*([-value for value in runs] for runs in moved), higher_is_better=False)
    assert word_of(lower_is_better, unit) == word_of(found, 1)


def test_runs_must_be_numbers():
    with pytest.raises(ValueError, match="NaN"):
        compare([math.nan], [1, 2])
    with pytest.raises(ValueError, match="at least one run"):
        compare([], [1, 2])


@given(RUNS, RUNS, st.floats(0.01, 30))
def test_by_itself_the_same_is_what_two_one_sided_tests_say(arm, random, margin):
    found = compare(arm, random)
    assume(found.equivalent_within is not None and abs(found.equivalent_within - margin) > 1e-6)
    (adjusted,) = adjust([found], margin)
    assert (adjusted.p_same_adjusted < 0.05) == (found.equivalent_within < margin)


@pytest.mark.slow
@given(st.lists(SCORES, min_size=2, max_size=6), st.lists(SCORES, min_size=2, max_size=6))
def test_several_runs_give_the_wider_of_scipys_two_intervals(arm, random):
    found = compare(arm, random)
    assume(found.p_value is not None and np.ptp(arm) > 0)
    both = [stats.ttest_ind(arm, random, equal_var=equal) for equal in (False, True)]
    widths = [each.confidence_interval().high - each.confidence_interval().low for each in both]
    assume(len(arm) == len(random) or abs(widths[0] - widths[1]) > 1e-6)
    expected = both[0] if widths[0] >= widths[1] * (1 - 1e-9) else both[1]
    interval = expected.confidence_interval()
    assert (found.p_value, found.low, found.high) == (
        pytest.approx(expected.pvalue), pytest.approx(interval.low), pytest.approx(interval.high),
    )  # fmt: skip
    assert found.freedom == pytest.approx(expected.df)


def test_the_base_model_is_compared_with_the_mean_of_random_runs():
    # It has no seed: standard error 1 / sqrt(3), where another run's would be sqrt(1 + 1/3).
    found = compare([16], [10, 11, 12], arm_varies=False)
    assert found.visible == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    expected = stats.ttest_1samp([10, 11, 12], 16)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.spread_assumed, compare([16], [10, 11, 12]).spread_assumed) == (False, True)
    assert compare([16, 17], [10, 11, 12]).spread_assumed is False


def test_holm_multiplies_the_smallest_by_their_number_and_never_falls():
    # 0.01 * 3, 0.02 * 2, max(0.04, 0.03 * 1); what has no p-value is not counted.
    assert holm([0.03, None, 0.01, 0.02]) == [pytest.approx(0.04), None, pytest.approx(0.03), pytest.approx(0.04)]


@given(st.lists(st.floats(0, 1), max_size=9), st.floats(0.001, 0.5))
def test_holm_rejects_step_by_step(p_values, level):
    """As the method is described: the smallest is tried first, and the first that fails ends it."""
    rejected, left = set(), sorted(range(len(p_values)), key=lambda index: p_values[index])
    while left and p_values[left[0]] * len(left) < level:
        rejected.add(left.pop(0))
    adjusted = holm(p_values)
    assert {index for index, p_value in enumerate(adjusted) if p_value is not None and p_value < level} == rejected


def comparison(p_value, difference=1.0, p_same=0.9):
    return Comparison(1, 5, difference, p_value=p_value, p_adjusted=p_value, p_same_adjusted=p_same)


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        (comparison(0.04), "better"),
        (comparison(0.04, difference=-1.0), "worse"),
        (comparison(0.06), "not enough seeds"),
        (comparison(0.06, p_same=0.04), "same"),
        # A difference that is seen is one, also where it is too small to matter.
        (comparison(0.04, p_same=0.04), "better"),
        (Comparison(1, 1, 1.0), "not enough seeds"),
    ],
)
def test_the_words(numbers, word):
    assert numbers.word == word


def test_the_same_is_adjusted_like_better():
    # By itself: |T4| with a standard error of sqrt(1.2) s; the margin is chosen for a p-value of 0.03.
    random = [10.0, 11.0, 12.0, 13.0, 14.0]
    one = compare([12.0], random)
    assert one.standard_error is not None
    margin = float(one.standard_error * stats.t.isf(0.03, 4))
    alone, together = adjust([one], margin)[0], adjust([one, one, compare([12.0], [1.0])], margin)[0]
    assert (alone.p_same, alone.word) == (pytest.approx(0.03), "same")
    assert (together.p_same_adjusted, together.word) == (pytest.approx(0.06), "not enough seeds")
    assert (alone.compared, together.compared) == (1, 2)


def test_what_is_detectable_is_seen_four_times_in_five():
    generator = np.random.default_rng(0)
    random = [10.0, 11.0, 12.0, 13.0, 14.0]
    spread = np.std(random, ddof=1)
    for compared in (1, 24):
        effect = (detectable(compare([12.0], random), compared) or 0) / spread
        arm, draws = effect + generator.normal(size=40_000), generator.normal(size=(40_000, 5))
        error = draws.std(axis=1, ddof=1) * math.sqrt(1.2)
        seen = (arm - draws.mean(axis=1)) / error > stats.t.isf(0.025 / compared, 4)
        assert seen.mean() == pytest.approx(0.8, abs=0.01)


def test_one_spread_for_several_groups():
    # Sums of squares 2 and 8, two degrees of freedom each; groups of two, or of equal runs, are left out.
    pooled = pooled_spread([[10, 11, 12], [20, 22, 24], [1, 9], [5, 5, 5]])
    assert pooled is not None
    (deviation, freedom), equal_p = pooled
    assert (deviation, freedom) == (pytest.approx(math.sqrt(10 / 4)), 4)
    # By hand: distances from the medians 1, 0, 1 and 2, 0, 2; means 2/3 and 4/3, F = (2/3) / (10/3 / 4) with 1 and 4.
    assert equal_p == pytest.approx(stats.f.sf((2 / 3) / (10 / 3 / 4), 1, 4))
    assert pooled_spread([[10, 11, 12], [5, 5, 5]]) is None
    found = compare([16], [10, 11, 12], spread=Spread(2.0, 9))
    assert (found.standard_error, found.freedom, found.spread) == (pytest.approx(2 * math.sqrt(1 + 1 / 3)), 9, 2)


def test_seeds_that_a_difference_needs():
    # The textbook's two groups of 17 for a difference of one standard deviation at a power of 0.8.
    assert seeds_to_see(1, 1) == 17
    assert seeds_to_see(100, 1) == 2
    assert seeds_to_see(0.01, 1) is None


def test_seeds_that_the_papers_columns_need():
    values = {}
    for run in paper_runs():
        if run.method == "random":
            values.setdefault(run.cell, []).append(run.value)
    spreads = [float(np.std(of_cell, ddof=1)) for of_cell in values.values()]
    assert [seeds_to_see(1, spread) for spread in spreads] == [12, 5, 15, 8]
    # At Holm's first step, by which verdicts are given.
    assert [seeds_to_see(1, spread, 24) for spread in spreads] == [23, 10, 29, 15]


def test_no_random_run_is_an_error():
    with pytest.raises(ValueError, match="m on p: there is no random run"):
        verdicts([Run("average", CELL, "ifd", 0, 1.0)], {}, 1.0)


def test_the_papers_table_has_no_method_above_random_and_eight_of_24_below():
    runs = paper_runs()
    assert len(runs) == 4 * (5 + 8)
    found = [each for each in verdicts(runs, {}, 1.0) if each.family == "method"]
    assert len(found) == 24
    assert sum((each.comparison.low or 0) > 0 for each in found) == 0
    assert sum((each.comparison.high or 0) < 0 for each in found) == 8
    # All looks together: LESS on WildChat with Qwen2 alone.
    assert [(each.cell.pool, each.method) for each in found if each.word == "worse"] == [("wildchat", "less")]
    # With one spread for all cells, 5 would stand.
    pooled = [pooled_of(each) for each in found]
    assert {(round(each.spread or 0, 2), each.freedom, round(each.equal_spreads_p, 2)) for each in pooled} == {
        (0.73, 16, 0.79)
    }
    assert sorted((each.cell.model, each.method) for each in found if pooled_of(each).word == "worse") == [
        ("llama3-8b", "entropy"),
        ("llama3-8b", "ifd"),
        ("qwen2-7b", "entropy"),
        ("qwen2-7b", "ifd"),
        ("qwen2-7b", "less"),
    ]


def test_controls_are_a_family_of_their_own():
    found = verdicts(paper_runs(), {}, 1.0)
    methods = [each for each in found if each.family == "method"]
    controls = [each for each in found if each.family == "control"]
    assert ({each.method for each in controls}, len(controls)) == ({"base", "all_data"}, 8)
    assert {each.word for each in controls if each.method == "base"} == {"worse"}
    assert ({each.comparison.compared for each in methods}, {each.comparison.compared for each in controls}) == (
        {24},
        {8},
    )
    without = verdicts([run for run in paper_runs() if run.method not in ("base", "all_data")], {}, 1.0)
    assert [(each.comparison.p_adjusted, each.word) for each in without] == [
        (each.comparison.p_adjusted, each.word) for each in methods
    ]


def of_measures(**values):
    return [
        Run(measure, CELL, method, seed, value)
        for measure, methods in values.items()
        for method, of_method in methods.items()
        for seed, value in enumerate(of_method)
    ]


def test_one_measure_is_primary():
    values = {"random": [10, 11, 12], "ifd": [16]}
    runs = of_measures(mmlu=values, average=values, held_out_loss=values)

    def roles(found):
        return {each.measure: each.role for each in found}

    assert roles(verdicts(runs, {}, 1)) == {
        "mmlu": "exploratory", "average": "primary", LOSS: "exploratory"
    }  # fmt: skip
    assert roles(verdicts(of_measures(held_out_loss=values), {}, 1)) == {LOSS: "primary"}
    named = verdicts(runs, {}, 1, "mmlu")
    assert [measure for measure, role in roles(named).items() if role == "primary"] == ["mmlu"]
    assert shown_measures(named) == ["mmlu", "average", LOSS]
    assert shown_measures(verdicts(runs, {}, 1)) == ["average", LOSS]


def test_spreads_that_differ_are_not_pooled():
    random = [0.0, 1.0, 2.0, 3.0, 4.0]
    runs = [Run("average", CELL._replace(pool=pool), method, seed, factor * value)
            for pool, factor in (("p", 1), ("q", 100))
            for method, values in (("random", random), ("ifd", [9.0]))
            for seed, value in enumerate(values)]  # fmt: skip
    pooled = [pooled_of(each) for each in verdicts(runs, {}, 1)]
    assert [(each.word, each.spread) for each in pooled] == [(None, None)] * 2
    assert pooled[0].equal_spreads_p < 0.05
    assert [each.pooled for each in verdicts(runs[:6], {}, 1)] == [None]


def test_a_table_of_an_earlier_version_is_read():
    made = verdicts(of_measures(average={"random": [10, 11, 12], "ifd": [40], "base": [1]}), {}, 1)
    rows = verdict_rows(made, {})
    assert verdicts_of(rows) == made
    (method, control) = verdicts_of(rows.select(rows.columns[: rows.columns.index("role")]))
    assert (method.family, control.family, method.role, method.word) == ("method", "control", "primary", made[0].word)


def test_methods_and_controls_are_counted_apart():
    made = verdicts(of_measures(average={"random": [10, 11, 12], "ifd": [40], "base": [1]}), {}, 1)
    methods, controls = counts_in_words(made, 1).split(" Of ")
    assert methods.startswith("Of 1 comparisons of a method: looked at one by one, 1 lie above")
    assert controls.startswith("1 comparisons of a control (base), a family of their own: looked at one by one, 0 lie")


def test_the_command_on_the_papers_table(capsys):
    assert main(["verdict", "--reference", "paper"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Of 24 comparisons of a method: looked at one by one, 0 lie above" in text
    assert "0 would be better, 5 worse and 0 the same" in text
    assert "28 of 32 comparisons have one run of an arm" in text
    sentence = text[text.index("qwen2-7b · openhermes · 10,000: ") :]
    assert "5 random runs, 58.11 on average, standard deviation 0.80; 95% of new ones lie within 2.44" in sentence
    assert "half the time, and of 3.31 four times in five. Among 24 comparisons, that takes 7.78" in sentence
    assert "takes 12 seeds of each arm in a single comparison, and 23 among 24." in sentence
    assert main(["verdict", "--reference", "paper", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 32
    less = next(row for row in rows if row["method"] == "less" and row["pool"] == "wildchat")
    assert (less["verdict"], less["difference"]) == ("worse", pytest.approx(53.81 - 59.158))


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "much"])
def test_a_margin_is_above_0(margin, capsys):
    with pytest.raises(SystemExit):
        main(["verdict", "--margin", margin])
    assert "is not a margin; write a number above 0" in capsys.readouterr().err
