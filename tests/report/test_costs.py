"""Costs summed by hand."""

import pytest

from selection_platform.report.costs import (
    PARTS,
    Arm,
    ArmCost,
    ExperimentCost,
    Spent,
    arm_costs,
    break_even,
    experiment_costs,
    markdown_costs,
)

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
    assert ifd.times == pytest.approx({"cpu_seconds": 1 + 31 / 20, "flops": 1 + 300 / 300})
    assert break_even(ifd) == ("ifd costs as much as training on 2.5x the random data by CPU time, 2.0x by arithmetic")
    assert break_even(by_method["random"]) == ""


def test_without_a_random_run_nothing_is_said():
    (alone,) = arm_costs(
        experiment_costs({"ifd s0": MADE_FROM["ifd s0"]}, METHODS, SPENT), {"ifd s0": Arm("ifd", "m", "p", 10)}
    )
    assert alone.times == {}
    assert break_even(alone) == ""


def mixed(random_training: Spent, **selecting: Spent) -> dict[str, ArmCost]:
    """Costs of a random arm and of others, trained and evaluated alike, by method."""
    parts = {method: (chosen, chosen, random_training, Spent(8.0, 4.0)) for method, chosen in selecting.items()}
    parts["random"] = (Spent(0.5), Spent(0.5), random_training, Spent(8.0, 4.0))
    found = arm_costs(
        [ExperimentCost(m, part, spent) for m in parts for part, spent in zip(PARTS, parts[m], strict=True)],
        {method: Arm(method, "m", "p", 10) for method in parts},
    )
    return {each.arm.method: each for each in found}


def test_each_kind_of_time_is_held_against_its_own():
    # Training: 10 s on a GPU, 25 s of cores, 100 operations. ZIP takes cores alone, LESS both.
    found = mixed(Spent(25.0, 10.0, 40.0, 60.0), zip=Spent(1000.0), less=Spent(50.0, 30.0, 100.0, 150.0))
    assert found["zip"].times == {"gpu_seconds": 1.0, "cpu_seconds": 41.0, "flops": 1.0}
    assert found["less"].times == {"gpu_seconds": 4.0, "cpu_seconds": 3.0, "flops": 3.5}
    assert break_even(found["zip"]) == (
        "zip costs as much as training on 1.0x the random data by GPU time, 41.0x by CPU time, 1.0x by arithmetic"
    )


def test_where_random_was_trained_without_a_gpu_nothing_is_said_of_gpu_time():
    found = mixed(Spent(100.0, 0.0, 40.0, 60.0), less=Spent(50.0, 30.0, 100.0, 150.0))
    assert found["less"].times == {"cpu_seconds": 1.5, "flops": 3.5}


def test_a_table_for_each_kind_of_time():
    found = mixed(Spent(25.0, 10.0), zip=Spent(1000.0))
    of_gpu, of_cpu = markdown_costs(list(found.values())).split("\n\n")
    cells = [[cell.strip() for cell in table.splitlines()[-2].split("|")[1:6]] for table in (of_gpu, of_cpu)]
    assert cells == [
        ["zip · m · p · 10", "0.0", "0.0", "10.0", "4.0"],
        ["zip · m · p · 10", "1,000.0", "1,000.0", "25.0", "8.0"],
    ]
    assert ("training, GPU s" in of_gpu, "training, CPU s" in of_cpu) == (True, True)
    # Nothing of a GPU is said where there is none.
    assert "GPU" not in markdown_costs(arm_costs(costs(), {name: Arm(METHODS[name], "m", "p", 10) for name in METHODS}))
