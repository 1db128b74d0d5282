"""The scores that are SQL, against numbers worked out by hand."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

from sql.queries import load_sql

PARTITION = {"pool": "p", "model": "m"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    warehouse = new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")
    warehouse.replace("pools.samples", {"pool": "p"}, "SELECT unnest(['a', 'b', 'c']) AS sample_id")
    warehouse.replace("pools.samples", {"pool": "other"}, "SELECT 'z' AS sample_id")
    warehouse.replace(
        "features.answer_likelihood",
        {**PARTITION, "reader": "base"},
        """
        SELECT *, answer_tokens AS direct_answer_tokens, answer_tokens + 1 AS unshifted_answer_tokens
        FROM (VALUES
            ('easier',    4, 2.0, 8.0, 20.0, false),
            ('harder',    2, 6.0, 4.0, 30.0, false),
            ('as hard',   2, 4.0, 4.0, 3.0, false),
            ('truncated', 2, 1.0, 4.0, 6.0, true),
            ('certain',   2, 0.0, 0.0, 0.0, false),
            ('no answer', 0, NULL, NULL, NULL, true)
        ) AS rows(sample_id, answer_tokens, answer_nll, direct_answer_nll, unshifted_answer_nll, truncated)
        """,
    )
    warehouse.replace(
        "features.answer_likelihood",
        {**PARTITION, "reader": "published"},
        """
        SELECT *, false AS truncated
        FROM (VALUES ('easier', 4, 3, 2.0, 3.0), ('swallowed', 1, 0, 2.0, NULL))
            AS rows(sample_id, answer_tokens, direct_answer_tokens, answer_nll, direct_answer_nll)
        """,
    )
    return warehouse


def scored(warehouse, statement, **values):
    rows = warehouse.query(f"SELECT sample_id, score, dropped FROM ({load_sql(statement)})", values).rows()
    return {sample_id: dropped or score for sample_id, score, dropped in rows}


def test_entropy_is_the_mean_over_answer_tokens(warehouse):
    assert scored(warehouse, "40_scores/entropy", **PARTITION, published=False) == {
        "easier": 0.5,
        "harder": 3.0,
        "as hard": 2.0,
        "truncated": 0.5,
        "certain": 0.0,
        "no answer": "no token of the answer fits the scoring window",
    }


def test_ifd_is_the_ratio_of_means_and_drops_what_it_cannot_judge(warehouse):
    assert scored(warehouse, "40_scores/ifd", **PARTITION, reader="base", published=False) == {
        "easier": 0.25,
        "as hard": 1.0,
        "harder": "the prompt makes the answer less likely (IFD above 1)",
        "truncated": "the answer is cut by the scoring window",
        "certain": "the answer is certain, or empty, without its prompt",
        "no answer": "no token of the answer fits the scoring window",
    }


def test_s_ifd_drops_what_ifd_drops_and_samples_without_a_counted_token(warehouse):
    file = Path(warehouse.folder).parent / "s_ifd.parquet"
    rows = """
        SELECT sample_id, value::DOUBLE AS selective_ifd
        FROM (VALUES
            ('easier', 0.3), ('harder', 1.2), ('as hard', NULL), ('truncated', 0.4), ('certain', 0.9),
            ('no answer', NULL)
        ) AS rows(sample_id, value)
    """
    warehouse.export(rows, file)
    values = {"features_pool": "p", "model": "m", "file": str(file)}
    with warehouse.write() as connection:
        found = connection.execute(load_sql("40_scores/s_ifd"), values).fetchall()
    assert {name: dropped or score for name, score, dropped in found} == {
        "easier": 0.3,
        "certain": 0.9,
        "harder": "the prompt makes the answer less likely (IFD above 1)",
        "as hard": "the prompt changes no token of the answer more than half of all tokens",
        "truncated": "the answer is cut by the scoring window",
        "no answer": "no token of the answer fits the scoring window",
    }


def test_published_entropy_is_the_unshifted_mean_over_what_it_takes_for_the_answer(warehouse):
    scores = scored(warehouse, "40_scores/entropy", **PARTITION, published=True)
    assert scores["easier"] == 4.0
    assert scores["as hard"] == 1.0
    assert scores["no answer"] == "no token of the answer fits the scoring window"


def test_published_ifd_has_two_counts_of_tokens_and_gives_rejected_rows_0(warehouse):
    assert scored(warehouse, "40_scores/ifd", **PARTITION, reader="published", published=True) == {
        "easier": 0.5,
        "swallowed": 0.0,
    }
    scores = scored(warehouse, "40_scores/ifd", **PARTITION, reader="base", published=True)
    assert scores["harder"] == scores["truncated"] == scores["no answer"] == 0.0


def test_token_length_is_the_answers(warehouse):
    warehouse.replace(
        "features.token_count",
        PARTITION,
        "SELECT 'a' AS sample_id, 9 AS prompt_tokens, 5 AS answer_tokens, 4 AS nonzero_answer_tokens",
    )
    for published, tokens in ((False, 5.0), (True, 4.0)):
        rows = warehouse.query(load_sql("40_scores/token_length"), {**PARTITION, "published": published}).rows()
        assert rows == [("a", tokens)]


def test_less_weighs_checkpoints_and_takes_the_group_that_is_served_best(warehouse):
    warehouse.replace(
        "features.gradient_influence",
        PARTITION,
        """
        SELECT * FROM (VALUES
            ('a', 1, 3.0, 'adam', 'x', 0.5), ('a', 2, 1.0, 'adam', 'x', -0.1),
            ('a', 1, 3.0, 'adam', 'y', 0.1), ('a', 2, 1.0, 'adam', 'y', 0.5),
            ('a', 1, 3.0, 'published', 'x', 0.9), ('a', 2, 1.0, 'published', 'x', 0.9),
            ('no answer', 1, 3.0, 'adam', 'x', NULL), ('no answer', 2, 1.0, 'adam', 'x', NULL)
        ) AS rows(sample_id, epoch, mean_learning_rate, direction, target, influence)
        """,
    )
    values = {**PARTITION, "direction": "adam"}
    assert scored(warehouse, "40_scores/less", **values, weights=None) == {
        "a": pytest.approx((3 * 0.5 - 0.1) / 4),  # group y: (3 * 0.1 + 0.5) / 4
        "no answer": "no token of the answer fits the scoring window",
    }
    assert scored(warehouse, "40_scores/less", **values, weights=[1.0, 9.0])["a"] == pytest.approx(
        0.1 * 0.1 + 0.9 * 0.5
    )


@pytest.mark.slow
def test_pre_experience_takes_prompts_of_the_middle_half_of_each_cluster(warehouse):
    # Cluster 0: perplexities 1 to 9, of which 3 to 7 are the middle half. Cluster 1: one prompt; one of a single token.
    names = [f"n{index}" for index in range(1, 10)]
    warehouse.replace(
        "pools.samples", {"pool": "q"}, "SELECT unnest($names) AS sample_id", {"names": [*names, "one", "single"]}
    )
    warehouse.replace(
        "features.prompt_cluster",
        {"pool": "q", "model": "m"},
        "SELECT sample_id, (sample_id IN ('one', 'single'))::INTEGER AS cluster FROM pools.samples WHERE pool = 'q'",
    )
    warehouse.replace(
        "features.answer_likelihood",
        {"pool": "q", "model": "m", "reader": "base"},
        """
        SELECT
            sample_id,
            CASE WHEN sample_id = 'single' THEN 1 ELSE 3 END AS prompt_tokens,
            CASE WHEN starts_with(sample_id, 'n') THEN 2 * ln(sample_id[2]::INTEGER) ELSE 1 END AS prompt_nll
        FROM pools.samples WHERE pool = 'q'
        """,
    )

    # What other readers made of the same samples is not looked at.
    warehouse.replace(
        "features.answer_likelihood",
        {"pool": "q", "model": "m", "reader": "pre_experience"},
        "SELECT sample_id, 3 AS prompt_tokens, 0.5 AS prompt_nll FROM pools.samples WHERE pool = 'q'",
    )

    def drawn(per_cluster):
        values = {"pool": "q", "model": "m", "per_cluster": per_cluster}
        return [row[1] for row in warehouse.query(load_sql("35_pre_experience/samples"), values).rows()]

    assert drawn(10) == [*names, "one"]  # fewer than ten: the cluster is taken whole
    assert drawn(9) == ["n3", "n4", "n5", "n6", "n7", "one"]
    assert drawn(2) == ["n5", "n7", "one"]
    assert drawn(1) == ["n7", "one"]


def test_draws_for_less_differ_by_seed_and_come_in_the_order_of_ids(warehouse):
    warehouse.replace("pools.samples", {"pool": "r"}, "SELECT printf('%02d', unnest(range(50))) AS sample_id")

    def draw(seed, limit):
        values = {"pool": "r", "seed": seed, "limit": limit}
        return [row[1] for row in warehouse.query(load_sql("36_influence/random_samples"), values).rows()]

    ids = [f"{number:02d}" for number in range(50)]
    by_hash = sorted(ids, key=lambda name: hashlib.md5(f"{name}/warmup/0".encode()).hexdigest())
    assert draw("warmup/0", 10) == sorted(by_hash[:10])
    assert draw("warmup/1", 10) != draw("warmup/0", 10)
    assert draw("warmup/0", 99) == ids


def test_random_is_a_hash_of_seed_and_sample(warehouse):
    rows = warehouse.query(load_sql("40_scores/random"), {"pool": "p", "seeds": [0, 3]}).rows()

    def expected(sample_id, seed):
        digest = hashlib.md5(f"{sample_id}/{seed}".encode()).digest()
        return int.from_bytes(digest[8:], "little") / 2**64

    assert sorted(rows) == sorted(
        (seed, sample_id, pytest.approx(expected(sample_id, seed))) for seed in (0, 3) for sample_id in "abc"
    )


def test_grape_draws_prompts_and_takes_the_likeliest_answer_of_each(warehouse):
    # Two answers to one prompt, of which the longer has the lower mean; the same answer to a prompt with a system
    # message; two equally likely ones; one that does not fit the window.
    said = [("long", "q", "a a a a", 4, 4.0), ("short", "q", "b", 1, 2.0), ("system", "s q", "b", 1, 9.0),
            ("tie 1", "r", "c", 1, 1.0), ("tie 2", "r", "d", 2, 2.0), ("cut", "r", "e", 0, None)]  # fmt: skip
    rows = [
        {
            "sample_id": name,
            "messages": [{"role": "user", "content": text} for text in (*prompt.split(), answer)],
            "answer_tokens": tokens,
            "answer_nll": nll,
        }
        for name, prompt, answer, tokens, nll in said
    ]
    file = Path(warehouse.folder).parent / "grape.parquet"
    pl.DataFrame(rows).write_parquet(file)
    samples = "SELECT sample_id, messages FROM read_parquet($file)"
    warehouse.replace("pools.samples", {"pool": "g"}, samples, {"file": str(file)})
    part = f"{samples} WHERE sample_id = 'short'"
    warehouse.replace("pools.samples", {"pool": "g@1"}, part, {"file": str(file)})
    partition = {**PARTITION, "pool": "g", "reader": "base"}
    likelihoods = "SELECT * EXCLUDE messages FROM read_parquet($file)"
    warehouse.replace("features.answer_likelihood", partition, likelihoods, {"file": str(file)})
    values = {"pool": "g", "features_pool": "g", "model": "m", "seeds": [0, 3]}
    found = warehouse.query(load_sql("40_scores/grape"), values).rows()
    likelier, outside = "another answer to its prompt is likelier", "no token of the answer fits the scoring window"
    for seed in (0, 3):
        of_seed = {name: dropped or score for each, name, score, dropped in found if each == seed}
        assert {name for name, score in of_seed.items() if isinstance(score, float)} == {"long", "system", "tie 1"}
        assert [of_seed[name] for name in ("short", "tie 2", "cut")] == [likelier, likelier, outside]
        # As a random draw of prompts.
        text = '[{"role":"user","content":"q"}]'
        digest = hashlib.md5(f"{hashlib.md5(text.encode()).hexdigest()}/{seed}".encode()).digest()
        assert of_seed["long"] == pytest.approx(int.from_bytes(digest[8:], "little") / 2**64)
    # A part of the pool has no other answer.
    part = warehouse.query(load_sql("40_scores/grape"), {**values, "pool": "g@1", "seeds": [0]}).rows()
    assert [(row[1], row[3]) for row in part] == [("short", None)]


def test_zip_scores_the_picks_in_order(warehouse):
    picks = Path(warehouse.folder).parent / "zip.parquet"
    warehouse.export("SELECT * FROM (VALUES ('b', 1, 2.5), ('a', 2, 2.75)) AS rows(sample_id, position, ratio)", picks)
    # As the asset runs it: a reader reaches the tables' files alone.
    with warehouse.write() as connection:
        rows = connection.execute(load_sql("40_scores/zip"), {"pool": "p", "picks": str(picks)}).fetchall()
    assert sorted(rows) == [
        ("a", -2.0, None),
        ("b", -1.0, None),
        ("c", None, "not among the picks up to the largest budget"),
    ]


def select(warehouse, table, budget, seed: int | None = None, model: str | None = "m", sub_pool: str | None = None):
    values = {
        "table": table, "pool": "p", "model": model, "seed": seed, "scores_budget": None, "sub_pool": sub_pool,
        "budget": budget,
    }  # fmt: skip
    return warehouse.query(load_sql("50_selections/highest_scores"), values).rows()


def test_selection_takes_the_highest_and_breaks_ties_by_id(warehouse):
    rows = "SELECT * FROM (VALUES ('d', 1.0), ('c', 2.0), ('b', 1.0), ('a', NULL)) AS rows(sample_id, score)"
    warehouse.replace("scores.ifd", PARTITION, rows)
    assert select(warehouse, "scores.ifd", 2) == [(1, "c", 2.0), (2, "b", 1.0)]
    assert select(warehouse, "scores.ifd", 9) == [(1, "c", 2.0), (2, "b", 1.0), (3, "d", 1.0)]


def test_a_sub_pool_is_selected_from_by_the_whole_pools_scores(warehouse):
    rows = "SELECT * FROM (VALUES ('d', 1.0), ('c', 2.0), ('b', 1.0), ('a', 0.5)) AS rows(sample_id, score)"
    warehouse.replace("scores.ifd", PARTITION, rows)
    warehouse.replace("pools.samples", {"pool": "p@2"}, "SELECT unnest(['a', 'b']) AS sample_id")
    assert select(warehouse, "scores.ifd", 9, sub_pool="p@2") == [(1, "b", 1.0), (2, "a", 0.5)]


def test_selection_of_a_budget_uses_that_budgets_scores(warehouse):
    rows = "SELECT * FROM (VALUES (1, 'a', -1.0), (2, 'b', -1.0), (2, 'a', -2.0)) AS rows(budget, sample_id, score)"
    warehouse.replace("scores.diverse_evol", PARTITION, rows)
    values = {"table": "scores.diverse_evol", **PARTITION, "seed": None, "sub_pool": None}
    for budget, picked in ((1, ["a"]), (2, ["b", "a"])):
        selected = warehouse.query(
            load_sql("50_selections/highest_scores"), {**values, "scores_budget": budget, "budget": budget}
        )
        assert selected["sample_id"].to_list() == picked


def test_diverse_evol_scores_each_budgets_picks_in_order(warehouse):
    folder = Path(warehouse.folder).parent / "picks"
    for budget, picks in ((1, "('a', 1)"), (2, "('b', 1), ('a', 2)")):
        path = folder / str(budget) / "picks.parquet"
        warehouse.export(f"SELECT * FROM (VALUES {picks}) AS rows(sample_id, position)", path)
    values = {
        "pool": "p", "budgets": [1, 2], "folder": str(folder),
        "picks": [str(folder / str(budget) / "picks.parquet") for budget in (1, 2)],
    }  # fmt: skip
    with warehouse.write() as connection:
        rows = connection.execute(load_sql("40_scores/diverse_evol"), values).fetchall()
    reason = "not picked within the budget"
    assert sorted(rows, key=lambda row: row[:2]) == [
        (1, "a", -1.0, None), (1, "b", None, reason), (1, "c", None, reason),
        (2, "a", -2.0, None), (2, "b", -1.0, None), (2, "c", None, reason),
    ]  # fmt: skip


def test_selection_of_a_seed_uses_that_seeds_scores(warehouse):
    rows = (
        "SELECT * FROM (VALUES (0, 'a', 0.9), (0, 'b', 0.1), (1, 'a', 0.2), (1, 'b', 0.3)) AS r(seed, sample_id, score)"
    )
    warehouse.replace("scores.random", {"pool": "p", "model": None}, rows)
    assert select(warehouse, "scores.random", 1, seed=0, model=None) == [(1, "a", 0.9)]
    assert select(warehouse, "scores.random", 1, seed=1, model=None) == [(1, "b", 0.3)]
