"""Scores of methods that pick samples one by one by their vectors."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from assets.record.score_table import replace_scores, scored_partition
from assets.record.vectors import Vectors, as_array
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile

Pick = Callable[[NDArray[np.float32], Path], NDArray[np.int64]]
"""The rows to pick, in order, of the samples' vectors in the order of ids; and a folder for its own files meanwhile."""


def replace_picks(
    profile: Profile,
    method: str,
    context: dg.AssetExecutionContext,
    artifacts: ArtifactStore,
    warehouse: Warehouse,
    found: Vectors,
    pick: Pick,
) -> dg.MaterializeResult:
    """Pick of a partition's samples by their vectors, and write the scores by `40_scores/one_by_one`.

    Args:
        profile: has the method.
        method: its name.
        context: has the partition.
        artifacts: where the vectors are kept meanwhile.
        warehouse: where the scores go.
        found: the vectors of the partition's samples.
        pick: says which.
    """
    from selection_platform.methods.positions import write_positions

    partition = scored_partition(profile, method, context.partition_key)
    scratch = artifacts.picks(method, context.partition_key) / "scratch"
    with as_array(found, scratch) as (ids, vectors):
        write_positions([ids[row] for row in pick(vectors, scratch)], scratch / "picks.parquet")
        values = {"pool": partition["pool"], "picks": str(scratch / "picks.parquet")}
        return replace_scores(warehouse, profile.methods[method], partition, "one_by_one", values)
