"""The k-means wrapper, against quotas worked out by hand and a slow loop."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sql.queries import load_sql

PARTITION = {"pool": "p", "model": "m"}
VALUES = {**PARTITION, "scores": "scores.ifd", "scores_pool": "p", "scores_model": "m"}


def fill(warehouse, rows):
    """rows: (sample_id, cluster, score or None)."""
    clusters = [{"sample_id": name, "cluster": cluster, "distance": 0.0} for name, cluster, _ in rows]
    scores = [
        {"sample_id": name, "score": score, "dropped": None if score is not None else "bad"} for name, _, score in rows
    ]
    warehouse.replace(
        "features.sample_cluster",
        PARTITION,
        "SELECT unnest($rows::STRUCT(sample_id VARCHAR, cluster INTEGER, distance DOUBLE)[], recursive := true)",
        {"rows": clusters},
    )
    warehouse.replace(
        "scores.ifd",
        PARTITION,
        "SELECT unnest($rows::STRUCT(sample_id VARCHAR, score DOUBLE, dropped VARCHAR)[], recursive := true)",
        {"rows": scores},
    )


def picked(warehouse, *budgets):
    rows = warehouse.query(
        f"SELECT budget, sample_id FROM ({load_sql('40_scores/best_of_clusters')}) WHERE score IS NOT NULL "
        "ORDER BY budget, score DESC",
        {**VALUES, "budgets": list(budgets)},
    ).rows()
    return {budget: [name for each, name in rows if each == budget] for budget in budgets}


@pytest.mark.slow
def test_a_sub_pools_clusters_are_picked_from_by_the_whole_pools_scores(warehouse):
    fill(warehouse, [("a", 0, 1.0), ("b", 1, 2.0), ("c", 1, 3.0)])
    warehouse.replace(
        "features.sample_cluster",
        {**PARTITION, "pool": "p@2"},
        "SELECT unnest(['a', 'b']) AS sample_id, 0 AS cluster, 0.0 AS distance",
    )
    rows = warehouse.query(load_sql("40_scores/best_of_clusters"), {**VALUES, "pool": "p@2", "budgets": [1]}).rows()
    assert sorted(rows) == [(1, "a", None, "beyond the quota of its cluster"), (1, "b", -1.0, None)]


def quota_by_largest_remainder(sizes: dict[int, int], budget: int) -> dict[int, int]:
    total = sum(sizes.values())
    share = {cluster: Fraction(budget * size, total) for cluster, size in sizes.items()}
    quota = {cluster: int(each) for cluster, each in share.items()}
    by_remainder = sorted(share, key=lambda cluster: (quota[cluster] - share[cluster], cluster))
    for cluster in by_remainder[: budget - sum(quota.values())]:
        quota[cluster] += 1
    return quota


def best_of_clusters(rows, budget: int) -> list[str]:
    by_cluster: dict[int, list] = {}
    for name, cluster, score in rows:
        if score is not None:
            by_cluster.setdefault(cluster, []).append((-score, name))
    quota = quota_by_largest_remainder({cluster: len(members) for cluster, members in by_cluster.items()}, budget)
    turns = [
        (turn, *member) for cluster, members in by_cluster.items() for turn, member in enumerate(sorted(members))
        if turn < quota[cluster]
    ]  # fmt: skip
    return [name for *_, name in sorted(turns)]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    return new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")


def test_by_hand(warehouse):
    # Five of cluster 0, three of 1, two of 2 (and one without a score): a budget of 4 gives 2.0, 1.2 and 0.8.
    rows = [(f"a{i}", 0, float(i)) for i in range(5)] + [(f"b{i}", 1, 10.0 + i) for i in range(3)]
    rows += [("c0", 2, 0.5), ("c1", 2, 0.25), ("c2", 2, None)]
    fill(warehouse, rows)
    assert picked(warehouse, 4, 1) == {4: ["b2", "a4", "c0", "a3"], 1: ["a4"]}
    reasons = dict(
        warehouse.query(
            f"SELECT sample_id, dropped FROM ({load_sql('40_scores/best_of_clusters')}) WHERE score IS NULL",
            {**VALUES, "budgets": [4]},
        ).rows()
    )
    assert reasons["c2"] == "bad"
    assert reasons["c1"] == "beyond the quota of its cluster"
    assert len(reasons) == 7


def test_a_budget_above_the_pool_takes_what_there_is(warehouse):
    fill(warehouse, [("a", 0, 1.0), ("b", 1, 2.0), ("c", 1, None)])
    assert picked(warehouse, 5, 9) == {5: ["b", "a"], 9: ["b", "a"]}


@pytest.mark.slow
@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 3))), min_size=1, max_size=30),
    st.integers(1, 30),
)
def test_equals_the_slow_loop(warehouse, members, budget):
    rows = [
        (f"s{index:02d}", cluster, None if score is None else float(score))
        for index, (cluster, score) in enumerate(members)
    ]
    scored = sum(score is not None for _, _, score in rows)
    if scored == 0:
        return
    fill(warehouse, rows)
    assert picked(warehouse, budget)[budget] == best_of_clusters(rows, min(budget, scored))
