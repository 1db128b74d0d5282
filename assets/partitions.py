"""The partitions of the graph and how they join. Nobody else builds one."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

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
        self.models = dg.StaticPartitionsDefinition(profile.used_models)
        self.scorings = dg.StaticPartitionsDefinition(list(profile.scorings))
        self.ratings = dg.StaticPartitionsDefinition(list(profile.ratings))
        self.experiments = dg.StaticPartitionsDefinition(list(profile.experiments))
        self.trained_experiments = dg.StaticPartitionsDefinition(list(profile.trained_experiments))

    def pools_to_pretrained_models(self) -> dg.StaticPartitionMapping:
        """Every pool sets rows aside for every model that the platform pre-trains itself."""
        pretrained = [name for name in self._profile.used_models if self._profile.models[name].pretraining]
        return dg.StaticPartitionMapping({pool: pretrained for pool in self._profile.pools})

    def pools_to_scorings(self) -> dg.StaticPartitionMapping:
        """A pool is scored by every model that is fine-tuned."""
        return _grouped(self._profile.pools, self._profile.scorings, lambda scoring: scoring.pool)

    def models_to_scorings(self) -> dg.StaticPartitionMapping:
        """A model scores every pool."""
        return _grouped(self._profile.used_models, self._profile.scorings, lambda scoring: scoring.model)

    def pool_and_model(self) -> list[dg.AssetDep]:
        """What a model makes of a pool depends on both."""
        return [
            dg.AssetDep("pool", partition_mapping=self.pools_to_scorings()),
            dg.AssetDep("base_model", partition_mapping=self.models_to_scorings()),
        ]

    def pools_to_ratings(self) -> dg.StaticPartitionMapping:
        """A pool is rated by every model that rates."""
        return _grouped(self._profile.pools, self._profile.ratings, lambda rating: rating.pool)

    def models_to_ratings(self) -> dg.StaticPartitionMapping:
        """A model that rates, rates every pool."""
        return _grouped(self._profile.used_models, self._profile.ratings, lambda rating: rating.model)

    def ratings_to_scorings(self) -> dg.StaticPartitionMapping:
        """A base model's scores are made of its own ratings and of its helpers'."""
        scorings, raters_of = self._profile.scorings, self._profile.raters_of
        return dg.StaticPartitionMapping(
            {
                key: [
                    scoring_key
                    for scoring_key, scoring in scorings.items()
                    if scoring.pool == rating.pool and rating.model in raters_of(scoring.model)
                ]
                for key, rating in self._profile.ratings.items()
            }
        )

    def scores_to_scorings(self, method: str) -> dg.PartitionMapping:
        """A method's scores lead to those of the method that wraps it."""
        per_pool = METHODS[method].scored_per == "pool"
        return self.pools_to_scorings() if per_pool else dg.IdentityPartitionMapping()

    def pools_to_experiments(self) -> dg.StaticPartitionMapping:
        """A pool is selected from by every experiment but the base models."""
        return _grouped(self._profile.pools, self._profile.experiments, lambda experiment: experiment.pool)

    def scores_to_experiments(self, method: str) -> dg.StaticPartitionMapping:
        """A method's scores are used by that method's experiments alone."""

        def score_partition(experiment: Experiment) -> str | None:
            if experiment.method != method or experiment.pool is None:
                return None
            return experiment.pool if per_pool else Scoring(experiment.pool, experiment.model).key

        per_pool = METHODS[method].scored_per == "pool"
        scored = self._profile.pools if per_pool else self._profile.scorings
        return _grouped(scored, self._profile.experiments, score_partition)

    def selections_to_checkpoints(self) -> dg.StaticPartitionMapping:
        """A selection is trained on, unless its arm only selects."""
        trained = self._profile.trained_experiments
        return dg.StaticPartitionMapping({key: [key] for key in self._profile.experiments if key in trained})

    def pools_to_checkpoints(self) -> dg.StaticPartitionMapping:
        """A pool's conversations are trained on by all its trained experiments."""
        return _grouped(self._profile.pools, self._profile.trained_experiments, lambda experiment: experiment.pool)

    def models_to_checkpoints(self) -> dg.StaticPartitionMapping:
        """A model is fine-tuned by its experiments."""
        return _grouped(
            self._profile.used_models, self._profile.trained_experiments, lambda experiment: experiment.model
        )


Downstream = TypeVar("Downstream")


def _grouped(
    upstream: Iterable[str], downstream: Mapping[str, Downstream], upstream_key: Callable[[Downstream], str | None]
) -> dg.StaticPartitionMapping:
    """Each upstream key with the keys of what says that it comes from it."""
    return dg.StaticPartitionMapping(
        {key: [name for name, value in downstream.items() if upstream_key(value) == key] for key in upstream}
    )
