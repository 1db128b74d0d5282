"""The partitions of the graph and how they join. Nobody else builds one."""

from collections.abc import Callable, Iterable

import dagster as dg

from selection_platform.experiments import Experiment, Scoring
from selection_platform.methods import METHODS
from selection_platform.profile import Profile


class Partitions:
    """Flat lists of keys, made from the profile and looked up in it, never taken apart.

    Every mapping is written out as a StaticPartitionMapping: Dagster's default mapping between two different
    partition lists silently joins nothing.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.pools = dg.StaticPartitionsDefinition(list(profile.pools))
        self.models = dg.StaticPartitionsDefinition(list(profile.models))
        self.scorings = dg.StaticPartitionsDefinition(list(profile.scorings))
        self.experiments = dg.StaticPartitionsDefinition(list(profile.experiments))

    def pools_to_pretrained_models(self) -> dg.StaticPartitionMapping:
        """Every pool sets rows aside for every model that the platform pre-trains itself."""
        pretrained = [name for name, model in self._profile.models.items() if model.pretraining]
        return dg.StaticPartitionMapping({pool: pretrained for pool in self._profile.pools})

    def pools_to_scorings(self) -> dg.StaticPartitionMapping:
        """A pool is scored by every model."""
        return self._scorings_by(self._profile.pools, lambda key: self._profile.scorings[key].pool)

    def models_to_scorings(self) -> dg.StaticPartitionMapping:
        """A model scores every pool."""
        return self._scorings_by(self._profile.models, lambda key: self._profile.scorings[key].model)

    def pools_to_experiments(self) -> dg.StaticPartitionMapping:
        """A pool is selected from by every experiment but the base models."""
        return self._experiments_by(self._profile.pools, lambda experiment: experiment.pool)

    def models_to_experiments(self) -> dg.StaticPartitionMapping:
        """A model is fine-tuned by its experiments."""
        return self._experiments_by(self._profile.models, lambda experiment: experiment.model)

    def scores_to_experiments(self, method: str) -> dg.StaticPartitionMapping:
        """A method's scores are used by that method's experiments alone."""

        def score_partition(experiment: Experiment) -> str | None:
            if experiment.method != method or experiment.pool is None:
                return None
            return experiment.pool if per_pool else Scoring(experiment.pool, experiment.model).key

        per_pool = METHODS[method].scored_per == "pool"
        return self._experiments_by(self._profile.pools if per_pool else self._profile.scorings, score_partition)

    def _scorings_by(self, keys: Iterable[str], key_of: Callable[[str], str]) -> dg.StaticPartitionMapping:
        return dg.StaticPartitionMapping(
            {key: [scoring for scoring in self._profile.scorings if key_of(scoring) == key] for key in keys}
        )

    def _experiments_by(
        self, keys: Iterable[str], key_of: Callable[[Experiment], str | None]
    ) -> dg.StaticPartitionMapping:
        experiments = self._profile.experiments.values()
        return dg.StaticPartitionMapping(
            {key: [experiment.key for experiment in experiments if key_of(experiment) == key] for key in keys}
        )
