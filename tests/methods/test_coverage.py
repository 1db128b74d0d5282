"""Coverage of clusters: by hand, and against a greedy search that looks at every row in each step."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.methods import coverage
from selection_platform.methods.coverage import Spread, cluster_centres, cover, spread_among

APART = Spread([np.array([0]), np.array([1]), np.array([2])], [np.ones(1)] * 3, 0)
"""Three clusters, none like another."""


def test_by_hand():
    # Roots: a first pick of a cluster adds the root of its quality, a second less. Of two rows that add 1, the first.
    clusters, quality = np.array([0, 1, 1, 1, 2]), np.array([0.25, 1.0, 1.0, 0.75, 0.16])
    # 1; sqrt(0.25) = 0.5 beats sqrt(2) - 1 = 0.414, which beats sqrt(0.16) = 0.4 and sqrt(2.75) - sqrt(2) = 0.24.
    assert cover(clusters, quality, APART, 9, 0.5).tolist() == [1, 0, 2, 4, 3]
    assert cover(clusters, quality, APART, 2, 0.5).tolist() == [1, 0]
    # Without falling returns, only quality counts.
    assert cover(clusters, quality, APART, 9, 1.0).tolist() == [1, 2, 3, 0, 4]


def test_a_pick_counts_for_similar_clusters_too():
    alike = Spread([np.array([0, 1]), np.array([0, 1]), np.array([2])], [np.array([0.5, 0.5])] * 2 + [np.ones(1)], 1)
    clusters, quality = np.array([0, 1, 2]), np.array([1.0, 0.9, 0.5])
    assert cover(clusters, quality, APART, 3, 0.5).tolist() == [0, 1, 2]
    # Of 2 sqrt(0.5), 1 adds 2 (sqrt(0.95) - sqrt(0.5)) = 0.535, and 2 adds sqrt(0.5) = 0.707.
    assert cover(clusters, quality, alike, 3, 0.5).tolist() == [0, 2, 1]


def test_similar_centres_share_a_pick_by_their_cosine(tmp_path):
    # Around the mean (1, 1): (3, 0), (3, 4), (0, -4) and three times (-2, 0). The first two have the cosine 0.6.
    vectors = np.array([[4, 1], [4, 5], [1, -3], [-1, 1], [-1, 1], [-1, 1]], dtype=np.float32)
    labels = np.array([0, 1, 2, 3, 3, 3])
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 2)
    names = list("abcdef")
    for part in (slice(0, 4), slice(4, 6)):
        table = pa.table({"sample_id": names[part], "embedding": column[part.start : part.stop]})
        pq.write_table(table, tmp_path / f"{part.start}.parquet")
    files = sorted(tmp_path.glob("*.parquet"))
    centres, samples = cluster_centres(files, "embedding", names, labels)
    assert centres.tolist() == [[4, 1], [4, 5], [1, -3], [-1, 1]]
    assert samples.tolist() == [1, 1, 1, 3]
    spread = spread_among(centres, samples, 0.6)
    assert [near.tolist() for near in spread.clusters] == [[0, 1], [0, 1], [2], [3]]
    assert np.concatenate(spread.shares) == pytest.approx([0.625, 0.375, 0.375, 0.625, 1, 1])
    assert spread.pairs == 1
    assert spread_among(centres, samples, 0.61).pairs == 0
    # A sample that the clusters lack, as where a pool lost it, counts for none.
    assert cluster_centres(files, "embedding", names[:3], labels[:3])[1].tolist() == [1, 1, 1]


def test_blocks_of_centres_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    centres, samples = generator.standard_normal((9, 2)), np.arange(1, 10)
    whole = spread_among(centres, samples, 0.5)
    monkeypatch.setattr(coverage, "CENTRES_PER_BLOCK", 4)
    parts = spread_among(centres, samples, 0.5)
    assert parts.pairs == whole.pairs > 0
    assert np.concatenate(parts.clusters).tolist() == np.concatenate(whole.clusters).tolist()


def slow(clusters, quality, shares, count, power):
    """The objective of every set with one row more, in each step. `shares`: clusters x clusters, columns sum to 1."""

    def value(rows):
        mass = [sum(quality[row] * shares[cluster, clusters[row]] for row in rows) for cluster in range(len(shares))]
        return sum(each**power for each in mass)

    picked: list[int] = []
    while len(picked) < min(count, len(clusters)):
        left = [row for row in range(len(clusters)) if row not in picked]
        now = value(picked)
        picked.append(min(left, key=lambda row: (-round(value([*picked, row]) - now, 7), -quality[row], row)))
    return picked


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=4, max_size=4),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_equals_the_slow_search(rows, points, power):
    clusters, quality = np.array([row[0] for row in rows]), np.array([row[1] for row in rows]) / 6
    spread = spread_among(np.array(points, dtype=float), np.ones(4, dtype=np.int64), 0.7)
    shares = np.zeros((4, 4))
    for cluster, (near, share) in enumerate(zip(spread.clusters, spread.shares, strict=True)):
        shares[near, cluster] = share
    assert cover(clusters, quality, spread, 7, power).tolist() == slow(clusters, quality, shares, 7, power)
