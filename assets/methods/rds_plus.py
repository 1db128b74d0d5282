"""RDS+: the samples whose hidden states are most similar to those of targets."""

import shutil

import dagster as dg
import numpy as np

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import COMPLETENESS, Completeness
from assets.record.score_table import sql_score
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import PassSettings
from selection_platform.experiments.keys import Scoring
from selection_platform.experiments.methods import name_for_targets
from sql.queries import load_sql

WHITENED = ".whitened"


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the method alone, upstream before downstream."""
    return [asset for targets in profile.target_sets for asset in _for_targets(profile, partitions, targets)]


def _for_targets(profile: Profile, partitions: Partitions, targets: str) -> list[dg.AssetsDefinition]:
    return [
        asset
        for suffix, of_targets, variants in (
            ("", targets, ("", ".max")),
            (WHITENED, f"{targets}/whitened", (WHITENED,)),
        )
        for asset in (
            _similarity(profile, partitions, targets, suffix, of_targets),
            *(
                sql_score(
                    profile,
                    partitions,
                    name_for_targets(f"rds_plus{variant}", targets),
                    "rds_plus",
                    [name_for_targets(f"target_similarity{suffix}", targets)],
                    targets=of_targets,
                    highest=variant == ".max",
                )
                for variant in variants
            ),
        )
    ]


def _similarity(
    profile: Profile, partitions: Partitions, targets: str, suffix: str, of_targets: str
) -> dg.AssetsDefinition:
    """The similarity to a target set. `suffix` says whether after a whitening; `of_targets` is the table's value."""
    name, table = name_for_targets(f"target_similarity{suffix}", targets), "features.target_similarity"
    method, whitened = name_for_targets(f"rds_plus{suffix}", targets), suffix == WHITENED
    uses = {"scoring": profile.scoring.part(PassSettings), "dtype": profile.dtype}

    @platform_asset(
        key=[name],
        description="How similar each sample's position-weighted hidden states are to those of the targets "
        f"`{targets}`{', after whitening' if whitened else ''}. Table `{table}`, targets `{of_targets}`.",
        partitions=partitions.scored(method),
        deps=[
            *partitions.scorings_to_scored(method, "weighted_embedding"),
            partitions.targets_to_scored(method, targets),
        ],
        checks=[COMPLETENESS],
        group="features",
        kinds={"pytorch", "duckdb"},
        settings={**uses, "budgets": max(profile.budgets)},
        rendered=lambda key: profile.text_of(profile.scored(method)[key].model),
        gpu=True,
        sql=["36_influence/samples_of_targets", "30_features/embedded_samples"],
        by=["sample_embedding", "target_similarity", *(["whitening"] if whitened else [])],
    )
    def target_similarity(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.features.sample_embedding import SAMPLE_EMBEDDING, EmbeddingSpec, read_embeddings
        from selection_platform.job.growing import finished_apart
        from selection_platform.job.shards import shard_files
        from selection_platform.methods.target_similarity import similarity, write_similarity
        from selection_platform.methods.whitening import fit_whitening

        scored = profile.scored(method)[context.partition_key]
        scoring, model = Scoring(profile.whole_pool(scored.pool), scored.model or ""), scored.model or ""
        folder = artifacts.scoring(context.partition_key) / name_for_targets("target_embedding", targets)
        scratch, samples_of_targets = artifacts.scoring(context.partition_key) / name, folder / "samples.parquet"
        shutil.rmtree(scratch, ignore_errors=True)
        values = {"pool": scoring.pool, "targets": targets}
        warehouse.export(load_sql("36_influence/samples_of_targets"), samples_of_targets, values)
        spec = EmbeddingSpec(
            model_folder=str(artifacts.base_model(model)),
            samples_file=str(samples_of_targets),
            text=profile.text_of(model),
            weighted=True,
            **uses,
        )
        summary = jobs.run(context, SAMPLE_EMBEDDING, spec, folder / "pass")
        of = {"pool": scored.pool, "model": model, "embedded_pool": scoring.pool}
        wanted = set(warehouse.query(load_sql("30_features/embedded_samples"), of)["sample_id"])
        shards = finished_apart(artifacts.scoring(scoring.key) / "answer_likelihood")
        ids, samples = read_embeddings(shards, scratch / "samples.npy", "weighted_embedding", wanted)
        target_ids, vectors = read_embeddings(shard_files(folder / "pass"), scratch / "targets.npy")
        transform = fit_whitening(samples) if whitened else np.asarray
        found = similarity(samples, vectors, max(profile.budgets), transform)
        write_similarity(ids, target_ids, found, scratch / "out.parquet")
        partition = {"pool": scored.pool, "model": model, "targets": of_targets}
        complete = Completeness(table, partition)
        rows = warehouse.replace_from_parquet(table, partition, [scratch / "out.parquet"], complete.verify)
        shutil.rmtree(scratch)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": table,
                "dagster/partition_row_count": rows,
                "targets": len(target_ids),
                "targets with a cut prompt": summary.cut_prompts,
                "targets with a cut answer": summary.truncated,
            },
            check_results=[complete.result()],
            data_version=dg.DataVersion(warehouse.content_hash(table, partition)),
        )

    return target_similarity
