"""Features: what the base model makes of each sample. Computed once, and shared by every method that needs them."""

from collections.abc import Iterator

import dagster as dg

from assets.partitions import Partitions
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.manifest import read_manifest
from selection_platform.profile import Profile
from selection_platform.queries import load_sql


def feature_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    inputs = [
        dg.AssetDep("pool", partition_mapping=partitions.pools_to_scorings()),
        dg.AssetDep("base_model", partition_mapping=partitions.models_to_scorings()),
    ]

    @dg.asset(
        partitions_def=partitions.scorings,
        deps=inputs,
        group_name="features",
        kinds={"huggingface", "duckdb"},
        owners=["team:selection"],
        code_version="1",
    )
    def token_count(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """Tokens of each sample's prompt and last answer, by the model's tokenizer. Table `features.token_count`."""
        from selection_platform.scoring.token_count import write_token_counts

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key)
        samples = folder / "samples.parquet"
        warehouse.export(load_sql("30_features/samples_to_score"), samples, {"pool": scoring.pool})
        summary = write_token_counts(artifacts.base_model(scoring.model), samples, folder / "token_count.parquet")
        partition = {"pool": scoring.pool, "model": scoring.model}
        warehouse.replace_from_parquet("features.token_count", partition, [folder / "token_count.parquet"])
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "features.token_count",
                "dagster/partition_row_count": summary.samples,
                "prompt tokens": summary.prompt_tokens,
                "answer tokens": summary.answer_tokens,
            },
            data_version=dg.DataVersion(warehouse.content_hash("features.token_count", partition)),
        )

    @dg.multi_asset(
        name="forward_pass",
        partitions_def=partitions.scorings,
        specs=[
            dg.AssetSpec(
                "answer_likelihood",
                description="How likely the base model finds each sample's prompt, its last answer given the prompt, "
                "and the answer alone. Table `features.answer_likelihood`, in nats.",
                deps=inputs,
                group_name="features",
                kinds={"pytorch", "duckdb"},
                owners=["team:selection"],
                code_version="1",
            ),
            dg.AssetSpec(
                "sample_embedding",
                description="Mean of the base model's last hidden state over each sample's prompt and last answer. "
                "Table `features.sample_embedding`.",
                deps=inputs,
                group_name="features",
                kinds={"pytorch", "duckdb"},
                owners=["team:selection"],
                code_version="1",
            ),
        ],
        pool="gpu",
    )
    def forward_pass(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> Iterator[dg.MaterializeResult]:
        """One pass over prompt and answer and one over the answer alone, for every method that needs either."""
        from selection_platform.scoring.answer_likelihood import LikelihoodSpec, score

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key)
        samples = folder / "samples.parquet"
        warehouse.export(load_sql("30_features/samples_to_score"), samples, {"pool": scoring.pool})
        spec = LikelihoodSpec(
            model_folder=str(artifacts.base_model(scoring.model)),
            samples_file=str(samples),
            dtype=profile.dtype,
            **profile.scoring.model_dump(),
        )
        summary = score(spec, folder / "answer_likelihood")
        # The job hashes its shards; a hash made in SQL would turn every embedding into text.
        content = (read_manifest(folder / "answer_likelihood") or {})["content_hash"]
        shards = sorted((folder / "answer_likelihood").glob("part-*.parquet"))
        partition = {"pool": scoring.pool, "model": scoring.model}
        for table, query in (
            ("answer_likelihood", "SELECT * EXCLUDE (embedding) FROM read_parquet($files)"),
            ("sample_embedding", "SELECT sample_id, embedding FROM read_parquet($files)"),
        ):
            rows = warehouse.replace(f"features.{table}", partition, query, {"files": [str(shard) for shard in shards]})
            yield dg.MaterializeResult(
                asset_key=table,
                metadata={
                    "dagster/table_name": f"features.{table}",
                    "dagster/partition_row_count": rows,
                    "tokens": summary.tokens,
                    "padding": summary.padding_share,
                    "samples cut by the scoring window": summary.truncated,
                    "samples whose prompt fills the window": summary.prompt_fills_context,
                    "samples with an empty answer": summary.empty_answers,
                    "seconds": summary.seconds,
                    "peak memory, bytes": summary.peak_memory_bytes,
                },
                data_version=dg.DataVersion(content),
            )

    return [token_count, forward_pass]
