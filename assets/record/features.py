"""Functions that the assets of several features share."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.record.vectors import Vectors, as_array
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.method_settings import KMeansSettings, PreExperienceSettings
from selection_platform.experiments.keys import Scoring
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.features.answer_likelihood import LikelihoodSummary


def likelihood_metadata(summary: "LikelihoodSummary") -> dict[str, int | float]:
    """The metadata of a scoring job."""
    return {
        "tokens": summary.tokens,
        "padding": summary.padding_share,
        **window_metadata(summary.cut_prompts, summary.truncated, summary.prompt_fills_context),
        "samples with an empty answer": summary.empty_answers,
        "seconds": summary.seconds,
        "peak memory, bytes": summary.peak_memory_bytes,
    }


def window_metadata(cut_prompts: int, cut_answers: int, no_answer_left: int | None = None) -> dict[str, int]:
    """The number of samples that a window cut, and of those without any token of the answer, if these get no score."""
    counted = {"samples with a cut prompt": cut_prompts, "samples with a cut answer": cut_answers}
    return counted if no_answer_left is None else {**counted, "samples with no answer left": no_answer_left}


def replace_clusters(
    warehouse: Warehouse,
    artifacts: ArtifactStore,
    table: str,
    scoring: Scoring,
    vectors: Vectors,
    column: str,
    settings: KMeansSettings | PreExperienceSettings,
    key: str,
) -> dg.MaterializeResult:
    """Cluster a column of vectors into `features.<table>`, and describe the clusters.

    `key` is the profile's setting for the number of clusters.
    """
    from selection_platform.features.sample_cluster import write_clusters

    folder = artifacts.scoring(scoring.key)
    output = folder / f"{table}.parquet"
    partition = {"pool": scoring.pool, "model": scoring.model}
    with as_array(vectors, folder / f"{table}.scratch", column) as (sample_ids, embeddings):
        write_clusters(sample_ids, embeddings, settings.clusters, settings.seed, output, key)
    rows = warehouse.replace_from_parquet(f"features.{table}", partition, [output])
    sizes = warehouse.query(load_sql("30_features/cluster_sizes"), {"table": f"features.{table}", **partition})
    return dg.MaterializeResult(
        metadata={
            "dagster/table_name": f"features.{table}",
            "dagster/partition_row_count": rows,
            **sizes.row(0, named=True),
        },
        data_version=dg.DataVersion(warehouse.content_hash(f"features.{table}", partition)),
    )
