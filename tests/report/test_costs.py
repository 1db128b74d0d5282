"""Costs summed by hand."""

import pytest

from selection_platform.report.costs import Arm, Spent, arm_costs, break_even, experiment_costs

SPENT = {
    "pool p": Spent(1000.0),
    "answer_likelihood p/m": Spent(60.0, 0.0, 600.0, 0.0),
    "scores/ifd p/m": Spent(1.0),
    "scores/entropy p/m": Spent(2.0),
    "scores/random p": Spent(0.5),
    "checkpoint random": Spent(20.0, 0.0, 100.0, 200.0),
    "checkpoint ifd s0": Spent(22.0, 0.0, 100.0, 200.0),
    "checkpoint ifd s1": Spent(24.0, 0.0, 100.0, 200.0),
    "benchmark_result ifd s0": Spent(7.0),
}
MADE_FROM = {
    "random": {"pool p", "scores/random p", "checkpoint random"},
    "ifd s0": {
        "pool p", "answer_likelihood p/m", "scores/ifd p/m", "checkpoint ifd s0", "benchmark_result ifd s0",
    },
    "ifd s1": {"pool p", "answer_likelihood p/m", "scores/ifd p/m", "checkpoint ifd s1"},
    "entropy": {"pool p", "answer_likelihood p/m", "scores/entropy p/m", "never measured"},
}  # fmt: skip
METHODS = {"random": "random", "ifd s0": "ifd", "ifd s1": "ifd", "entropy": "entropy"}


def costs():
    return experiment_costs(MADE_FROM, METHODS, SPENT)


def test_a_feature_is_split_among_methods_and_not_among_seeds():
    found = {(experiment, part): spent for experiment, part, spent in costs()}
    # Two methods use the likelihoods: half of 60 seconds each, whatever the seeds.
    assert found["ifd s0", "selecting"] == Spent(31.0, 0.0, 300.0, 0.0)
    assert found["ifd s1", "selecting"] == Spent(31.0, 0.0, 300.0, 0.0)
    assert found["ifd s0", "selecting alone"] == Spent(61.0, 0.0, 600.0, 0.0)
    assert found["entropy", "selecting"] == Spent(32.0, 0.0, 300.0, 0.0)
    assert found["ifd s0", "training"] == SPENT["checkpoint ifd s0"]
    assert found["ifd s0", "evaluating"] == Spent(7.0)
    assert found["ifd s1", "evaluating"] == Spent()


def test_break_even_is_selecting_and_training_by_a_random_training():
    arms = {name: Arm(METHODS[name], "m", "p", 10) for name in MADE_FROM}
    by_method = {each.arm.method: each for each in arm_costs(costs(), arms)}
    ifd = by_method["ifd"]
    assert ifd.parts["training"].cpu_seconds == 23.0
    assert ifd.times_by_seconds == pytest.approx(1 + 31 / 20)
    assert ifd.times_by_flops == pytest.approx(1 + 300 / 300)
    assert break_even(ifd) == (
        "ifd costs as much as training on 2.5x the data at random by CPU time, 2.0x by arithmetic"
    )
    assert break_even(by_method["random"]) == ""


def test_without_a_random_run_nothing_is_said():
    (alone,) = arm_costs(
        experiment_costs({"ifd s0": MADE_FROM["ifd s0"]}, METHODS, SPENT), {"ifd s0": Arm("ifd", "m", "p", 10)}
    )
    assert alone.times_by_seconds is None
    assert break_even(alone) == ""


def test_seconds_are_of_the_gpu_where_one_was_used():
    assert Spent(5.0, 2.0).seconds == 2.0
    assert Spent(5.0).seconds == 5.0
