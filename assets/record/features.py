"""Functions that the assets of several features share."""

import shutil
from typing import TYPE_CHECKING

import dagster as dg

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
    embedded: Scoring,
    column: str,
    settings: KMeansSettings | PreExperienceSettings,
    key: str,
) -> dg.MaterializeResult:
    """Cluster a column of the forward pass's shards into `features.<table>`, and describe the clusters.

    The shards of the pass over the pool `embedded` have the same content as the warehouse, already as arrays. `key` is
    the profile's setting for the number of clusters.
    """
    from selection_platform.features.sample_cluster import write_clusters
    from selection_platform.features.sample_embedding import read_embeddings
    from selection_platform.job.growing import finished_shards

    folder = artifacts.scoring(scoring.key)
    output = folder / f"{table}.parquet"
    # A fixed path, so that gigabytes that a killed run left there are deleted now.
    scratch = folder / f"{table}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    partition = {"pool": scoring.pool, "model": scoring.model}
    samples = {**partition, "embedded_pool": embedded.pool}
    wanted = set(warehouse.query(load_sql("30_features/embedded_samples"), samples)["sample_id"])
    files = finished_shards(artifacts.scoring(embedded.key) / "answer_likelihood")
    sample_ids, embeddings = read_embeddings(files, scratch / "embeddings.npy", column, wanted)
    write_clusters(sample_ids, embeddings, settings.clusters, settings.seed, output, key)
    shutil.rmtree(scratch)
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
