"""Scores of methods that pick samples one by one by their vectors."""

import shutil
from collections.abc import Callable, Sequence, Set
from pathlib import Path

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from assets.record.score_table import replace_scores, scored_partition
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile

Pick = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""The rows to pick, in order, of the samples' vectors in the order of ids."""


def scratch_of(artifacts: ArtifactStore, method: str, key: str) -> Path:
    """Where a partition keeps vectors while it picks."""
    return artifacts.picks(method, key) / "scratch"


def replace_picks(
    profile: Profile,
    method: str,
    context: dg.AssetExecutionContext,
    artifacts: ArtifactStore,
    warehouse: Warehouse,
    shards: Sequence[Path],
    wanted: Set[str],
    pick: Pick,
) -> dg.MaterializeResult:
    """Pick of a partition's samples by their vectors, and write the scores by `40_scores/one_by_one`.

    Args:
        profile: has the method.
        method: its name.
        context: has the partition.
        artifacts: where the vectors are kept meanwhile.
        warehouse: where the scores go.
        shards: files with the vectors.
        wanted: ids of the samples of the partition.
        pick: says which.
    """
    from selection_platform.features.sample_embedding import read_embeddings
    from selection_platform.methods.positions import write_positions

    partition = scored_partition(profile, method, context.partition_key)
    # A fixed place, so that what a killed run left there, which may be gigabytes, goes now.
    scratch = scratch_of(artifacts, method, context.partition_key)
    shutil.rmtree(scratch, ignore_errors=True)
    ids, vectors = read_embeddings(shards, scratch / "samples.npy", "embedding", wanted)
    write_positions([ids[row] for row in pick(vectors)], scratch / "picks.parquet")
    values = {"pool": partition["pool"], "picks": str(scratch / "picks.parquet")}
    result = replace_scores(warehouse, profile.methods[method], partition, "one_by_one", values)
    shutil.rmtree(scratch)
    return result
