"""Lazy greedy search against one that looks at every row for every pick."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from selection_platform.methods.diverse_evol import k_center as module
from selection_platform.methods.diverse_evol import k_center_search as search
from selection_platform.methods.diverse_evol.k_center import (
    Cover,
    farthest_at_once,
    farthest_first,
    k_center,
    k_center_of_pool,
)

Floats = NDArray[np.float32]


def plain_greedy(embeddings: Floats, selected: list[int], count: int) -> Cover:
    """Every row's distance, by differences, after every pick; numbers are compared as float32s."""
    wide = embeddings.astype(np.float64)
    squared = np.full(len(wide), np.inf)
    chosen = list(selected)
    for row in selected:
        squared = np.minimum(squared, ((wide - wide[row]) ** 2).sum(axis=1).astype(np.float32))
    distances: list[float] = []
    for _ in range(count):
        farthest = max((row for row in range(len(wide)) if row not in chosen), key=lambda row: (squared[row], -row))
        distances.append(np.sqrt(squared[farthest]))
        chosen.append(farthest)
        squared = np.minimum(squared, ((wide - wide[farthest]) ** 2).sum(axis=1).astype(np.float32))
    return Cover(np.array(chosen[len(selected) :]), np.array(distances), float(np.sqrt(squared.max())))


def assert_same(found: Cover, wanted: Cover) -> None:
    assert found.rows.tolist() == wanted.rows.tolist()
    np.testing.assert_array_equal(found.distances, wanted.distances)
    assert found.radius == wanted.radius


def clusters(rows: int, dim: int, seed: int = 0) -> Floats:
    """Twenty clusters of different size and spread, around a mean far from 0."""
    generator = np.random.default_rng(seed)
    centre, spread = generator.normal(0, 4, (20, dim)), generator.lognormal(0, 0.7, 20)
    label = generator.choice(20, rows, p=generator.dirichlet(np.ones(20)))
    return (7 + centre[label] + spread[label, None] * generator.normal(0, 1, (rows, dim))).astype(np.float32)


def test_picks_on_a_line():
    line = np.array([[0], [1], [2], [10], [11]], dtype=np.float32)
    cover = farthest_first(line, np.array([0]), 4)
    # 11 is farthest from 0; then 2 from 0; then 1 and 10 are both 1 away.
    assert cover.rows.tolist() == [4, 2, 1, 3]
    assert cover.distances.tolist() == [11, 2, 1, 1]
    assert cover.radius == 0
    assert farthest_first(line, np.array([0]), 2).radius == 1
    assert farthest_first(line, np.array([4, 0]), 0).radius == 2
    assert k_center(line, np.array([2, 4]), 2).tolist() == [0, 1]


@pytest.mark.slow
@settings(max_examples=150)
@given(data=st.data())
def test_equals_plain_greedy_where_nothing_rounds(data: st.DataObject):
    # Few values, so that there are copies and ties at every step.
    shape = data.draw(st.tuples(st.integers(2, 40), st.integers(1, 3)))
    grid = data.draw(arrays.arrays(np.int64, shape, elements=st.integers(0, data.draw(st.integers(1, 6)))))
    embeddings = (grid + data.draw(st.sampled_from([0, 100]))).astype(np.float32)
    selected = data.draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, unique=True))
    count = data.draw(st.integers(0, shape[0] - len(selected)))
    with pytest.MonkeyPatch.context() as patch:
        for name, sizes in {"_ACTIVE": (1, 8), "_CPU_BLOCK": (2, 8), "_FEWEST_PICKS": (1, 4)}.items():
            patch.setattr(search, name, data.draw(st.integers(*sizes)))
        patch.setattr(search, "_MOST_PICKS", search._FEWEST_PICKS + 1)
        found = farthest_first(
            embeddings, np.array(selected), count, device="cpu", first_front=data.draw(st.integers(1, 50))
        )
    assert_same(found, plain_greedy(embeddings, selected, count))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1, 1024, 1024), (5, 3, 16), (64, 1, 8), (10_000, 4, 100)])
def test_sizes_change_nothing(sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch):
    embeddings = clusters(600, 8)
    selected = [5, 100, 17]
    usual = farthest_first(embeddings, np.array(selected), 150, device="cpu")
    monkeypatch.setattr(search, "_ACTIVE", sizes[1])
    monkeypatch.setattr(search, "_CPU_BLOCK", sizes[2])
    assert_same(farthest_first(embeddings, np.array(selected), 150, device="cpu", first_front=sizes[0]), usual)
    wanted = plain_greedy(embeddings, selected, 150)
    assert usual.rows.tolist() == wanted.rows.tolist()
    np.testing.assert_allclose(usual.distances, wanted.distances, rtol=1e-6)
    assert usual.radius == pytest.approx(wanted.radius, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 50])
def test_low_dimensions_and_tight_clusters(dim: int):
    generator = np.random.default_rng(0)
    flat = generator.random((800, 2), dtype=np.float32) @ generator.random((2, dim), dtype=np.float32)
    tight = clusters(20, dim)[generator.integers(0, 20, 800)] + 1e-3 * generator.random((800, dim), dtype=np.float32)
    for embeddings in (flat, tight):
        wanted = plain_greedy(embeddings, [0], 200)
        found = farthest_first(embeddings, np.array([0]), 200, first_front=16)
        assert found.rows.tolist() == wanted.rows.tolist()


def test_few_rows_are_looked_at(monkeypatch: pytest.MonkeyPatch):
    embeddings = clusters(20_000, 32)
    read = 0
    exact = search.Pool.exact

    def counting(pool: search.Pool, rows: torch.Tensor) -> torch.Tensor:
        nonlocal read
        read += len(rows)
        return exact(pool, rows)

    monkeypatch.setattr(search.Pool, "exact", counting)
    k_center(embeddings, np.arange(100), 500, device="cpu")
    # The plain way reads 500 times the pool.
    assert read < 3 * len(embeddings)


def test_first_bounds_are_never_too_low():
    generator = np.random.default_rng(0)
    base = clusters(50, 300)
    # Where a distance nearly vanishes rounding is all that is left of it.
    near = base[generator.integers(0, 50, 500)] * (1 + generator.choice([0, 1e-7, 1e-5, 1e-3], (500, 1)))
    embeddings = np.concatenate([base, near]).astype(np.float32)
    bound = search.Search(search.Pool(embeddings, "cpu"), np.arange(50), 1)._bound.numpy()
    wide = embeddings.astype(np.float64)
    true = ((wide[:, None] - wide[None, :50]) ** 2).sum(axis=2).min(axis=1)
    assert (bound[50:] >= true[50:]).all()
    assert (bound[50:] <= true[50:] + 1e-3 * (wide[50:] ** 2).sum(axis=1)).all()
    assert (bound[:50] == -1).all()


@pytest.mark.parametrize("offset", [0, 1e-6, 1e-4, 1e-3])
def test_near_copies_of_selected_rows_come_last(offset: float):
    generator = np.random.default_rng(0)
    base = clusters(100, 64)
    copies = base[:40] + offset * generator.standard_normal((40, 64), dtype=np.float32)
    embeddings = np.concatenate([base, copies]).astype(np.float32)
    cover = farthest_first(embeddings, np.arange(40), 100)
    assert sorted(cover.rows[60:]) == list(range(100, 140))
    assert np.isfinite(cover.distances).all()
    assert (np.diff(cover.distances) <= 0).all()
    if offset == 0:
        assert cover.rows[60:].tolist() == list(range(100, 140))
        assert (cover.distances[60:] == 0).all()


def test_a_file_that_can_only_be_read_gives_the_same_picks_without_a_warning(tmp_path: Path):
    embeddings = clusters(200, 5)
    np.save(tmp_path / "pool.npy", embeddings)
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picks = k_center(mapped, np.array([3]), 20)
    assert picks.tolist() == k_center(embeddings, np.array([3]), 20).tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_picks_the_same():
    embeddings = clusters(20_000, 384)
    assert_same(
        farthest_first(embeddings, np.arange(100), 1000, device="cuda"),
        farthest_first(embeddings, np.arange(100), 1000, device="cpu"),
    )


@pytest.mark.parametrize("pick", [k_center, farthest_at_once])
def test_refuses_what_it_cannot_pick_from(pick):
    pool = clusters(2000, 3)
    for value in (np.nan, np.inf, -np.inf, 2e15):
        broken = pool.copy()
        broken[1500, 1] = value
        with pytest.raises(ValueError, match=r"row 1,500 has NaN, infinity or a value above 1e\+15"):
            pick(broken, np.array([0]), 1)
    with pytest.raises(ValueError, match="cannot pick 1,999 of the 1,998 rows that are not selected"):
        pick(pool, np.array([0, 1]), 1999)
    with pytest.raises(ValueError, match="select at least one row"):
        pick(pool, np.array([], dtype=np.int64), 1)
    for selected in ([1, 1], [-1], [2000]):
        with pytest.raises(ValueError, match="different rows from 0 to 1,999"):
            pick(pool, np.array(selected), 1)
    with pytest.raises(ValueError, match="rows x dim in float32, not 2-d float64"):
        pick(pool.astype(np.float64), np.array([0]), 1)


def test_all_at_once_ranks_by_distance_to_the_selected_alone():
    line = np.array([[0], [1], [2], [10], [11], [-2]], dtype=np.float32)
    # Greedy search takes row 4 and then 2; all at once, 3 follows 4 though it lies beside it. Rows 2 and 5 tie.
    assert farthest_at_once(line, np.array([0]), 5).tolist() == [4, 3, 2, 5, 1]
    assert farthest_at_once(line, np.array([0, 3]), 2).tolist() == [2, 5]
    assert k_center(line, np.array([0]), 2).tolist() == [4, 2]


def test_all_at_once_equals_the_whole_matrix(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "_CPU_BLOCK", 7)
    embeddings = clusters(100, 6)
    wide = embeddings.astype(np.float64)
    distance = np.sqrt(((wide[:, None] - wide[None, 20:40]) ** 2).sum(axis=2)).min(axis=1)
    order = [row for row in np.argsort(-distance, kind="stable") if not 20 <= row < 40]
    assert farthest_at_once(embeddings, np.arange(20, 40), 30).tolist() == order[:30]


def test_all_at_once_falls_for_a_remote_cluster():
    generator = np.random.default_rng(0)
    near, remote = generator.normal(0, 1, (200, 4)), generator.normal(20, 1, (30, 4))
    embeddings = np.concatenate([near, remote]).astype(np.float32)
    assert (farthest_at_once(embeddings, np.arange(10), 20) >= 200).all()
    assert 1 <= (k_center(embeddings, np.arange(10), 20) >= 200).sum() <= 10


def rounds_below_zero() -> tuple[np.float32, np.float32]:
    """Two numbers whose |x|^2 + |s|^2 - 2 x.s, of float32 products and sums, is negative."""
    for one in np.linspace(1.01, 1.99, 99, dtype=np.float32):
        for step in range(1, 20):
            other = np.float32(one + step * np.float32(2**-23))
            if one * one + other * other - np.float32(2) * (one * other) < 0:
                return one, other
    raise AssertionError("no such pair")


def test_all_at_once_takes_nan_for_the_largest_and_k_center_has_none():
    selected, copy = rounds_below_zero()
    # In one dimension a product is one multiplication, so that all machines round alike.
    embeddings = np.array([[selected], [100], [copy], [-5]], dtype=np.float32)
    assert farthest_at_once(embeddings, np.array([0]), 3).tolist() == [2, 1, 3]
    # The nearest selected row is another one; NaN passes through the minimum all the same.
    assert farthest_at_once(embeddings, np.array([3, 0]), 2).tolist() == [2, 1]
    assert k_center(embeddings, np.array([0]), 3).tolist() == [1, 3, 2]


def test_ranking_puts_nan_first_and_ties_in_order_of_rows():
    distance = np.array([1, np.nan, 3, 3, 0, np.nan, 2], dtype=np.float32)
    assert module._largest_first(distance, np.array([6])).tolist() == [1, 5, 2, 3, 0, 4]


def test_where_nothing_is_selected_it_begins_in_the_middle(monkeypatch):
    # The mean is (1, 0): row 1 is nearest to it, as its copy 3 is; then the farthest from it, and from both.
    vectors = np.array([[4, 0], [1, 0.5], [-2, -1], [1, 0.5]], dtype=np.float32)
    assert vectors.mean(axis=0).tolist() == [1, 0]
    assert k_center_of_pool(vectors, 9).tolist() == [1, 2, 0, 3]
    assert k_center_of_pool(vectors, 1).tolist() == [1]
    whole = clusters(300, 3)
    first = int(np.linalg.norm(whole - whole.mean(axis=0, dtype=np.float64), axis=1).argmin())
    monkeypatch.setattr(module, "_ROWS_PER_BLOCK", 7)
    assert k_center_of_pool(whole, 40).tolist() == [first, *plain_greedy(whole, [first], 39).rows]
