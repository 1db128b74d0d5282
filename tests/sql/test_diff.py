"""Overlap and rank correlation, against scipy and numbers worked out by hand."""

import pytest
from scipy.stats import spearmanr

from sql.queries import load_sql

ONE = {"one_table": "scores.ifd", "one_pool": "p", "one_model": "m", "one_seed": None, "one_budget": None}
OTHER = {
    "other_table": 'scores."ifd.published"', "other_pool": "p", "other_model": "m", "other_seed": None,
    "other_budget": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    return new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")


def fill(warehouse, table, scores, pool="p"):
    warehouse.replace(
        table,
        {"pool": pool, "model": "m"},
        "SELECT unnest(range(len($scores)))::VARCHAR AS sample_id, unnest($scores::DOUBLE[]) AS score",
        {"scores": scores},
    )


def correlation(warehouse, **changed):
    return warehouse.query(load_sql("60_diff/rank_correlation"), {**ONE, **OTHER, **changed}).row(0)


def test_ranks_with_ties_and_missing_scores(warehouse):
    one = [0.3, 0.1, 0.1, 0.9, None, 0.4, 0.4, 0.4]
    other = [2.0, 1.0, 5.0, 5.0, 7.0, None, 3.0, 0.0]
    fill(warehouse, "scores.ifd", one)
    fill(warehouse, 'scores."ifd.published"', other)
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    samples, spearman = correlation(warehouse)
    assert samples == 6
    expected = spearmanr([a for a, _ in both], [b for _, b in both])
    assert spearman == pytest.approx(expected.statistic)


@pytest.mark.slow
def test_scores_of_a_pool_and_of_a_part_of_it(warehouse):
    fill(warehouse, "scores.ifd", [1.0, 2.0, 3.0])
    fill(warehouse, 'scores."ifd.published"', [1.0, 2.0, 0.0])
    fill(warehouse, 'scores."ifd.published"', [2.0, 1.0], pool="p@2")
    assert correlation(warehouse, other_pool="p@2") == (2, -1.0)


def test_equal_scores_have_no_correlation(warehouse):
    fill(warehouse, "scores.ifd", [1.0, 2.0])
    fill(warehouse, 'scores."ifd.published"', [1.0, 1.0])
    assert correlation(warehouse) == (2, None)


@pytest.mark.slow
def test_overlap(warehouse):
    warehouse.replace("pools.samples", {"pool": "p"}, "SELECT unnest(range(10))::VARCHAR AS sample_id")
    for experiment, first in (("a", 0), ("b", 3)):
        warehouse.replace(
            "selections.samples",
            {"experiment": experiment},
            "SELECT unnest(range($first, $first + 5))::VARCHAR AS sample_id",
            {"first": first},
        )
    overlap = warehouse.query(load_sql("60_diff/overlap"), {"pool": "p", "one": "a", "other": "b"}).row(0, named=True)
    assert overlap == {"one": 5, "other": 5, "shared": 2, "shared_by_chance": 2.5}


@pytest.fixture(scope="module")
def sides():
    return {"pool": "looks", "one": "one/looks/m/3/s0", "other": "other/looks/m/3/s0"}


@pytest.fixture(scope="module")
def looks(warehouse, sides):
    """Eight samples of two sources and clusters; one selects 0, 1, 2, the other 2, 6, 7."""
    warehouse.replace(
        "pools.samples",
        {"pool": "looks"},
        """
        SELECT 'l' || i AS sample_id, CASE WHEN i < 6 THEN 'web' ELSE 'books' END AS source, i + 1 AS turns,
            [{'role': 'user', 'content': 'Question ' || i}, {'role': 'assistant', 'content': 'Answer ' || i}]
                AS messages
        FROM range(8) AS numbers(i)
        """,
    )
    partition = {"pool": "looks", "model": "m"}
    warehouse.replace(
        "features.token_count",
        partition,
        "SELECT 'l' || i AS sample_id, 10 * i AS prompt_tokens, 100 * i AS answer_tokens FROM range(7) AS numbers(i)",
    )
    warehouse.replace(
        "features.sample_cluster",
        partition,
        "SELECT 'l' || i AS sample_id, (i // 4)::INTEGER AS cluster, 9.0 - i AS distance FROM range(8) AS numbers(i)",
    )
    for experiment, ids in ((sides["one"], ["l2", "l1", "l0"]), (sides["other"], ["l7", "l2", "l6"])):
        warehouse.replace(
            "selections.samples",
            {"experiment": experiment},
            'SELECT unnest(range(1, 4))::INTEGER AS "position", unnest($ids) AS sample_id',
            {"ids": ids},
        )
    return warehouse


def test_what_each_side_looks_like(looks, sides):
    groups = looks.query(load_sql("60_diff/groups"), {**sides, "model": "m"}).rows()
    # The tokens of l7 were not counted.
    assert groups == [
        ("only_one", 2, 5, 50, 1.5),
        ("only_other", 2, 60, 600, 7.5),
        ("both", 1, 20, 200, 3),
        ("pool", 8, 30, 300, 4.5),
    ]


def test_sources_of_each_side(looks, sides):
    assert looks.query(load_sql("60_diff/sources"), sides).rows() == [("web", 2, 0, 1, 6), ("books", 0, 2, 0, 2)]


def test_clusters_that_each_side_takes_more_from(looks, sides):
    clusters = looks.query(load_sql("60_diff/clusters"), {**sides, "model": "m", "most": 1}).rows()
    assert clusters == [(0, 2, 0, 1, 4, "l3", "Question 3"), (1, 0, 2, 0, 4, "l7", "Question 7")]


def test_examples_of_each_side_best_first(looks, sides):
    examples = looks.query(load_sql("60_diff/examples"), {**sides, "most": 1}).rows()
    assert examples == [
        (sides["one"], 2, "l1", "Question 1", "Answer 1"),
        (sides["other"], 1, "l7", "Question 7", "Answer 7"),
    ]


def test_an_experiment_differs_in_nothing_from_itself(looks, sides):
    same = {**sides, "other": sides["one"]}
    assert looks.query(load_sql("60_diff/examples"), {**same, "most": 3}).is_empty()
    assert [row[:2] for row in looks.query(load_sql("60_diff/groups"), {**same, "model": "m"}).rows()] == [
        ("both", 3),
        ("pool", 8),
    ]
