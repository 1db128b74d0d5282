"""The progress of each experiment of a profile."""

from dataclasses import dataclass
from typing import Literal

import dagster as dg

from assets.keys import BENCHMARK_RESULT, CHECKPOINT, SELECTION
from orchestration.staleness import Staleness
from selection_platform.configuration.profile import Profile

State = Literal["made", "missing", "stale", "upstream due", "not planned"]
STAGES = {"selection": SELECTION, "training": CHECKPOINT, "evaluation": BENCHMARK_RESULT}


@dataclass(frozen=True)
class ExperimentState:
    """The progress of one experiment.

    Attributes:
        experiment: key of the experiment.
        stages: state of each stage: up to date ("made"), missing, stale, downstream of what is due, or one that no
            plan names; None if the experiment does not have the stage.
    """

    experiment: str
    stages: dict[str, State | None]

    @property
    def is_due(self) -> bool:
        """Whether a stage is missing or stale, or may become so."""
        return any(state not in (None, "made", "not planned") for state in self.stages.values())


def experiment_states(profile: Profile, staleness: Staleness) -> list[ExperimentState]:
    """The state of each experiment of a profile."""
    due = staleness.due()
    states: dict[tuple[dg.AssetKey, str | None], State] = {
        node: "upstream due" for step in staleness.graph.downstream(one.step for one in due) for node in step.nodes
    }
    states |= {node: one.status for one in due for node in one.step.nodes}

    def state(asset: dg.AssetKey, experiment: str) -> State | None:
        if experiment in staleness.graph.partition_keys(asset):
            return states.get((asset, experiment), "made")
        has_stage = asset == SELECTION or experiment in profile.trained_experiments
        return "not planned" if has_stage else None

    return [
        ExperimentState(experiment, {name: state(asset, experiment) for name, asset in STAGES.items()})
        for experiment in profile.experiments
    ]
