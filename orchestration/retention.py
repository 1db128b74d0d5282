"""Which checkpoints keep their weights on the disk, and which are trained again."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from assets.benchmarks import evaluation_spec
from assets.keys import BENCHMARK_RESULT, CHECKPOINT
from assets.record.recipes import model_folder
from orchestration.graph import Step
from orchestration.staleness import Staleness
from resources import Resources
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import CheckpointSettings
from selection_platform.experiments.keys import Experiment
from selection_platform.job.folder import remove_job_folder
from selection_platform.models.dropped_weights import drop_weights, weight_files, weights_bytes, weights_dropped
from sql.queries import load_sql


class Retention:
    """Drops the weights of checkpoints by the profile's settings, and finds those that must be trained again."""

    def __init__(self, profile: Profile, staleness: Staleness, resources: Resources) -> None:
        """Take the profile, its staleness, and the resources of its home folder."""
        self._profile, self._staleness = profile, staleness
        self._artifacts = resources.artifacts
        self._warehouse = resources.warehouse
        self._wanted: set[str] = set()
        self._steps = {node: step for step in staleness.graph.steps for node in step.nodes}

    def droppable(self, settings: CheckpointSettings | None = None) -> dict[str, int]:
        """The experiments whose weights can be dropped, with their bytes.

        Only experiments that are evaluated and up to date: weights that wait for their evaluation or are wanted stay.

        Args:
            settings: which weights to keep; by default those of the profile.
        """
        settings = settings or self._profile.checkpoints
        if settings.keep == "all" or not self._warehouse.exists():
            return {}
        experiments = self._profile.trained_experiments.values()
        in_graph = (each for each in experiments if (BENCHMARK_RESULT, each.key) in self._steps)
        trained = [experiment for experiment in in_graph if experiment.pool is not None]
        evaluated = [experiment for experiment in trained if self._is_current(experiment.key)]
        kept = self._best(evaluated, settings.best) if settings.keep == "best" else set()
        keys = [experiment.key for experiment in evaluated if experiment.key not in kept | self._wanted]
        folders = {key: self._artifacts.checkpoint(key) for key in keys}
        return {key: weights_bytes(folder) for key, folder in folders.items() if weight_files(folder)}

    def drop(self, at_work: Iterable[Step] = ()) -> dict[str, int]:
        """Drop the weights of these experiments. Returns the freed bytes by experiment.

        Args:
            at_work: steps that are being run, which may read the weights of their experiment.
        """
        read = {step.partition_key for step in at_work}
        droppable = [key for key in self.droppable() if key not in read]
        return {key: drop_weights(self._artifacts.checkpoint(key)) for key in droppable}

    def is_evaluation(self, step: Step) -> bool:
        """Whether a step is an evaluation, after which weights may be dropped."""
        return BENCHMARK_RESULT in step.asset.keys

    def rebuilt_for(self, step: Step) -> Step | None:
        """The checkpoint that must be trained again before a step, because the step needs its dropped weights.

        None if the step needs no weights, as an evaluation that is already complete.
        """
        if BENCHMARK_RESULT not in step.asset.keys:
            return None
        experiment = self._profile.experiments[step.partition_key or ""]
        if not weights_dropped(model_folder(experiment, self._artifacts)):
            return None
        from selection_platform.evaluation.harness import EVALUATION

        spec = evaluation_spec(self._profile, experiment, self._artifacts, self._warehouse)
        if EVALUATION.is_complete(spec, self._artifacts.benchmark_result(experiment.key)):
            return None
        return self._steps[CHECKPOINT, experiment.key]

    def want(self, steps: Iterable[Step]) -> None:
        """Train again the checkpoints among the steps whose weights were dropped, and keep their weights."""
        chosen = [step for step in steps if CHECKPOINT in step.asset.keys]
        self._wanted |= {step.partition_key for step in chosen if step.partition_key is not None}
        self.forget(chosen)

    def dropped(self, steps: Iterable[Step]) -> list[Step]:
        """The checkpoints among the steps whose weights were dropped."""
        chosen = [step for step in steps if CHECKPOINT in step.asset.keys and step.partition_key is not None]
        return [step for step in chosen if weights_dropped(self._artifacts.checkpoint(step.partition_key or ""))]

    def forget(self, steps: Iterable[Step]) -> None:
        """Remove the folders of the checkpoints whose weights were dropped, so that they are trained again."""
        for step in self.dropped(steps):
            remove_job_folder(self._artifacts.checkpoint(step.partition_key or ""))

    def _is_current(self, experiment: str) -> bool:
        return not any(self._staleness.cause(self._steps[key, experiment]) for key in (CHECKPOINT, BENCHMARK_RESULT))

    def _best(self, experiments: Sequence[Experiment], count: int) -> set[str]:
        """The best experiments per pool and base model (ties: first in the profile), and those without an average."""
        averages = dict(self._warehouse.query(load_sql("70_benchmarks/averages")).iter_rows())

        def group(experiment: Experiment) -> tuple[str, str]:
            return experiment.pool or "", experiment.base_model

        ranked = [experiment for experiment in experiments if experiment.key in averages]
        ranked.sort(key=lambda experiment: (group(experiment), -averages[experiment.key]))
        best = {experiment.key for _, rivals in groupby(ranked, group) for experiment in list(rivals)[:count]}
        return best | {experiment.key for experiment in experiments if experiment.key not in averages}


def by_experiment(steps: Sequence[Step]) -> list[Step]:
    """The steps, with each evaluation right after its training, so that weights can be dropped early."""
    results = {step.partition_key: step for step in steps if BENCHMARK_RESULT in step.asset.keys}
    ordered: dict[Step, None] = {}
    for step in steps:
        ordered[step] = None
        if CHECKPOINT in step.asset.keys and step.partition_key in results:
            ordered[results[step.partition_key]] = None
    return list(ordered)
