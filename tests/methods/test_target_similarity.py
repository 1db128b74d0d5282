"""Similarity to targets in blocks, against all products at once and a plain loop over turns."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from selection_platform.methods import target_similarity
from selection_platform.methods.target_similarity import normalised, similarity, write_similarity


def unit(vector):
    return normalised(vector[None])[0]


def slowly(samples, targets, picks):
    """Highest cosine, its target, and the picks, by all cosines at once and a loop over turns."""
    cosines = [[float(unit(target) @ unit(row)) for target in targets] for row in samples]
    highest = [max(row) for row in cosines]
    nearest = [row.index(max(row)) for row in cosines]
    picked = []
    while len(picked) < min(picks, len(samples)):
        target = len(picked) % len(targets)
        picked.append(min((-row[target], place) for place, row in enumerate(cosines) if place not in picked)[1])
    return highest, nearest, picked


@pytest.mark.parametrize("picks", [1, 7, 30, 99])
@pytest.mark.parametrize("block", [3, 20, 10_000])
def test_equals_all_products_at_once(block, picks, monkeypatch):
    # Axes of three dimensions, each way, and zeros: few different cosines, each exact, and so many ties.
    axes = np.concatenate([np.eye(3), -2 * np.eye(3), np.zeros((1, 3))]).astype(np.float32)
    generator = np.random.default_rng(picks)
    samples, targets = (axes[generator.integers(0, 7, count)] for count in (40, 4))
    monkeypatch.setattr(target_similarity, "PRODUCTS_PER_BLOCK", block)
    found = similarity(samples, targets, picks)
    highest, nearest, picked = slowly(samples, targets, picks)
    assert found.highest.tolist() == highest
    assert found.nearest.tolist() == nearest
    assert found.picked.tolist() == picked


@pytest.mark.parametrize(("rows", "largest"), [(5, [5, 5, 5, 5]), (100, [10, 10])])
def test_a_block_is_never_the_whole_pool(monkeypatch, rows, largest):
    monkeypatch.setattr(target_similarity, "PRODUCTS_PER_BLOCK", 20)
    monkeypatch.setattr(target_similarity, "ROWS_PER_BLOCK", rows)
    blocks = []
    samples, targets = np.ones((20, 3), np.float32), np.eye(2, 3, dtype=np.float32)
    similarity(samples, targets, 4, lambda given: [blocks.append(given), given][1])
    assert [len(block) for block in blocks[1:]] == largest


def test_keys_are_in_the_order_of_cosines_and_say_them():
    cosines = np.array([0.0, -0.25, 1.0, -1.0, -0.0, 1e-30, 0.25, -1e-30], dtype=np.float32)
    keys = target_similarity._keys(cosines, np.arange(8))
    assert np.argsort(keys)[::-1].tolist() == [2, 6, 5, 0, 4, 7, 1, 3]
    assert target_similarity._cosines(keys).tolist() == cosines.tolist()


def test_late_blocks_with_cosines_below_zero():
    generator = np.random.default_rng(0)
    samples = generator.standard_normal((300, 5), np.float32) - 3
    targets = generator.standard_normal((4, 5), np.float32) + 3
    cosines = normalised(targets) @ normalised(samples).T
    assert cosines.max() < 0
    best = np.zeros((4, 0), dtype=np.uint64)
    for start in range(0, 300, 7):
        best = target_similarity._best(best, cosines[:, start : start + 7], start, 20)
    best.sort(axis=1)
    rows = 0xFFFFFFFF - (best[:, ::-1] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    assert rows.tolist() == np.argsort(-cosines, axis=1, kind="stable")[:, :20].tolist()


def test_targets_that_want_the_same_rows_are_looked_at_again_with_more(monkeypatch):
    monkeypatch.setattr(target_similarity, "ROWS_AT_LEAST", 0)
    monkeypatch.setattr(target_similarity, "ROWS_PER_TURN", 1)
    depths = []
    ranked = target_similarity._ranked
    monkeypatch.setattr(target_similarity, "_ranked", lambda *given: [depths.append(given[2]), ranked(*given)][1])
    samples = np.stack([np.ones(20), np.arange(20)], axis=1).astype(np.float32)
    targets = np.ones((4, 2), dtype=np.float32)
    found = similarity(samples, targets, 8)
    assert depths == [2, 8]
    assert found.picked.tolist() == slowly(samples, targets, 8)[2]


def test_what_is_written(tmp_path):
    samples = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)
    found = similarity(samples, np.array([[0, 3], [2, 0]], dtype=np.float32), 2)
    write_similarity(["a", "b", "c"], ["s", "t"], found, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {
        "sample_id": ["a", "b", "c"],
        "similarity": [1.0, 1.0, 0.0],
        "nearest": ["t", "s", "s"],
        "place": [2, 1, None],
    }
