"""k-means in torch against scikit-learn's."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans, kmeans_plusplus

from selection_platform.features import k_means as module
from selection_platform.features.k_means import _lloyd, _Rows, _start, k_means


def inertia(rows, labels, centres) -> float:
    return float(((rows.astype(np.float64) - centres[labels]) ** 2).sum())


def scikit_learn(rows: Any, clusters: int, **settings: Any) -> Any:
    """scikit-learn's clusters. Its parameters have no types."""
    return cast(Any, KMeans)(clusters, **settings).fit(rows)


@pytest.fixture(autouse=True)
def _many_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 100)


@pytest.mark.parametrize(("count", "width", "clusters"), [(1000, 8, 12), (700, 24, 50), (30, 3, 30), (5, 2, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_and_centres_are_those_of_scikit_learn(count, width, clusters, seed):
    rows = np.random.default_rng(seed).normal(3, 2, (count, width)).astype(np.float32)
    labels, centres = k_means(rows, clusters, seed, "cpu")
    expected = scikit_learn(rows, clusters, random_state=seed)
    assert labels.dtype == np.int32
    assert labels.tolist() == expected.labels_.tolist()
    assert centres == pytest.approx(expected.cluster_centers_, abs=1e-5)
    assert inertia(rows, labels, centres) == pytest.approx(expected.inertia_, rel=1e-3, abs=1e-4)


def test_the_start_is_that_of_scikit_learn():
    rows = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    moved = _Rows(rows, "cpu")
    expected = kmeans_plusplus(moved.values.numpy(), 100, random_state=7)[1]
    assert _start(moved, 100, np.random.RandomState(7)).tolist() == expected.tolist()


def test_empty_clusters_get_the_farthest_rows_as_in_scikit_learn():
    rows = np.random.default_rng(2).normal(size=(300, 4)).astype(np.float32)
    # Nothing is near the last three.
    start = np.concatenate([rows[:3], [[90, 0, 0, 0], [0, 80, 0, 0], [0, 0, 70, 0]]]).astype(np.float32)
    moved = _Rows(rows, "cpu")
    labels, centres = _lloyd(moved, torch.from_numpy(start - moved.mean))
    expected = scikit_learn(rows, 6, init=start, n_init=1)
    assert len(set(labels.tolist())) == 6
    assert labels.tolist() == expected.labels_.tolist()
    assert centres.numpy() + moved.mean == pytest.approx(expected.cluster_centers_, abs=1e-5)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_fewer_different_rows_than_clusters():
    rows = np.repeat(np.array([[0, 0], [0, 6], [8, 0]], dtype=np.float32), [4, 9, 2], axis=0)
    labels, _ = k_means(rows, 5, 0, "cpu")
    assert labels.tolist() == scikit_learn(rows, 5, random_state=0).labels_.tolist()


def test_rounds_end_where_scikit_learn_ends(monkeypatch):
    rows = np.random.default_rng(3).normal(size=(1500, 5)).astype(np.float32)
    monkeypatch.setattr(module, "MOST_ROUNDS", 3)
    labels, centres = k_means(rows, 20, 0, "cpu")
    expected = scikit_learn(rows, 20, random_state=0, max_iter=3)
    assert labels.tolist() == expected.labels_.tolist()
    assert centres == pytest.approx(expected.cluster_centers_, abs=1e-5)
