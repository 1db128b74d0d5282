"""What picks by the vectors of a sentence encoder: the samples nearest to targets, and those that cover a pool."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.job_inputs import job_content_hash, samples_file
from assets.record.score_table import score_asset, scored_partition
from assets.record.settings_used import Used
from assets.record.vector_picks import replace_picks, scratch_of
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.experiments.methods import name_for_targets
from selection_platform.job.folder import look_of
from selection_platform.job.growing import finished_shards, first_job, score_new_samples
from selection_platform.job.shards import shard_files
from selection_platform.models.files import encoder_files
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.features.sentence_embedding import SentenceSpec, SentenceSummary

SENTENCES, TARGETS = "sentence_embedding", "target_sentence_embedding"

Pick = Callable[[NDArray[np.float32], str, int], NDArray[np.int64]]
"""The rows to pick in order, of the samples' vectors in the order of ids, a pool and how many."""


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the methods alone, upstream before downstream."""
    assets = [_sentences(profile, partitions)]
    for targets in profile.target_sets:
        assets += [_target_sentences(profile, partitions, targets), _nearest(profile, partitions, targets)]
    return [*assets, _k_center(profile, partitions)]


def _settings(profile: Profile) -> Callable[[str], Used]:
    """What the vectors depend on."""

    def used(_: str) -> Used:
        folder = profile.encoder.folder
        # The content of the folder, not its path.
        look = {} if folder is None else {"encoder.path": look_of(encoder_files(folder))}
        return {"encoder": profile.encoder.used(), **look}

    return used


def _spec(profile: Profile, samples: Path) -> "SentenceSpec":
    from selection_platform.features.sentence_embedding import SentenceSpec
    from selection_platform.models.sentence_encoder import encoder_folder

    return SentenceSpec(
        encoder_folder=str(encoder_folder(profile.encoder)),
        samples_file=str(samples),
        scoring=profile.encoder.sizes,
        dtype="float32",
        text=TextSettings(),
    )


def _metadata(summary: "SentenceSummary") -> dict[str, int | float]:
    return {
        "samples": summary.samples,
        "tokens": summary.tokens,
        "padding": summary.padding_share,
        "samples that lost their end": summary.cut,
        "seconds": summary.seconds,
        "peak memory, bytes": summary.peak_memory_bytes,
    }


def _sentences(profile: Profile, partitions: Partitions) -> dg.AssetsDefinition:
    @platform_asset(
        partitions=partitions.pools,
        deps=[partitions.pools_to_pools("pool")],
        group="features",
        kinds={"pytorch"},
        settings=_settings(profile),
        gpu=True,
        sql=["30_features/samples_to_score"],
        by=["sentence_embedding"],
        folder=lambda artifacts, pool: first_job(artifacts.scoring(pool) / SENTENCES),
    )
    def sentence_embedding(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """The vector of each sample by a sentence encoder, in files."""
        from selection_platform.features.sentence_embedding import SENTENCE_EMBEDDING, SentenceSummary, job_settings

        folder = artifacts.scoring(context.partition_key) / SENTENCES
        samples = samples_file(context.partition_key, folder.with_name(f"{SENTENCES}.samples"), warehouse)
        spec = _spec(profile, samples)
        run = jobs.runner(context, SENTENCE_EMBEDDING)
        grown = score_new_samples(spec, folder, run, SentenceSummary, job_settings(spec))
        shutil.rmtree(samples.parent)
        return dg.MaterializeResult(
            metadata={"samples embedded now": grown.new_samples, **_metadata(grown.summary)},
            data_version=dg.DataVersion(grown.content_hash),
        )

    return sentence_embedding


def _target_sentences(profile: Profile, partitions: Partitions, targets: str) -> dg.AssetsDefinition:
    name = name_for_targets(TARGETS, targets)

    @platform_asset(
        key=[name],
        description=f"The vector of each of the targets `{targets}` by a sentence encoder, in files.",
        partitions=partitions.pools,
        deps=[partitions.targets_to_pools(targets)],
        group="features",
        kinds={"pytorch"},
        settings=_settings(profile),
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
        summary = jobs.run(context, SENTENCE_EMBEDDING, _spec(profile, samples), folder)
        samples.unlink()
        return dg.MaterializeResult(metadata=_metadata(summary), data_version=dg.DataVersion(job_content_hash(folder)))

    return target_sentence_embedding


def _nearest(profile: Profile, partitions: Partitions, targets: str) -> dg.AssetsDefinition:
    name, method = name_for_targets(TARGETS, targets), name_for_targets("embedding", targets)

    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.features.sample_embedding import read_embeddings
        from selection_platform.methods.target_similarity import similarity

        def pick(vectors: NDArray[np.float32], pool: str, count: int) -> NDArray[np.int64]:
            files = shard_files(artifacts.scoring(pool) / name)
            file = scratch_of(artifacts, method, context.partition_key) / "targets.npy"
            return similarity(vectors, read_embeddings(files, file)[1], count).picked

        return _picked(profile, method, context, artifacts, warehouse, pick)

    return _scores(profile, partitions, method, [SENTENCES, name], "target_similarity")(scores)


def _k_center(profile: Profile, partitions: Partitions) -> dg.AssetsDefinition:
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.diverse_evol.k_center import k_center_of_pool

        def pick(vectors: NDArray[np.float32], _: str, count: int) -> NDArray[np.int64]:
            return k_center_of_pool(vectors, count)

        return _picked(profile, "k_center", context, artifacts, warehouse, pick)

    return _scores(profile, partitions, "k_center", [SENTENCES], "k_center")(scores)


def _scores(
    profile: Profile, partitions: Partitions, method: str, deps: list[str], by: str
) -> Callable[..., dg.AssetsDefinition]:
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


def _picked(
    profile: Profile,
    method: str,
    context: dg.AssetExecutionContext,
    artifacts: ArtifactStore,
    warehouse: Warehouse,
    pick: Pick,
) -> dg.MaterializeResult:
    """Pick of a partition's samples by their vectors, and write the scores."""
    pool = scored_partition(profile, method, context.partition_key)["pool"] or ""
    whole = profile.whole_pool(pool)
    wanted = set(warehouse.query(load_sql("30_features/sample_ids"), {"pool": pool})["sample_id"])
    shards = finished_shards(artifacts.scoring(whole) / SENTENCES)

    def pick_of_pool(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        return pick(vectors, whole, max(profile.budgets))

    return replace_picks(profile, method, context, artifacts, warehouse, shards, wanted, pick_of_pool)
