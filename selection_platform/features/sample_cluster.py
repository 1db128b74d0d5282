"""k-means clusters of embeddings, for `km_*` and for IFD's pre-experience."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

BATCH = 8192
"""Rows whose distances are computed at once."""

THREADS = 2
"""Threads of Lloyd's algorithm. They add sums in the order in which they finish, which for two changes nothing."""


def cluster(
    embeddings: NDArray[np.float32], clusters: int, seed: int, key: str = "k_means.clusters"
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """k-means by Lloyd's algorithm from one k-means++ start (scikit-learn). Takes twice the memory of the embeddings.

    The result is the same in every run with two or more cores; with one core, ties may be decided differently.

    Args:
        embeddings: rows x dimensions; may be mapped from a file.
        clusters: number of clusters, at most the number of rows.
        seed: seed of the initial centres.
        key: the profile's setting for the number of clusters, for messages.

    Returns:
        Each row's cluster, and its Euclidean distance to the cluster's centre.

    Raises:
        PlatformError: there are fewer rows than clusters.
    """
    # Imported here because it takes half a second, and is not installed on machines that need no clusters.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    rows = len(embeddings)
    if clusters > rows:
        raise PlatformError(f"{key}: {clusters:,} clusters are more than the {rows:,} samples; lower it in the profile")
    with threadpool_limits(THREADS, "openmp"):
        k_means = KMeans(clusters, random_state=seed).fit(embeddings)
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
