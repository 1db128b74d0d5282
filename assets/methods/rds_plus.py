"""RDS+: the samples whose hidden states are most similar to those of targets."""

import dagster as dg
import numpy as np

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import COMPLETENESS, Completeness
from assets.record.features import window_metadata
from assets.record.job_inputs import job_content_hash
from assets.record.score_table import sql_score
from assets.record.vectors import as_array, of_base_model
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import PassSettings
from selection_platform.experiments.keys import Scoring
from selection_platform.experiments.methods import name_for_targets
from selection_platform.job.shards import shard_files
from sql.queries import load_sql

WHITENED = ".whitened"


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the method alone, upstream before downstream."""
    return [asset for targets in profile.target_sets for asset in _for_targets(profile, partitions, targets)]


def _for_targets(profile: Profile, partitions: Partitions, targets: str) -> list[dg.AssetsDefinition]:
    """What is made once for each target set."""
    whitened = f"{targets}/whitened"

    def score(variant: str, similarity: str, of: str, *, highest: bool) -> dg.AssetsDefinition:
        method, deps = name_for_targets(f"rds_plus{variant}", targets), [name_for_targets(similarity, targets)]
        return sql_score(profile, partitions, method, "rds_plus", deps, targets=of, highest=highest)

    return [
        _embedding(profile, partitions, targets),
        _similarity(profile, partitions, targets, "", targets),
        score("", "target_similarity", targets, highest=False),
        score(".max", "target_similarity", targets, highest=True),
        _similarity(profile, partitions, targets, WHITENED, whitened),
        score(WHITENED, f"target_similarity{WHITENED}", whitened, highest=False),
    ]


def _embedding(profile: Profile, partitions: Partitions, targets: str) -> dg.AssetsDefinition:
    name = name_for_targets("target_embedding", targets)
    uses = {"scoring": profile.scoring.part(PassSettings), "dtype": profile.dtype}

    @platform_asset(
        key=[name],
        description="Position-weighted mean of the base model's last hidden state over each of the targets "
        f"`{targets}`.",
        partitions=partitions.scorings,
        deps=[
            partitions.targets_to_scorings(targets),
            dg.AssetDep("base_model", partition_mapping=partitions.models_to_scorings()),
        ],
        group="features",
        kinds={"pytorch"},
        settings=uses,
        rendered=profile.text_of_scoring,
        gpu=True,
        sql=["36_influence/samples_of_targets"],
        by=["sample_embedding"],
        folder=lambda artifacts, key: artifacts.scoring(key) / name,
    )
    def target_embedding(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.features.sample_embedding import SAMPLE_EMBEDDING, EmbeddingSpec

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key) / name
        samples = folder.with_name(f"{name}.samples.parquet")
        of = {"pool": scoring.pool, "targets": targets}
        warehouse.export(load_sql("36_influence/samples_of_targets"), samples, of)
        spec = EmbeddingSpec(
            model_folder=str(artifacts.base_model(scoring.model)),
            samples_file=str(samples),
            text=profile.text_of(scoring.model),
            weighted=True,
            **uses,
        )
        summary = jobs.run(context, SAMPLE_EMBEDDING, spec, folder)
        return dg.MaterializeResult(
            metadata={
                "targets": summary.samples,
                "tokens": summary.tokens,
                **window_metadata(summary.cut_prompts, summary.truncated),
                "seconds": summary.seconds,
                "peak memory, bytes": summary.peak_memory_bytes,
            },
            data_version=dg.DataVersion(job_content_hash(folder)),
        )

    return target_embedding


def _similarity(
    profile: Profile, partitions: Partitions, targets: str, suffix: str, of_targets: str
) -> dg.AssetsDefinition:
    """The similarity to a target set. `suffix` says whether after a whitening; `of_targets` is the table's value."""
    name, table = name_for_targets(f"target_similarity{suffix}", targets), "features.target_similarity"
    method, whitened = name_for_targets(f"rds_plus{suffix}", targets), suffix == WHITENED
    embedding = name_for_targets("target_embedding", targets)

    @platform_asset(
        key=[name],
        description="How similar each sample's position-weighted hidden states are to those of the targets "
        f"`{targets}`{', after whitening' if whitened else ''}. Table `{table}`, targets `{of_targets}`.",
        partitions=partitions.scored(method),
        deps=[
            *partitions.scorings_to_scored(method, "weighted_embedding"),
            partitions.scorings_to_scored(method, embedding)[0],
        ],
        checks=[COMPLETENESS],
        group="features",
        kinds={"python", "duckdb"},
        settings={"budgets": max(profile.budgets)},
        sql=["30_features/embedded_samples"],
        by=["target_similarity", *(["whitening"] if whitened else [])],
    )
    def target_similarity(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.features.sample_embedding import read_embeddings
        from selection_platform.job.growing import finished_apart
        from selection_platform.methods.target_similarity import similarity, write_similarity
        from selection_platform.methods.whitening import fit_whitening

        scored = profile.scored(method)[context.partition_key]
        of_pass = artifacts.scoring(Scoring(profile.whole_pool(scored.pool), scored.model or "").key)
        kept_apart = finished_apart(of_pass / "answer_likelihood")
        of_samples = of_base_model(profile, artifacts, warehouse, scored)._replace(shards=kept_apart)
        scratch = artifacts.scoring(context.partition_key) / name
        with as_array(of_samples, scratch, "weighted_embedding") as (ids, samples):
            target_ids, vectors = read_embeddings(shard_files(of_pass / embedding), scratch / "targets.npy")
            transform = fit_whitening(samples) if whitened else np.asarray
            found = similarity(samples, vectors, max(profile.budgets), transform)
            write_similarity(ids, target_ids, found, scratch / "similarity.parquet")
            partition = {**scored._asdict(), "targets": of_targets}
            complete = Completeness(table, partition)
            rows = warehouse.replace_from_parquet(table, partition, [scratch / "similarity.parquet"], complete.verify)
        return dg.MaterializeResult(
            metadata={"dagster/table_name": table, "dagster/partition_row_count": rows, "targets": len(target_ids)},
            check_results=[complete.result()],
            data_version=dg.DataVersion(warehouse.content_hash(table, partition)),
        )

    return target_similarity
