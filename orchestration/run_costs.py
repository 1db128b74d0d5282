"""What one more run of an arm takes, by what its runs took before."""

from collections.abc import Iterable
from statistics import fmean

from assets.keys import BENCHMARK_RESULT, CHECKPOINT, SELECTION
from assets.record.cost_ledger import entries
from orchestration.expected_time import Expected, ExpectedTime
from orchestration.graph import Step
from orchestration.workspace import Workspace
from selection_platform.experiments.keys import Experiment

STAGES = (SELECTION, CHECKPOINT, BENCHMARK_RESULT)


class RunCosts:
    """Seconds by the clock of selecting, training and evaluating, from the cost ledger."""

    def __init__(self, workspace: Workspace) -> None:
        ledger = entries(workspace.instance)
        self._experiments = workspace.profile.experiments
        self._assets = [next(asset for asset in workspace.assets if key in asset.keys) for key in STAGES]
        self._expected = ExpectedTime(ledger)
        last = BENCHMARK_RESULT.to_user_string()
        made = {entry.partition for entry in ledger if entry.asset == last}
        self._made = [each for each in self._experiments.values() if each.key in made]

    def seconds(self, experiments: Iterable[str]) -> float | None:
        """What some runs take, one after another; None if it is not known of one.

        A run takes what the runs of the same arm, pool, model and budget took on average, else what all arms' runs did.
        """
        each = [self._one(self._experiments[key]) for key in experiments]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def _one(self, experiment: Experiment) -> float | None:
        alike = [other.key for other in self._made if _arm(other) == _arm(experiment)]
        known = [found.seconds for key in alike or [experiment.key] if not (found := self._of(key)).unknown]
        return fmean(known) if known else None

    def _of(self, key: str) -> Expected:
        return self._expected.of(Step(asset, key) for asset in self._assets)


def _arm(experiment: Experiment) -> tuple[object, ...]:
    return experiment.method, experiment.pool, experiment.model, experiment.budget, experiment.pool_size
