"""Features: outputs of the base model for each sample, computed once and shared by all methods."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset, platform_spec
from assets.record.checks import COMPLETENESS, TRUNCATION, Completeness, specs
from assets.record.features import likelihood_metadata, replace_clusters
from assets.record.job_inputs import samples_file
from assets.record.recording import recorded
from assets.record.settings_used import Declared, declare
from assets.record.vectors import clustered_vectors
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.job.folder import content_hash, file_hash
from selection_platform.job.growing import first_job
from selection_platform.job.versions import logits_in
from sql.queries import load_sql

KEPT_APART = {"weighted_embedding": "rds_plus", "prompt_effect": "s_ifd"}
"""What the shared pass keeps for one method alone, and the method."""
WHAT_IT_IS = {
    "weighted_embedding": "Mean of the base model's last hidden state over each sample's prompt and last answer, in "
    "which token i weighs i.",
    "prompt_effect": "How much the prompt adds to the negative log likelihood of each token of a sample's last answer, "
    "in nats.",
}


def feature_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    inputs = partitions.pool_and_model()

    @platform_asset(
        partitions=partitions.scorings,
        deps=inputs,
        checks=[COMPLETENESS],
        group="features",
        kinds={"huggingface", "duckdb"},
        settings={},
        rendered=profile.text_of_scoring,
        sql=["30_features/samples_to_score"],
        by=["token_count"],
    )
    def token_count(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """Tokens of each sample's prompt and last answer, by the model's tokenizer. Table `features.token_count`."""
        from selection_platform.features.token_count import write_token_counts

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key)
        samples = samples_file(scoring.pool, folder, warehouse)
        text = profile.text_of(scoring.model)
        summary = write_token_counts(artifacts.base_model(scoring.model), samples, folder / "token_count.parquet", text)
        partition = {"pool": scoring.pool, "model": scoring.model}
        complete = Completeness("features.token_count", partition)
        files = [folder / "token_count.parquet"]
        warehouse.replace_from_parquet("features.token_count", partition, files, complete.verify)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "features.token_count",
                "dagster/partition_row_count": summary.samples,
                "prompt tokens": summary.prompt_tokens,
                "answer tokens": summary.answer_tokens,
            },
            check_results=[complete.result()],
            data_version=dg.DataVersion(warehouse.content_hash("features.token_count", partition)),
        )

    uses = {"scoring": profile.scoring, "dtype": profile.dtype, "prompt_embedding": profile.uses_pre_experience}
    settings = {**uses, **logits_in(profile.dtype)}
    # Each is an asset of its own, beside the shards: without an arm that reads it, nothing of the others changes.
    kept_apart = [name for name, method in KEPT_APART.items() if profile.uses(method)]
    forward_pass_declared = {
        **{dg.AssetKey(name): Declared(settings, rendered=profile.text_of_scoring) for name in kept_apart},
        # Clusters are computed from its shards: embeddings in the warehouse would have to be converted to arrays again.
        dg.AssetKey("answer_likelihood"): Declared(settings, rendered=profile.text_of_scoring, folder=_first_shards),
        dg.AssetKey("sample_embedding"): Declared(settings, rendered=profile.text_of_scoring),
    }

    @dg.multi_asset(
        name="forward_pass",
        partitions_def=partitions.scorings,
        specs=[
            platform_spec(
                "answer_likelihood",
                description="How likely the base model finds each sample's prompt, its last answer given the prompt, "
                "and the answer alone. Table `features.answer_likelihood`, in nats.",
                deps=inputs,
                group="features",
                kinds={"pytorch", "duckdb"},
                sql=["30_features/samples_to_score", "30_features/answer_likelihood"],
                by=["answer_likelihood"],
            ),
            platform_spec(
                "sample_embedding",
                description="Mean of the base model's last hidden state over each sample's prompt and last answer. "
                "Table `features.sample_embedding`.",
                deps=inputs,
                group="features",
                kinds={"pytorch", "duckdb"},
                sql=["30_features/samples_to_score", "30_features/sample_embedding"],
                by=["answer_likelihood"],
            ),
            *(_spec_apart(name, inputs) for name in kept_apart),
        ],
        check_specs=[
            *specs([COMPLETENESS, TRUNCATION], partitions.scorings, "answer_likelihood"),
            *specs([COMPLETENESS], partitions.scorings, "sample_embedding"),
            *(spec for name in kept_apart for spec in specs([], partitions.scorings, name)),
        ],
        pool="gpu",
    )
    @recorded(forward_pass_declared)
    def forward_pass(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> Iterator[dg.MaterializeResult]:
        """One pass over prompt and answer and one over the answer alone, for all methods that need them."""
        from selection_platform.features.answer_likelihood import (
            ANSWER_LIKELIHOOD,
            FILES_APART,
            LikelihoodSpec,
            LikelihoodSummary,
            job_settings,
        )
        from selection_platform.job.growing import finished_apart, score_new_samples

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key)
        spec = LikelihoodSpec(
            model_folder=str(artifacts.base_model(scoring.model)),
            samples_file=str(samples_file(scoring.pool, folder, warehouse)),
            text=profile.text_of(scoring.model),
            **dict.fromkeys(kept_apart, True),
            **uses,
        )
        grown = score_new_samples(
            spec,
            folder / "answer_likelihood",
            jobs.runner(context, ANSWER_LIKELIHOOD),
            LikelihoodSummary,
            job_settings(spec),
        )
        values = {"files": grown.files, "pool": scoring.pool}
        partition = {"pool": scoring.pool, "model": scoring.model}
        for table, query, of_reader in (
            ("answer_likelihood", "30_features/answer_likelihood", {"reader": "base"}),
            ("sample_embedding", "30_features/sample_embedding", {}),
        ):
            of_table = {**partition, **of_reader}
            complete = Completeness(f"features.{table}", of_table)
            rows = warehouse.replace(f"features.{table}", of_table, load_sql(query), values, complete.verify)
            checks = [complete.result(table)]
            if table == "answer_likelihood":
                checks.append(complete.truncation_result(table))
            yield dg.MaterializeResult(
                asset_key=table,
                metadata={
                    "dagster/table_name": f"features.{table}",
                    "dagster/partition_row_count": rows,
                    "samples scored now": grown.new_samples,
                    **likelihood_metadata(grown.summary),
                },
                check_results=checks,
                # The jobs hash their shards; a hash in SQL would turn every embedding into text.
                data_version=dg.DataVersion(grown.content_hash),
            )
        for name in kept_apart:
            files = finished_apart(folder / "answer_likelihood", FILES_APART[name])
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={"samples scored now": grown.new_samples},
                data_version=dg.DataVersion(content_hash([grown.content_hash, *map(file_hash, files)])),
            )

    by_encoder = profile.k_means.vectors == "encoder"

    @platform_asset(
        partitions=partitions.clustered,
        deps=partitions.vectors_to_clusters(),
        group="features",
        kinds={"scikitlearn", "duckdb"},
        settings={"k_means": profile.k_means},
        sql=["30_features/sample_ids" if by_encoder else "30_features/embedded_samples"],
        by=["sample_cluster"],
    )
    def sample_cluster(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """k-means clusters of the samples' embeddings, as `k_means: vectors` says. Table `features.sample_cluster`."""
        scoring, settings, key = profile.clustered[context.partition_key], profile.k_means, "k_means.clusters"
        vectors = clustered_vectors(profile, artifacts, warehouse, scoring)
        return replace_clusters(warehouse, artifacts, "sample_cluster", scoring, vectors, "embedding", settings, key)

    return [token_count, declare(forward_pass, forward_pass_declared), sample_cluster]


def _spec_apart(name: str, inputs: list[dg.AssetDep]) -> dg.AssetSpec:
    """What the pass keeps beside its shards."""
    return platform_spec(
        name,
        description=f"{WHAT_IT_IS[name]} In files beside those of `answer_likelihood`.",
        deps=inputs,
        group="features",
        kinds={"pytorch"},
        sql=["30_features/samples_to_score"],
        by=["answer_likelihood", name],
    )


def _first_shards(artifacts: ArtifactStore, scoring: str) -> Path:
    return first_job(artifacts.scoring(scoring) / "answer_likelihood")
