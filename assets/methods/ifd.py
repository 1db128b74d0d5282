"""IFD, and its pre-experience: a model trained on prompts of middle perplexity in each cluster, and its likelihoods.

In bfloat16 a part of each pool is scored twice, so that the report can say how many picks of IFD are noise.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import COMPLETENESS, Completeness
from assets.record.features import likelihood_metadata, replace_clusters
from assets.record.job_inputs import job_content_hash, samples_file
from assets.record.metadata import model_result
from assets.record.score_table import sql_score
from assets.record.settings_used import only, trained_in, without
from assets.record.vectors import of_base_model
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import PAPER
from selection_platform.experiments.keys import Scoring
from selection_platform.features.rescored import LEAST, MOST, PART, READER, is_rescored, rescored_samples
from selection_platform.job.shards import shard_files
from selection_platform.job.versions import logits_in
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.features.answer_likelihood import LikelihoodSummary


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of the method alone, upstream before downstream."""

    @platform_asset(
        partitions=partitions.scorings,
        # The embeddings of the prompts are in the shards of this asset's job.
        deps=["answer_likelihood"],
        group="features",
        kinds={"scikitlearn", "duckdb"},
        settings={"pre_experience": only(profile.pre_experience, "clusters", "seed")},
        sql=["30_features/embedded_samples"],
        by=["sample_cluster"],
    )
    def prompt_cluster(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """k-means clusters of the embeddings of the samples' prompts. Table `features.prompt_cluster`."""
        scoring = profile.scorings[context.partition_key]
        settings, key = profile.pre_experience, "pre_experience.clusters"
        vectors = of_base_model(profile, artifacts, warehouse, scoring)
        return replace_clusters(
            warehouse, artifacts, "prompt_cluster", scoring, vectors, "prompt_embedding", settings, key
        )

    @platform_asset(
        partitions=partitions.scorings,
        deps=[
            "prompt_cluster",
            "answer_likelihood",
            *partitions.pool_and_model(),
        ],
        group="models",
        kinds={"pytorch", "huggingface"},
        settings={
            "pre_experience": without(profile.pre_experience, "clusters"),
            "fine_tuning": without(profile.fine_tuning, "epochs"),
            **trained_in(profile),
        },
        rendered=profile.text_of_scoring,
        gpu=True,
        sql=["35_pre_experience/samples"],
        by=["fine_tuning"],
        folder=ArtifactStore.pre_experience_checkpoint,
    )
    def pre_experience_checkpoint(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """The base model after a short training on prompts of middle perplexity in each cluster. IFD scores with it."""
        from selection_platform.training.fine_tuning import FINE_TUNING, FineTuningSpec

        scoring = profile.scorings[context.partition_key]
        folder, settings = artifacts.pre_experience_checkpoint(scoring.key), profile.pre_experience
        samples = folder.with_name(f"{folder.name}.samples.parquet")
        values = {"pool": scoring.pool, "model": scoring.model, "per_cluster": settings.samples_per_cluster}
        warehouse.export(conversations_sql(warehouse, "35_pre_experience/samples", values), samples, values)
        spec = FineTuningSpec(
            base_model_folder=str(artifacts.base_model(scoring.model)),
            train_file=str(samples),
            recipe=profile.fine_tuning.model_copy(update={"epochs": settings.epochs}),
            text=profile.text_of(scoring.model),
            seed=settings.seed,
            precision=profile.dtype,
        )
        return model_result(jobs.run(context, FINE_TUNING, spec, folder), folder)

    score = partial(sql_score, profile, partitions, statement="ifd")
    return [
        prompt_cluster,
        pre_experience_checkpoint,
        _likelihood(profile, partitions, "pre_experience", published=False),
        _likelihood(profile, partitions, "published", published=True),
        *([_rescored(profile, partitions)] if is_rescored(profile) else []),
        score("ifd", deps=["answer_likelihood"], reader="base", published=False),
        score("ifd.pre_experience", deps=["pre_experience_likelihood"], reader="pre_experience", published=False),
        score("ifd.published", deps=["pre_experience_likelihood.published"], reader="published", published=True),
    ]


def _likelihood(profile: Profile, partitions: Partitions, reader: str, *, published: bool) -> dg.AssetsDefinition:
    name = "pre_experience_likelihood.published" if published else "pre_experience_likelihood"
    # The published script always cuts at the end.
    scoring = profile.scoring.model_copy(update={"cut": "answer_end"}) if published else profile.scoring
    uses = {"scoring": scoring, "dtype": profile.dtype}
    border = "the border of prompt and answer guessed as the published script does" if published else "in pieces"

    @platform_asset(
        key=[name],
        description=f"How likely the pre-experience model finds each sample's last answer; tokenised {border}. "
        f"Table `features.answer_likelihood`, reader `{reader}`.",
        partitions=partitions.scorings,
        deps=[
            "pre_experience_checkpoint",
            dg.AssetDep("pool", partition_mapping=partitions.pools_to_scorings()),
        ],
        checks=[COMPLETENESS],
        group="features",
        kinds={"pytorch", "duckdb"},
        settings={**uses, **logits_in(profile.dtype)},
        # The published border is that of the paper's text, for any model.
        rendered=lambda key: PAPER if published else profile.text_of_scoring(key),
        gpu=True,
        sql=["30_features/samples_to_score", "30_features/answer_likelihood"],
        by=["answer_likelihood"],
    )
    def likelihood(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.features.answer_likelihood import ANSWER_LIKELIHOOD, LikelihoodSpec

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key)
        spec = LikelihoodSpec(
            model_folder=str(artifacts.pre_experience_checkpoint(scoring.key)),
            samples_file=str(samples_file(scoring.pool, folder, warehouse)),
            text=PAPER if published else profile.text_of(scoring.model),
            **uses,
            boundary="joint" if published else "pieces",
        )
        summary = jobs.run(context, ANSWER_LIKELIHOOD, spec, folder / name)
        return _write_likelihood(warehouse, scoring, reader, folder / name, summary, complete=True)

    return likelihood


def _write_likelihood(
    warehouse: Warehouse,
    scoring: Scoring,
    reader: str,
    folder: Path,
    summary: "LikelihoodSummary",
    *,
    complete: bool = False,
) -> dg.MaterializeResult:
    """Replace a reader's rows by those of a finished job. `complete`: verify that each sample of the pool has one."""
    table, partition = "features.answer_likelihood", {"pool": scoring.pool, "model": scoring.model, "reader": reader}
    check = Completeness(table, partition)
    rows = warehouse.replace(
        table,
        partition,
        load_sql("30_features/answer_likelihood"),
        {"files": shard_files(folder), "pool": scoring.pool},
        check.verify if complete else None,
    )
    return dg.MaterializeResult(
        metadata={"dagster/table_name": table, "dagster/partition_row_count": rows, **likelihood_metadata(summary)},
        check_results=[check.result()] if complete else [],
        data_version=dg.DataVersion(job_content_hash(folder)),
    )


def _rescored(profile: Profile, partitions: Partitions) -> dg.AssetsDefinition:
    scoring_settings = profile.scoring
    # Half as large where a batch still holds the longest sample. A part of the pool makes other batches in any case.
    fewer = {"tokens_per_batch": max(scoring_settings.max_length, scoring_settings.tokens_per_batch // 2)}
    uses = {"scoring": scoring_settings.model_copy(update=fewer), "dtype": profile.dtype}

    @platform_asset(
        partitions=partitions.scorings,
        deps=partitions.pool_and_model(),
        group="features",
        kinds={"pytorch", "duckdb"},
        settings={**uses, **logits_in(profile.dtype), "rescored": f"1 in {PART}, from {LEAST} to {MOST:,}"},
        rendered=profile.text_of_scoring,
        gpu=True,
        sql=["30_features/samples_to_rescore", "30_features/answer_likelihood"],
        by=["answer_likelihood"],
    )
    def rescored_likelihood(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        """The likelihoods of a part of the pool once more, in other batches, to see how much of IFD is noise.

        Table `features.answer_likelihood`, reader `rescored`.
        """
        from selection_platform.features.answer_likelihood import ANSWER_LIKELIHOOD, LikelihoodSpec

        scoring = profile.scorings[context.partition_key]
        folder = artifacts.scoring(scoring.key) / "rescored_likelihood"
        samples = folder.with_name(f"{folder.name}.samples.parquet")
        sizes = dict(warehouse.query(load_sql("10_pools/sizes")).iter_rows())
        values = {"pool": scoring.pool, "samples": rescored_samples(sizes[scoring.pool])}
        warehouse.export(conversations_sql(warehouse, "30_features/samples_to_rescore", values), samples, values)
        spec = LikelihoodSpec(
            model_folder=str(artifacts.base_model(scoring.model)),
            samples_file=str(samples),
            text=profile.text_of(scoring.model),
            **uses,
        )
        summary = jobs.run(context, ANSWER_LIKELIHOOD, spec, folder)
        return _write_likelihood(warehouse, scoring, READER, folder, summary)

    return rescored_likelihood
