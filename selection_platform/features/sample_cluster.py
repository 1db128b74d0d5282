"""k-means clusters of embeddings: what `km_*` picks the best of, and what IFD's pre-experience draws from."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

BATCH = 8192
"""Rows whose distances are computed at once."""

THREADS = 2
"""Lloyd's threads. They add their sums up in the order in which they end: of two, that changes nothing."""


def cluster(
    embeddings: NDArray[np.float32], clusters: int, seed: int, key: str = "k_means.clusters"
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """k-means by Lloyd's algorithm from one k-means++ start (scikit-learn). Takes twice the memory of the embeddings.

    The same on every run with two cores or more, however many there are; one core may decide a tie otherwise.

    Args:
        embeddings: rows x dimensions; may be mapped from a file.
        clusters: at most as many as there are rows.
        seed: of the start.
        key: the profile's setting that says how many clusters, for messages.

    Returns:
        Each row's cluster, and its Euclidean distance to the cluster's centre.

    Raises:
        PlatformError: there are fewer rows than clusters.
    """
    # Not on the machines that need no clusters, and half a second to import.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    rows = len(embeddings)
    if clusters > rows:
        raise PlatformError(f"{key}: {clusters:,} clusters are wanted of {rows:,} samples; lower it in the profile")
    with threadpool_limits(THREADS, "openmp"):
        k_means: Any = KMeans(clusters, random_state=seed).fit(embeddings)
    distance = np.empty(rows, dtype=np.float64)
    for start in range(0, rows, BATCH):
        part = slice(start, start + BATCH)
        from_centre = embeddings[part].astype(np.float64) - k_means.cluster_centers_[k_means.labels_[part]]
        distance[part] = np.linalg.norm(from_centre, axis=1)
    return k_means.labels_, distance


def write_clusters(
    sample_ids: list[str],
    embeddings: NDArray[np.float32],
    clusters: int,
    seed: int,
    output: Path,
    key: str = "k_means.clusters",
) -> None:
    """Cluster embeddings into a Parquet file with `sample_id`, `cluster` (int32) and `distance` (float64)."""
    label, distance = cluster(embeddings, clusters, seed, key)
    with whole_file(output) as temporary:
        pq.write_table(pa.table({"sample_id": sample_ids, "cluster": label, "distance": distance}), temporary)
