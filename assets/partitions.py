"""The partitions of the graph and the mappings between them, all built in this module."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import dagster as dg

from selection_platform.configuration.profile import Profile
from selection_platform.evaluation.own_benchmarks import hub_benchmarks
from selection_platform.experiments.keys import Experiment, PoolTargets, Scored, Scoring

Downstream = TypeVar("Downstream")


class Partitions:
    """Flat lists of keys from the profile. Keys are looked up in the profile, never parsed.

    Every mapping is an explicit StaticPartitionMapping: Dagster's default mapping between two different partition lists
    silently joins nothing.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.pools = dg.StaticPartitionsDefinition(list(profile.pools))
        self.sub_pools = dg.StaticPartitionsDefinition(list(profile.sub_pools))
        self.clustered = dg.StaticPartitionsDefinition(list(profile.clustered))
        self.models = dg.StaticPartitionsDefinition(profile.used_models)
        self.scorings = dg.StaticPartitionsDefinition(list(profile.scorings))
        self.targets = dg.StaticPartitionsDefinition(list(profile.pool_targets))
        self.ratings = dg.StaticPartitionsDefinition(list(profile.ratings))
        self.hub_benchmarks = dg.StaticPartitionsDefinition(hub_benchmarks(profile.evaluation))
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
        """Dependencies on the pool and the base model, for outputs of the model on the pool."""
        return [
            dg.AssetDep("pool", partition_mapping=self.pools_to_scorings()),
            dg.AssetDep("base_model", partition_mapping=self.models_to_scorings()),
        ]

    def pools_to_targets(self) -> dg.StaticPartitionMapping:
        """A pool has every target set beside it."""
        return _grouped(self._profile.pools, self._profile.pool_targets, lambda each: each.pool)

    def targets_to_scorings(self, targets: str) -> dg.AssetDep:
        """A target set beside a pool is read by every model that scores the pool."""
        keys = self._profile.pool_targets
        to_scorings = _grouped(keys, self._profile.scorings, lambda scoring: PoolTargets(scoring.pool, targets).key)
        return dg.AssetDep("target_samples", partition_mapping=to_scorings)

    def scorings_to_scored(self, method: str, asset: str) -> list[dg.AssetDep]:
        """A method that picks one by one scores each pool or sub-pool by features of the whole pool."""
        scored, whole_pool = self._profile.scored(method), self._profile.whole_pool

        def scoring(of: Scored) -> str:
            return Scoring(whole_pool(of.pool), of.model or "").key

        features = dg.AssetDep(asset, partition_mapping=_grouped(self._profile.scorings, scored, scoring))
        return [features, *self._sub_pools(scored, lambda of: of.pool)]

    def targets_to_pools(self, targets: str) -> dg.AssetDep:
        """A target set beside a pool is read with the pool."""
        to_pools = _grouped(self._profile.pool_targets, self.pool_keys, lambda pool: PoolTargets(pool, targets).key)
        return dg.AssetDep("target_samples", partition_mapping=to_pools)

    def pools_to_pools(self, asset: str) -> dg.AssetDep:
        """An asset of a pool is read with the pool."""
        return dg.AssetDep(asset, partition_mapping=_grouped(self._profile.pools, self.pool_keys, lambda pool: pool))

    def whole_pools_to_scored(self, method: str, *assets: str) -> list[dg.AssetDep]:
        """The same for a method without a model."""
        scored, whole_pool = self._profile.scored(method), self._profile.whole_pool
        mapping = _grouped(self._profile.pools, scored, lambda of: whole_pool(of.pool))
        features = [dg.AssetDep(asset, partition_mapping=mapping) for asset in assets]
        return [*features, *self._sub_pools(scored, lambda of: of.pool)]

    @property
    def pool_keys(self) -> dict[str, str]:
        """The pools, by their keys, which are their names."""
        return {pool: pool for pool in self._profile.pools}

    def pools_to_ratings(self) -> dg.StaticPartitionMapping:
        """A pool is rated by every model that rates."""
        return _grouped(self._profile.pools, self._profile.ratings, lambda rating: rating.pool)

    def models_to_ratings(self) -> dg.StaticPartitionMapping:
        """A rating model rates every pool."""
        return _grouped(self._profile.used_models, self._profile.ratings, lambda rating: rating.model)

    def ratings_to_scorings(self) -> dg.StaticPartitionMapping:
        """A base model's scores use its own ratings and those of its helpers."""
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

    def scored(self, method: str) -> dg.StaticPartitionsDefinition:
        """The partitions that a method scores."""
        return dg.StaticPartitionsDefinition(list(self._profile.scored(method)))

    def pools_to_sub_pools(self) -> dg.StaticPartitionMapping:
        """A pool maps to its sub-pools."""
        return _grouped(self._profile.pools, self._profile.sub_pools, lambda sub_pool: sub_pool.pool)

    def pools_to_scored(self, method: str) -> list[dg.AssetDep]:
        """A method that reads samples scores each pool or sub-pool from its own samples."""
        return self._pools_and_sub_pools(self._profile.scored(method), lambda scored: scored.pool)

    def models_to_scored(self, method: str) -> dg.StaticPartitionMapping:
        """A model maps to the partitions that a method scores for it."""
        return _grouped(self._profile.used_models, self._profile.scored(method), lambda scored: scored.model)

    def vectors_to_clusters(self) -> list[dg.AssetDep]:
        """Clusters are those of a pool or sub-pool."""
        clustered = self._profile.clustered
        return [self._clustered_vectors(clustered), *self._sub_pools(clustered, lambda scoring: scoring.pool)]

    def vectors_to_covered(self, method: str) -> dg.AssetDep:
        """The centres of the clusters, which a method covers, are means of the vectors."""
        return self._clustered_vectors(self._profile.scored(method))

    def _clustered_vectors(self, downstream: Mapping[str, Scoring] | Mapping[str, Scored]) -> dg.AssetDep:
        """The vectors that are clustered. The samples of a sub-pool are embedded with those of the whole pool."""
        whole_pool, profile = self._profile.whole_pool, self._profile
        if profile.k_means.vectors == "encoder":
            mapping = _grouped(profile.pools, downstream, lambda of: whole_pool(of.pool))
            return dg.AssetDep("sentence_embedding", partition_mapping=mapping)

        def scoring(of: Scoring | Scored) -> str:
            return Scoring(whole_pool(of.pool), of.model or "").key

        mapping = _grouped(profile.scorings, downstream, scoring)
        return dg.AssetDep("sample_embedding", partition_mapping=mapping)

    def clusters_and_scores_to_scored(self, method: str) -> list[dg.AssetDep]:
        """For a wrapper: the clusters of the sub-pool, and the wrapped method's scores of its pool."""
        wrapped = self._profile.methods[self._profile.methods[method].wraps or ""]
        scored = self._profile.scored(method)
        clusters = dg.StaticPartitionMapping({key: [key] for key in self._profile.clustered if key in scored})

        def wrapped_partition(of: Scored) -> str:
            pool = self._profile.whole_pool(of.pool)
            return pool if wrapped.scored_per == "pool" or of.model is None else Scoring(pool, of.model).key

        scores = _grouped(self._profile.scored(wrapped.name), scored, wrapped_partition)
        return [
            dg.AssetDep("sample_cluster", partition_mapping=clusters),
            dg.AssetDep(["scores", wrapped.name], partition_mapping=scores),
        ]

    def pools_to_experiments(self) -> list[dg.AssetDep]:
        """A pool or sub-pool maps to the experiments that select from it: all but the base models."""
        return self._pools_and_sub_pools(self._profile.experiments, lambda experiment: experiment.selects_from)

    def _pools_and_sub_pools(
        self, downstream: Mapping[str, Downstream], pool: Callable[[Downstream], str | None]
    ) -> list[dg.AssetDep]:
        pools = dg.AssetDep("pool", partition_mapping=_grouped(self._profile.pools, downstream, pool))
        return [pools, *self._sub_pools(downstream, pool)]

    def _sub_pools(
        self, downstream: Mapping[str, Downstream], pool: Callable[[Downstream], str | None]
    ) -> list[dg.AssetDep]:
        """The dependency on sub-pools; empty if nothing depends on one, as without a pool size study."""
        if not any(pool(value) in self._profile.sub_pools for value in downstream.values()):
            return []
        return [dg.AssetDep("sub_pool", partition_mapping=_grouped(self._profile.sub_pools, downstream, pool))]

    def scores_to_experiments(self, method: str) -> dg.StaticPartitionMapping:
        """A method's scores are used only by the experiments of that method."""

        def score_partition(experiment: Experiment) -> str | None:
            return self.scores_of_experiment(experiment) if experiment.method == method else None

        return _grouped(self._profile.scored(method), self._profile.experiments, score_partition)

    def scores_of_experiment(self, experiment: Experiment) -> str | None:
        """The partition of the scores that an experiment selects by; None if it needs no scores."""
        method = self._profile.methods[experiment.method]
        if experiment.pool is None or method.scored_per is None:
            return None
        pool = experiment.selects_from if method.set_dependent else experiment.pool
        return pool if method.scored_per == "pool" else Scoring(pool or "", experiment.base_model).key

    def selections_to_checkpoints(self) -> dg.StaticPartitionMapping:
        """A selection maps to its checkpoint, unless the arm only selects."""
        trained = self._profile.trained_experiments
        return dg.StaticPartitionMapping({key: [key] for key in self._profile.experiments if key in trained})

    def pools_to_checkpoints(self) -> dg.StaticPartitionMapping:
        """A pool maps to the checkpoints that are trained on its conversations."""
        return _grouped(self._profile.pools, self._profile.trained_experiments, lambda experiment: experiment.pool)

    def models_to_checkpoints(self) -> dg.StaticPartitionMapping:
        """A model is fine-tuned by its experiments."""
        return _grouped(
            self._profile.used_models, self._profile.trained_experiments, lambda experiment: experiment.model
        )


def _grouped(
    upstream: Iterable[str], downstream: Mapping[str, Downstream], upstream_key: Callable[[Downstream], str | None]
) -> dg.StaticPartitionMapping:
    """A mapping from each upstream key to the downstream keys that `upstream_key` maps to it."""
    return dg.StaticPartitionMapping(
        {key: [name for name, value in downstream.items() if upstream_key(value) == key] for key in upstream}
    )
