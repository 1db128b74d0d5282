"""What explain reads, against scipy and numbers worked out by hand."""

import pytest
from scipy.stats import percentileofscore

from sql.queries import load_sql

SCORES = [0.5, 0.9, 0.5, None, 0.1, 0.5]
PARTITION = {"pool": "p", "model": "m"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    warehouse = new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")
    warehouse.replace(
        "pools.samples",
        {"pool": "p"},
        """
        SELECT 's' || i AS sample_id, 'file' AS source, 1 AS turns,
            [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Question ' || i},
             {'role': 'assistant', 'content': 'Answer.'}] AS messages
        FROM range(6) AS numbers(i)
        """,
    )
    warehouse.replace("pools.held_out", {"pool": "q", "split": "held_out"}, "SELECT 's0' AS sample_id")
    warehouse.replace(
        "scores.ifd",
        PARTITION,
        """
        SELECT 's' || (i - 1) AS sample_id, $scores[i] AS score, CASE WHEN $scores[i] IS NULL THEN 'cut' END AS dropped
        FROM range(1, 7) AS numbers(i)
        """,
        {"scores": SCORES},
    )
    # A method whose rows depend on the set has rows of its own for a part of the pool.
    for pool, scores in (("p", "('s0', -2.0), ('s1', -1.0)"), ("p@2", "('s0', -1.0)")):
        warehouse.replace(
            "scores.km_ifd",
            {"pool": pool, "model": "m"},
            f"SELECT 2 AS budget, * FROM (VALUES {scores}) AS rows(sample_id, score)",
        )
    for pool, count in (("p", 6), ("p@2", 2)):
        warehouse.replace(
            "features.sample_cluster",
            {"pool": pool, "model": "m"},
            "SELECT 's' || i AS sample_id, i // 3 AS cluster, 1.0 + i AS distance FROM range($count) AS numbers(i)",
            {"count": count},
        )
    warehouse.replace(
        "features.sample_embedding",
        PARTITION,
        """
        SELECT * FROM (VALUES ('s0', [1, 0]), ('s1', [0, 2]), ('s2', [3, 3]), ('s3', [-1, 0]), ('s4', [0, 1]),
            ('s5', [4, 3])) AS rows(sample_id, embedding)
        """,
    )
    return warehouse


@pytest.mark.parametrize("index", range(6))
def test_rank_ties_and_percentile(warehouse, index):
    values = {"table": "scores.ifd", "sample_id": f"s{index}"}
    (row,) = warehouse.query(load_sql("60_explain/score"), values).to_dicts()
    score = SCORES[index]
    scored = [each for each in SCORES if each is not None]
    assert (row["pool"], row["model"], row["score"], row["scored"]) == ("p", "m", score, 5)
    if score is None:
        assert (row["rank"], row["tied"], row["percentile"], row["dropped"]) == (None, None, None, "cut")
    else:
        assert row["rank"] == 1 + sum(each > score for each in scored)
        assert row["tied"] == scored.count(score)
        assert row["percentile"] == pytest.approx(percentileofscore(scored, score, kind="mean"))
        assert row["dropped"] is None


def test_a_rank_in_each_pool_and_part_of_one(warehouse):
    rows = warehouse.query(load_sql("60_explain/score"), {"table": "scores.km_ifd", "sample_id": "s0"})
    assert rows.select("pool", "budget", "rank", "scored", "percentile").rows() == [
        ("p", 2, 2, 2, 25.0),
        ("p@2", 2, 1, 1, 50.0),
    ]


def test_cluster_and_place_in_it(warehouse):
    rows = warehouse.query(load_sql("60_explain/clusters"), {"sample_id": "s1"})
    assert rows.rows() == [("p", "m", 0, 2.0, 3, 1, 6), ("p@2", "m", 0, 2.0, 2, 1, 2)]


def test_neighbours_by_cosine(warehouse):
    rows = warehouse.query(load_sql("60_explain/neighbours"), {"sample_id": "s1", "most": 3})
    assert rows.drop("similarity").rows() == [
        ("p", "m", "s4", "Question 4"),
        ("p", "m", "s2", "Question 2"),
        ("p", "m", "s5", "Question 5"),
    ]
    assert rows["similarity"].to_list() == pytest.approx([1, 2**-0.5, 3 / 5])


def test_every_pool_and_split_that_has_it(warehouse):
    rows = warehouse.query(load_sql("60_explain/conversations"), {"sample_id": "s0"})
    assert rows.select("pool", "split").rows() == [("p", "samples"), ("q", "held_out")]


def test_ids_by_their_beginning_and_the_nearest(warehouse):
    assert warehouse.query(load_sql("60_explain/ids"), {"prefix": "s", "most": 2})["sample_id"].to_list() == [
        "s0",
        "s1",
    ]
    assert warehouse.query(load_sql("60_explain/ids"), {"prefix": "s9", "most": 2}).is_empty()
    nearest = warehouse.query(load_sql("60_explain/nearest_ids"), {"prefix": "t3", "most": 2})
    assert nearest["sample_id"].to_list() == ["s3", "s0"]
