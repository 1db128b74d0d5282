"""The scores that are SQL, against numbers worked out by hand."""

import hashlib

import pytest

from resources.warehouse import Warehouse
from selection_platform.queries import load_sql

PARTITION = {"pool": "p", "model": "m"}


@pytest.fixture
def warehouse(tmp_path):
    warehouse = Warehouse(folder=str(tmp_path))
    warehouse.replace("pools.samples", {"pool": "p"}, "SELECT unnest(['a', 'b', 'c']) AS sample_id")
    warehouse.replace("pools.samples", {"pool": "other"}, "SELECT 'z' AS sample_id")
    warehouse.replace(
        "features.answer_likelihood",
        PARTITION,
        """
        SELECT * FROM (VALUES
            ('easier',    4, 2.0, 8.0, false),
            ('harder',    2, 6.0, 4.0, false),
            ('as hard',   2, 4.0, 4.0, false),
            ('truncated', 2, 1.0, 4.0, true),
            ('certain',   2, 0.0, 0.0, false),
            ('no answer', 0, NULL, NULL, true)
        ) AS rows(sample_id, answer_tokens, answer_nll, direct_answer_nll, truncated)
        """,
    )
    return warehouse


def scored(warehouse, statement, **values):
    rows = warehouse.query(f"SELECT sample_id, score, dropped FROM ({load_sql(statement)})", values).rows()
    return {sample_id: dropped or score for sample_id, score, dropped in rows}


def test_entropy_is_the_mean_over_answer_tokens(warehouse):
    assert scored(warehouse, "40_scores/entropy", **PARTITION) == {
        "easier": 0.5,
        "harder": 3.0,
        "as hard": 2.0,
        "truncated": 0.5,
        "certain": 0.0,
        "no answer": "no token of the answer fits the scoring window",
    }


def test_ifd_is_the_ratio_of_means_and_drops_what_it_cannot_judge(warehouse):
    assert scored(warehouse, "40_scores/ifd", **PARTITION) == {
        "easier": 0.25,
        "as hard": 1.0,
        "harder": "the prompt makes the answer less likely (IFD above 1)",
        "truncated": "the answer is cut by the scoring window",
        "certain": "the answer is certain without its prompt",
        "no answer": "no token of the answer fits the scoring window",
    }


def test_token_length_is_the_answers(warehouse):
    warehouse.replace(
        "features.token_count", PARTITION, "SELECT 'a' AS sample_id, 9 AS prompt_tokens, 5 AS answer_tokens"
    )
    rows = warehouse.query(load_sql("40_scores/token_length"), PARTITION).rows()
    assert rows == [("a", 5.0)]


def test_random_is_a_hash_of_seed_and_sample(warehouse):
    rows = warehouse.query(load_sql("40_scores/random"), {"pool": "p", "seeds": [0, 3]}).rows()

    def expected(sample_id, seed):
        digest = hashlib.md5(f"{sample_id}/{seed}".encode()).digest()
        return int.from_bytes(digest[8:], "little") / 2**64

    assert sorted(rows) == sorted(
        (seed, sample_id, pytest.approx(expected(sample_id, seed))) for seed in (0, 3) for sample_id in "abc"
    )


def test_zip_scores_the_picks_in_order(warehouse, tmp_path):
    picks = tmp_path / "picks.parquet"
    warehouse.export("SELECT * FROM (VALUES ('b', 1, 2.5), ('a', 2, 2.75)) AS rows(sample_id, position, ratio)", picks)
    with warehouse.read() as connection:
        rows = connection.execute(load_sql("40_scores/zip"), {"pool": "p", "picks": str(picks)}).fetchall()
    assert sorted(rows) == [
        ("a", -2.0, None),
        ("b", -1.0, None),
        ("c", None, "not among the picks up to the largest budget"),
    ]


def select(warehouse, table, budget, seed: int | None = None, model: str | None = "m"):
    values = {"table": table, "pool": "p", "model": model, "seed": seed, "budget": budget}
    return warehouse.query(load_sql("50_selections/highest_scores"), values).rows()


def test_selection_takes_the_highest_and_breaks_ties_by_id(warehouse):
    rows = "SELECT * FROM (VALUES ('d', 1.0), ('c', 2.0), ('b', 1.0), ('a', NULL)) AS rows(sample_id, score)"
    warehouse.replace("scores.ifd", PARTITION, rows)
    assert select(warehouse, "scores.ifd", 2) == [(1, "c", 2.0), (2, "b", 1.0)]
    assert select(warehouse, "scores.ifd", 9) == [(1, "c", 2.0), (2, "b", 1.0), (3, "d", 1.0)]


def test_selection_of_a_seed_uses_that_seeds_scores(warehouse):
    rows = (
        "SELECT * FROM (VALUES (0, 'a', 0.9), (0, 'b', 0.1), (1, 'a', 0.2), (1, 'b', 0.3)) AS r(seed, sample_id, score)"
    )
    warehouse.replace("scores.random", {"pool": "p", "model": None}, rows)
    assert select(warehouse, "scores.random", 1, seed=0, model=None) == [(1, "a", 0.9)]
    assert select(warehouse, "scores.random", 1, seed=1, model=None) == [(1, "b", 0.3)]
