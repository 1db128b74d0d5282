"""When one looks while seeds are added, what each look may spend, and verdicts that hold however often one looks."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.sequential import course, looks_up_to
from benchmarks.verdict import Kind, draw
from selection_platform.configuration.arm_settings import ArmSettings, SeedRange
from selection_platform.verdict.chances import HOPELESS, chances
from selection_platform.verdict.looks import Look, Looks, schedule
from selection_platform.verdict.prospects import prospects
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.sequential import compare_by_looks
from selection_platform.verdict.statistics import compare
from selection_platform.verdict.tables import verdict_rows, verdicts_of
from selection_platform.verdict.verdicts import verdicts

CELL = Cell("m", "p", 10)
TWO = Looks((0, 1, 2), (0, 1, 2), (Look(2, 2, 0.25), Look(3, 3, 0.75)))


def seeds(first, most):
    return ArmSettings(seeds=SeedRange(first=first, max=most))


def listed(count):
    return ArmSettings(seeds=tuple(range(count)))


def sizes(arm, random, name="ifd"):
    looks = schedule({"random": random, name: arm}).get(name)
    return None if looks is None else [(look.arm_runs, look.random_runs) for look in looks.all]


@pytest.mark.parametrize(
    ("arm", "random", "expected"),
    [
        (seeds(3, 5), seeds(3, 5), [(3, 3), (4, 4), (5, 5)]),
        (seeds(3, 5), listed(5), [(3, 5), (4, 5), (5, 5)]),
        (listed(1), seeds(3, 5), [(1, 3), (1, 4), (1, 5)]),
        # Both reach their last seed together.
        (seeds(3, 5), seeds(5, 9), [(3, 5), (4, 6), (4, 7), (5, 8), (5, 9)]),
        (listed(3), listed(5), None),
        (seeds(3, 3), seeds(5, 5), None),
    ],
)
def test_the_looks_follow_from_the_seeds_alone(arm, random, expected):
    assert sizes(arm, random) == expected


def test_the_shares_are_the_information_to_the_third_power():
    # With as many runs of both, a look's information is as its runs.
    looks = schedule({"random": seeds(2, 4), "ifd": seeds(2, 4)})["ifd"]
    assert [look.share for look in looks.all] == pytest.approx([(2 / 4) ** 3, (3 / 4) ** 3 - (2 / 4) ** 3, 1 - 27 / 64])
    # The base model does not vary, so that random runs are all that is known better.
    base = schedule({"random": seeds(2, 4), "base": ArmSettings()})["base"]
    assert [look.share for look in base.all] == pytest.approx([8 / 64, 19 / 64, 37 / 64])


def test_without_random_there_is_nothing_to_look_at():
    assert schedule({"ifd": seeds(3, 5)}) == {}


def test_a_look_waits_for_all_its_seeds_from_the_first_on():
    assert [TWO.so_far(known, [0, 1, 2]) for known in ([], [0], [0, 1], [0, 2], [2, 1, 0])] == [0, 0, 1, 0, 2]
    assert TWO.so_far([0, 1, 2], [0, 1]) == 1


ARM, RANDOM_RUNS = {0: 12.0, 1: 13.0, 2: 14.5}, {0: 10.0, 1: 11.0, 2: 10.2}


def values(runs, count):
    return [runs[seed] for seed in range(count)]


def interval(of, share, sides=2):
    half = of.standard_error * stats.t.isf(0.05 * share / sides, of.freedom)
    return of.difference - half, of.difference + half


def test_each_looks_p_value_is_divided_by_its_share_and_the_smallest_counts():
    found = compare_by_looks(ARM, RANDOM_RUNS, TWO, 1)
    first, second = (compare(values(ARM, count), values(RANDOM_RUNS, count)) for count in (2, 3))
    assert first.p_value is not None
    assert second.p_value is not None
    assert found.p_value == pytest.approx(min(first.p_value / 0.25, second.p_value / 0.75))
    assert (found.look, found.looks, found.share) == (2, 2, 0.75)
    assert found.difference == pytest.approx(second.difference)
    # An interval spends what its look may spend, and what both have in common counts.
    (low, high), (last_low, last_high) = interval(first, 0.25), interval(second, 0.75)
    assert low < last_low < last_high < high
    assert (found.low, found.high) == (pytest.approx(last_low), pytest.approx(last_high))
    assert found.visible == pytest.approx((last_high - last_low) / 2)


def test_what_an_earlier_look_saw_stays_seen():
    # After two runs the arm is far above; the third is not, and its look alone sees nothing.
    arm = {0: 20.0, 1: 20.001, 2: 11.0}
    random = {0: 10.0, 1: 10.001, 2: 10.0}
    third = compare(values(arm, 3), values(random, 3))
    assert (third.p_value or 0) > 0.05
    assert (compare_by_looks(arm, random, TWO, 1).p_value or 0) < 0.001


def test_the_interval_says_what_the_p_values_say():
    # By itself the third look cannot tell the arm from random, nor say that they are the same.
    arm, random = {0: 20.0, 1: 20.001, 2: 11.0}, {0: 10.0, 1: 10.001, 2: 10.0}
    first, third = (compare(values(arm, count), values(random, count)) for count in (2, 3))
    found = compare_by_looks(arm, random, TWO, 1)
    assert interval(third, 0.75)[0] < 0 < interval(third, 0.75)[1]
    assert (found.low, found.high) == pytest.approx(interval(first, 0.25))
    assert not (found.low or 0) < found.difference
    # The same for "same": 0.001 off at the first look, where nothing varies much, and unknown at the third.
    near = {0: 10.001, 1: 10.002, 2: 14.0}
    first, found = compare(values(near, 2), values(random, 2)), compare_by_looks(near, random, TWO, 1)
    assert (found.p_same or 0) < 0.05
    assert found.equivalent_within == pytest.approx(interval(first, 0.25, sides=1)[1])


def test_where_looks_have_nothing_in_common_the_interval_is_the_gap():
    arm, random = [20.0, 20.001, *[17.0] * 6], [10.0, 10.001] * 4
    looks = Looks(tuple(range(8)), tuple(range(8)), (Look(2, 2, 0.25), Look(8, 8, 0.75)))
    low, _ = interval(compare(arm[:2], random[:2]), 0.25)
    _, high = interval(compare(arm, random), 0.75)
    assert high < low
    found = compare_by_looks(dict(enumerate(arm)), dict(enumerate(random)), looks, 1)
    assert (found.low, found.high) == (pytest.approx(high), pytest.approx(low))


def test_a_difference_with_the_other_sign_is_not_what_was_seen():
    arm = {0: 20.0, 1: 20.001, 2: -50.0}
    random = {0: 10.0, 1: 10.001, 2: 10.0}
    found, third = compare_by_looks(arm, random, TWO, 1), compare(values(arm, 3), values(random, 3))
    assert found.difference < 0
    assert third.p_value is not None
    assert found.p_value == min(1, third.p_value / 0.75)


def test_runs_beyond_the_last_look_wait_for_the_next():
    early = {seed: ARM[seed] for seed in (0, 1)}
    assert compare_by_looks(early, RANDOM_RUNS, TWO, 1) == compare_by_looks(early, {0: 10.0, 1: 11.0}, TWO, 1)
    waiting = compare_by_looks({0: 12.0}, RANDOM_RUNS, TWO, 1)
    assert (waiting.look, waiting.p_value, waiting.low) == (0, None, None)


def runs(**arms):
    return [Run(AVERAGE, CELL, name, seed, value) for name, each in arms.items() for seed, value in enumerate(each)]


PLANNED = schedule({"random": seeds(2, 4), "ifd": seeds(2, 4), "zip": seeds(2, 4)})
RANDOM_VALUES = [10.0, 10.2, 10.1, 9.9]


def test_holm_is_over_what_holds_at_any_time_and_rows_come_back():
    of = runs(random=RANDOM_VALUES, ifd=[15.0, 15.1, 14.9, 15.0], zip=[10.0, 10.5])
    found = {each.method: each for each in verdicts(of, {}, 1, schedule=PLANNED)}
    assert found["ifd"].word == "better"
    assert found["ifd"].comparison.p_adjusted == pytest.approx(2 * (found["ifd"].comparison.p_value or 0))
    assert [found[name].comparison.look for name in ("ifd", "zip")] == [3, 1]
    assert found["ifd"].pooled is None
    again = verdicts_of(verdict_rows(found.values(), {}))
    assert [each.comparison for each in again] == [each.comparison for each in found.values()]


def test_holm_counts_those_that_wait_for_their_first_look():
    of = runs(random=RANDOM_VALUES, ifd=[15.0, 15.1], zip=[10.0])
    found = {each.method: each.comparison for each in verdicts(of, {}, 1, schedule=PLANNED)}
    assert found["ifd"].p_adjusted == pytest.approx(2 * (found["ifd"].p_value or 0))
    assert found["ifd"].p_same_adjusted == 1
    assert found["zip"].p_adjusted is None
    assert found["ifd"].compared == 2


def test_an_empty_schedule_changes_nothing():
    of = runs(random=RANDOM_VALUES, ifd=[11.0, 10.6])
    assert verdicts(of, {}, 1, schedule={}) == verdicts(of, {}, 1)
    assert verdicts(of, {}, 1)[0].comparison.look is None


def test_the_error_rate_holds_where_one_stops_at_the_best_look():
    kind, looks = Kind("", arm_runs=10, random_runs=10), looks_up_to(10)
    random, arms = draw(kind, 600, np.random.default_rng(1))
    by_rule, naive = (
        course(random, arms, looks, naive=each, stop=False).ever_different.any(axis=1).mean() for each in (False, True)
    )
    assert by_rule <= 0.05 < naive


def test_the_chance_of_a_look_is_how_often_it_settles_the_comparison():
    """With a spread that is known, against draws of what the runs to come may give."""
    now, then, difference, freedom = Look(4, 4, 0.1), Look(8, 8, 0.9), 0.8, 1e7
    error = 0.5
    spread = error / np.sqrt(1 / 4 + 1 / 4)
    one = np.ones(1)
    (found,) = chances(difference * one, error * one, freedom * one, now, [then], 2.0, (3.0 * one, 2.0 * one))
    generator = np.random.default_rng(0)
    truth = generator.normal(difference, error, 200_000)
    new = truth + generator.normal(0, spread * np.sqrt(1 / 4 + 1 / 4), 200_000)
    last, error_then = (difference + new) / 2, spread * np.sqrt(1 / 8 + 1 / 8)
    differs = 2 * stats.t.sf(np.abs(last) / error_then, 14) < 0.05 * 0.9 / 3
    same = stats.t.sf((2.0 - np.abs(last)) / error_then, 14) < 0.05 * 0.9 / 2
    assert found[0] == pytest.approx((differs | same).mean(), abs=0.005)


def test_what_becomes_of_a_comparison():
    # Its runs vary so much that no difference of a point can be ruled out with two more, and none is seen.
    hopeless = [8.0, 12.0]
    of = runs(random=RANDOM_VALUES, ifd=[15.0, 15.1], zip=[10.1, 10.4], less=hopeless, km_ifd=[10.0], entropy=[10.7])
    by_looks = dict(PLANNED) | dict(schedule({"random": seeds(2, 4), "less": seeds(2, 4), "km_ifd": seeds(2, 4)}))
    found = {each.verdict.method: each for each in prospects(verdicts(of, {}, 1, schedule=by_looks), by_looks, 1)}
    states = {name: each.state for name, each in found.items()}
    assert states == {
        "ifd": "open", "zip": "open", "less": "hopeless", "km_ifd": "first seeds", "entropy": "out of seeds",
    }  # fmt: skip
    assert (found["less"].best or 0) < HOPELESS <= (found["zip"].best or 0)
    assert [(look.arm_runs, look.random_runs) for look in found["zip"].later] == [(3, 3), (4, 4)]
