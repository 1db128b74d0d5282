"""What picks by the vectors of a sentence encoder: the samples nearest to targets, and those that cover a pool."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.job_inputs import job_content_hash
from assets.record.score_table import replace_scores, score_asset
from assets.record.vector_picks import replace_picks
from assets.record.vectors import SENTENCES, as_array, of_encoder
from assets.sentences import encoder_settings, sentence_metadata, sentence_spec
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.experiments.methods import name_for_targets
from selection_platform.job.shards import shard_files
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.methods.target_similarity import Similarity

TARGETS = "target_sentence_embedding"


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the methods alone, upstream before downstream."""
    assets: list[dg.AssetsDefinition] = []
    for targets in profile.target_sets:
        assets += [
            _target_sentences(profile, partitions, targets),
            _in_turns(profile, partitions, targets),
            _nearest(profile, partitions, targets),
        ]
    return [*assets, _k_center(profile, partitions)]


def _target_sentences(profile: Profile, partitions: Partitions, targets: str) -> dg.AssetsDefinition:
    name = name_for_targets(TARGETS, targets)

    @platform_asset(
        key=[name],
        description=f"The vector of each of the targets `{targets}` by a sentence encoder, in files.",
        partitions=partitions.pools,
        deps=[partitions.targets_to_pools(targets)],
        group="features",
        kinds={"pytorch"},
        settings=encoder_settings(profile),
        gpu=True,
        sql=["36_influence/samples_of_targets"],
        by=["sentence_embedding"],
        folder=lambda artifacts, pool: artifacts.scoring(pool) / name,
    )
    def target_sentence_embedding(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.features.sentence_embedding import SENTENCE_EMBEDDING

        pool = context.partition_key
        folder = artifacts.scoring(pool) / name
        samples = folder.with_name(f"{name}.samples.parquet")
        warehouse.export(load_sql("36_influence/samples_of_targets"), samples, {"pool": pool, "targets": targets})
        summary = jobs.run(context, SENTENCE_EMBEDDING, sentence_spec(profile, samples), folder)
        samples.unlink()
        return dg.MaterializeResult(
            metadata=sentence_metadata(summary), data_version=dg.DataVersion(job_content_hash(folder))
        )

    return target_sentence_embedding


def _in_turns(profile: Profile, partitions: Partitions, targets: str) -> dg.AssetsDefinition:
    method, targets_asset = name_for_targets("embedding", targets), name_for_targets(TARGETS, targets)

    @_picking(profile, partitions, method, [SENTENCES, targets_asset], "target_similarity")
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        pool = profile.scored(method)[context.partition_key].pool
        embedded = artifacts.scoring(profile.whole_pool(pool)) / targets_asset

        def pick(vectors: NDArray[np.float32], scratch: Path) -> NDArray[np.int64]:
            return _similarity(vectors, embedded, scratch, max(profile.budgets))[1].picked

        found = of_encoder(profile, artifacts, warehouse, pool)
        return replace_picks(profile, method, context, artifacts, warehouse, found, pick)

    return scores


def _nearest(profile: Profile, partitions: Partitions, targets: str) -> dg.AssetsDefinition:
    method, targets_asset = name_for_targets("embedding.max", targets), name_for_targets(TARGETS, targets)

    @score_asset(
        profile,
        partitions,
        method,
        [SENTENCES, targets_asset],
        {"python", "duckdb"},
        settings={},
        sql=["30_features/sample_ids", "40_scores/embedding_max"],
        by=["target_similarity"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.target_similarity import write_similarity

        partition = profile.scored(method)[context.partition_key]
        embedded = artifacts.scoring(partition.pool) / targets_asset
        scratch = artifacts.picks(method, context.partition_key) / "scratch"
        with as_array(of_encoder(profile, artifacts, warehouse, partition.pool), scratch) as (ids, vectors):
            # None takes turns, so one pick is enough.
            target_ids, similarity = _similarity(vectors, embedded, scratch, 1)
            write_similarity(ids, target_ids, similarity, scratch / "similarity.parquet")
            values = {"similarity": str(scratch / "similarity.parquet")}
            return replace_scores(warehouse, profile.methods[method], partition._asdict(), "embedding_max", values)

    return scores


def _similarity(
    vectors: NDArray[np.float32], embedded: Path, scratch: Path, picks: int
) -> "tuple[list[str], Similarity]":
    """The ids of targets whose vectors are in the folder `embedded`, and how similar samples are to them."""
    from selection_platform.features.sample_embedding import read_embeddings
    from selection_platform.methods.target_similarity import similarity

    ids, targets = read_embeddings(shard_files(embedded), scratch / "targets.npy")
    return ids, similarity(vectors, targets, picks)


def _k_center(profile: Profile, partitions: Partitions) -> dg.AssetsDefinition:
    @_picking(profile, partitions, "k_center", [SENTENCES], "k_center")
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.diverse_evol.k_center import k_center_of_pool

        def pick(vectors: NDArray[np.float32], _: Path) -> NDArray[np.int64]:
            return k_center_of_pool(vectors, max(profile.budgets))

        found = of_encoder(profile, artifacts, warehouse, profile.scored("k_center")[context.partition_key].pool)
        return replace_picks(profile, "k_center", context, artifacts, warehouse, found, pick)

    return scores


def _picking(
    profile: Profile, partitions: Partitions, method: str, deps: list[str], by: str
) -> Callable[..., dg.AssetsDefinition]:
    """Decorates the function that picks one by one."""
    return score_asset(
        profile,
        partitions,
        method,
        partitions.whole_pools_to_scored(method, *deps),
        {"python", "duckdb"},
        settings={"budgets": max(profile.budgets)},
        sql=["30_features/sample_ids", "40_scores/one_by_one"],
        by=[by],
    )
