"""Facility location: by hand, and against a greedy search that looks at every row in each step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection_platform.errors import PlatformError
from selection_platform.methods import facility_location as module
from selection_platform.methods.facility_location import facility_location

FEW = 1
"""Bytes of columns: room for two blocks."""


def slow(vectors, covered, count):
    """All cosines, and every row's gain in each step."""
    wide = vectors.astype(np.float64)
    wide = wide - wide.mean(axis=0)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    wide = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
    cosines = (wide @ wide[:covered].T).astype(np.float32)
    nearest, picked = np.zeros(len(wide[:covered]), dtype=np.float32), []
    while len(picked) < min(count, len(vectors)):
        gains = [np.float32(np.maximum(row - nearest, 0).sum(dtype=np.float64)) for row in cosines]
        left = [row for row in range(len(vectors)) if row not in picked]
        picked.append(min(left, key=lambda row: (-gains[row], row)))
        nearest = np.maximum(nearest, cosines[picked[-1]])
    return picked


def clusters(rows, dim, seed=0):
    """Clusters of different size and spread, around a mean far from 0, with copies."""
    generator = np.random.default_rng(seed)
    centre, spread = generator.normal(0, 4, (9, dim)), generator.lognormal(0, 0.7, 9)
    label = generator.choice(9, rows, p=generator.dirichlet(np.ones(9)))
    vectors = 7 + centre[label] + spread[label, None] * generator.normal(0, 1, (rows, dim))
    vectors[rows // 2 :: 7] = vectors[0 : len(vectors[rows // 2 :: 7])]
    return vectors.astype(np.float32)


def test_by_hand(tmp_path):
    # Four directions from the mean 0: three rows point right, two up, one left and one down. Right covers three.
    vectors = np.array([[0, 3], [2, 0], [1, 0], [-5, 0], [2, 0], [0, 1], [0, -4]], dtype=np.float32)
    assert facility_location(vectors, 99, 4, tmp_path / "state").tolist() == [1, 0, 3, 6]
    # Then nothing adds any more, and rows come in order.
    assert facility_location(vectors, 99, 99, tmp_path / "state").tolist() == [1, 0, 3, 6, 2, 4, 5]
    # Only the first row must be covered: the first of those that point up does, and nothing else adds.
    assert facility_location(vectors, 1, 3, tmp_path / "state").tolist() == [0, 1, 2]


def test_a_row_at_the_mean_covers_nothing(tmp_path):
    vectors = np.array([[0, 0], [1, 0], [-1, 0]], dtype=np.float32)
    assert facility_location(vectors, 3, 3, tmp_path / "state").tolist() == [1, 2, 0]


@pytest.mark.parametrize("covered", [300, 70])
def test_equals_the_slow_search_whatever_the_room(covered, tmp_path, monkeypatch):
    vectors = clusters(300, 6)
    wanted = slow(vectors, covered, 150)
    assert facility_location(vectors, covered, 150, tmp_path / "state").tolist() == wanted
    monkeypatch.setattr(module, "COLUMNS_PER_BLOCK", 7)
    assert facility_location(vectors, covered, 150, tmp_path / "state", FEW).tolist() == wanted


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=1, max_size=14),
    st.integers(1, 15),
    st.integers(1, 3),
)
def test_equals_the_slow_search_where_much_ties(tmp_path_factory, rows, count, block):
    vectors, state = np.array(rows, dtype=np.float32), tmp_path_factory.mktemp("search") / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COLUMNS_PER_BLOCK", block)
        assert facility_location(vectors, 9, count, state, FEW).tolist() == slow(vectors, 9, count)


def test_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    vectors, state = clusters(300, 6), tmp_path / "state"
    wanted = facility_location(vectors, 200, 60, state).tolist()
    monkeypatch.setattr(module, "COLUMNS_PER_BLOCK", 20)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SAVES", 0)
    search, steps = module._Search, []

    def stop_later(self, most):
        steps.append(len(self.picked))
        if steps[-1] > 20:
            raise KeyboardInterrupt
        return search_step(self, most)

    search_step = search.step
    monkeypatch.setattr(search, "step", stop_later)
    with pytest.raises(KeyboardInterrupt):
        facility_location(vectors, 200, 60, state, FEW)
    assert 20 < steps[-1] < 60
    # Of other vectors it starts again; of the same it goes on, with what was picked.
    del steps[:]
    other = vectors.copy()
    other[0] = 0
    state_of_these = state.read_bytes()
    assert facility_location(other, 200, 5, state).tolist() == slow(other, 200, 5)
    assert steps[0] == 0
    state.write_bytes(state_of_these)
    del steps[:]
    monkeypatch.setattr(search, "step", lambda self, most: steps.append(len(self.picked)) or search_step(self, most))
    assert facility_location(vectors, 200, 60, state).tolist() == wanted
    assert steps[0] > 20
    assert not state.exists()


def test_a_checkpoint_that_is_none(tmp_path):
    (tmp_path / "state").write_text("x")
    with pytest.raises(PlatformError, match=r"state is not a checkpoint of a search .*; delete it to start again"):
        facility_location(clusters(9, 2), 9, 3, tmp_path / "state")
