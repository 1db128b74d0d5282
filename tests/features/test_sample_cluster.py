import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from selection_platform.features import sample_cluster
from selection_platform.features.sample_cluster import cluster, write_clusters


def blobs(generator, centres, rows):
    label = generator.integers(0, len(centres), rows)
    return (centres[label] + generator.normal(0, 0.05, (rows, centres.shape[1]))).astype(np.float32), label


def test_far_blobs_are_the_clusters_whatever_the_batch(monkeypatch):
    monkeypatch.setattr(sample_cluster, "BATCH", 64)
    embeddings, blob = blobs(np.random.default_rng(0), 10 * np.eye(4), 300)
    label, distance = cluster(embeddings, 4, seed=0)
    assert len({(int(a), int(b)) for a, b in zip(label, blob, strict=True)}) == 4
    assert distance.max() < 1


def test_distances_are_to_the_mean_of_a_single_cluster():
    embeddings = np.array([[0, 0], [0, 6], [8, 0], [8, 6]], dtype=np.float32)
    label, distance = cluster(embeddings, 1, seed=0)
    assert label.tolist() == [0, 0, 0, 0]
    assert distance == pytest.approx([5, 5, 5, 5], abs=1e-5)


PROGRAM = """
import numpy as np
from selection_platform.features.sample_cluster import cluster
label, distance = cluster(np.random.default_rng(1).normal(size=(4000, 24)).astype(np.float32), 20, seed=3)
print(label.tobytes().hex() + distance.tobytes().hex())
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_clusters_whatever_the_cores():
    # Of eight threads the sums would come in another order at every run.
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, "OMP_NUM_THREADS": threads}, capture_output=True,
            check=True,
        ).stdout
        for threads in ("2", "8", "8")
    }  # fmt: skip
    assert len(outputs) == 1


def test_more_clusters_than_samples_is_an_error():
    with pytest.raises(ValueError, match=r"k_means.clusters: 9 clusters are more than the 4 samples; lower it"):
        cluster(np.zeros((4, 2), dtype=np.float32), 9, seed=0)


def test_the_file_has_a_row_for_each_sample(tmp_path):
    write_clusters(["a", "b"], np.array([[0.0], [3.0]], dtype=np.float32), 2, 0, tmp_path / "clusters.parquet")
    table = pq.read_table(tmp_path / "clusters.parquet").to_pydict()
    assert table["sample_id"] == ["a", "b"]
    assert sorted(table["cluster"]) == [0, 1]
    assert table["distance"] == [0.0, 0.0]
