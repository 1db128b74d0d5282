"""The count of experiments that are up to date."""

from orchestration.experiment_states import ExperimentState
from selection_platform.cli.experiments import progress


def test_an_experiment_that_waits_for_a_plan_does_not_count():
    # A selection that was made by hand may be stale while no plan names its training.
    made = ExperimentState("random/s0", {"selection": "made", "training": "made"})
    by_hand = ExperimentState("random/s3", {"selection": "stale", "training": "not planned"})
    assert list(progress([made, by_hand], "mine")) == [
        "1 of 1 experiments of profile mine are up to date",
        "1 more are made only where they are planned: selection-platform plan",
    ]
