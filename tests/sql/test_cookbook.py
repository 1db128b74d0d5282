"""Each question of the cookbook on six samples, against answers worked out by hand; and the page that shows them."""

import math
from contextlib import contextmanager
from pathlib import Path

import pytest

from selection_platform.cli.cookbook import questions

# The ids that each experiment of two samples selects, best first.
CHOSEN = {
    "random/p/m/2/s0": "ab", "random/p/m/2/s1": "bc", "token_length/p/m/2/s0": "fe", "ifd/p/m/2/s0": "ed",
    "km_ifd/p/m/2/s0": "ea", "ifd.published/p/m/2/s0": "ed",
}  # fmt: skip
# From a part of the pool: what they select is not to be compared with the pool.
OF_PART = {"random/p@3/m/2/s0": "cb", "ifd/p@3/m/2/s0": "cb", "km_ifd/p@3/m/2/s0": "cb"}
BASE, ALL_DATA = "base/m", "all_data/p/m/all/s0"
EXPERIMENTS = {**CHOSEN, **OF_PART, ALL_DATA: "abcdef", BASE: ""}
POOL = {"pool": "p"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    """Samples a to f: the first three from web, answers of 1 to 6 tokens, two in each cluster."""
    warehouse = new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")
    in_pool = "FROM range(6) AS numbers(i)"
    partition = {"pool": "p", "model": "m"}
    warehouse.replace(
        "pools.samples",
        POOL,
        f"SELECT chr((97 + i)::INTEGER) AS sample_id, CASE WHEN i < 3 THEN 'web' ELSE 'books' END AS source, "
        f"1 AS turns, i AS characters {in_pool}",
    )
    warehouse.replace("pools.held_out", {"pool": "p", "split": "held_out"}, "SELECT 'h' AS sample_id")
    warehouse.replace("pools.dropped", POOL, "SELECT 'too long' AS reason, 3 AS samples")
    warehouse.replace(
        "features.token_count",
        partition,
        f"SELECT chr((97 + i)::INTEGER) AS sample_id, 10 AS prompt_tokens, i + 1 AS answer_tokens {in_pool}",
    )
    warehouse.replace(
        "features.sample_cluster",
        partition,
        f"SELECT chr((97 + i)::INTEGER) AS sample_id, i // 2 AS cluster {in_pool}",
    )
    warehouse.replace(
        "pools.samples", {"pool": "p@3"}, "SELECT * EXCLUDE pool FROM pools.samples WHERE sample_id <= 'c'"
    )
    keys = [key(experiment, ids) for experiment, ids in EXPERIMENTS.items()]
    warehouse.replace("experiments.keys", {}, "SELECT unnest($rows, recursive := true)", {"rows": keys})
    select(warehouse, EXPERIMENTS)
    return warehouse


def key(experiment, ids):
    method, *_, seed = experiment.split("/")
    return {
        "experiment": experiment, "method": method, "pool": None if experiment == BASE else "p", "model": "m",
        "budget": 2 if len(ids) == 2 else None, "seed": 0 if experiment == BASE else int(seed[1:]),
        "pool_size": 3 if experiment in OF_PART else None,
    }  # fmt: skip


def select(warehouse, chosen):
    """Replace all selections, of each experiment the ids of its samples."""
    rows = [
        {"experiment": experiment, "position": position, "sample_id": sample_id}
        for experiment, ids in chosen.items()
        for position, sample_id in enumerate(ids, 1)
    ]
    warehouse.replace("selections.samples", {}, "SELECT unnest($rows, recursive := true)", {"rows": rows})


def answers(warehouse, name, **values):
    return warehouse.query(questions()[name].statement, values).rows()


@contextmanager
def without(warehouse, *experiments):
    """The warehouse as it is before these have selected."""
    select(warehouse, {**EXPERIMENTS, **dict.fromkeys(experiments, "")})
    yield
    select(warehouse, EXPERIMENTS)


def score(warehouse, table, scores):
    return warehouse.replace(
        f"scores.{table}",
        {"pool": "p", "model": "m"},
        "SELECT unnest($ids) AS sample_id, unnest($scores::DOUBLE[]) AS score",
        {"ids": list(scores), "scores": list(scores.values())},
    )


def test_long_answers(warehouse):
    assert answers(warehouse, "long_answers", **POOL) == [
        ("token_length/p/m/2/s0", 5.5, 3.5, 100.0),
        ("ifd.published/p/m/2/s0", 4.5, 3.5, 50.0),
        ("ifd/p/m/2/s0", 4.5, 3.5, 50.0),
        ("km_ifd/p/m/2/s0", 3.0, 3.5, 50.0),
        ("random/p/m/2/s1", 2.5, 3.5, 0.0),
        ("random/p/m/2/s0", 1.5, 3.5, 0.0),
    ]


def test_sources(warehouse):
    # km_ifd takes as much of each source as the pool has, and so prefers none.
    assert answers(warehouse, "sources", **POOL) == [
        ("ifd.published/p/m/2/s0", "books", 2, 100.0, 50.0),
        ("ifd/p/m/2/s0", "books", 2, 100.0, 50.0),
        ("random/p/m/2/s0", "web", 2, 100.0, 50.0),
        ("random/p/m/2/s1", "web", 2, 100.0, 50.0),
        ("token_length/p/m/2/s0", "books", 2, 100.0, 50.0),
    ]


def test_agreement(warehouse):
    assert answers(warehouse, "agreement", **POOL) == [
        ("e", "books", 3, 3, "ifd, km_ifd, token_length"),
        ("a", "web", 1, 3, "km_ifd"),
        ("d", "books", 1, 3, "ifd"),
        ("f", "books", 1, 3, "token_length"),
    ]


def test_cheaper_scorers(warehouse):
    """Cost is by arithmetic; the cheapest stands first."""
    rows = [
        {"method": method, "proxy": proxy, "shared": shared, "flops": flops, "whole_flops": whole}
        for method, proxy, shared, flops, whole in (
            ("less", "2 of 4 checkpoints", 9, 5.0, 10.0),
            ("less", "1 of 4 checkpoints", 7, 2.5, 10.0),
        )
    ]
    same = {"pool": "p", "model": "m", "budget": 10, "picks": 10, "share_low": 0.58722, "by_chance": 0.0333}
    same |= {"correlation": 0.98765, "good_enough": False}
    rows = [row | same for row in rows]
    warehouse.replace("reports.proxy_card", {}, "SELECT unnest($rows, recursive := true)", {"rows": rows})
    assert answers(warehouse, "cheaper_scorers") == [
        ("p", "m", "less", "1 of 4 checkpoints", 10, 70.0, 58.7, 3.3, 0.988, 25.0, False),
        ("p", "m", "less", "2 of 4 checkpoints", 10, 90.0, 58.7, 3.3, 0.988, 50.0, False),
    ]


@pytest.mark.slow
def test_passed_over(warehouse):
    score(warehouse, "less", {"a": 0.5, "b": 0.2, "c": 0.9, "d": None})
    assert answers(warehouse, "passed_over", **POOL, method="less") == []
    with without(warehouse, "random/p/m/2/s0", "km_ifd/p/m/2/s0"):
        assert answers(warehouse, "passed_over", **POOL, method="less") == [("m", 2, 0.5, "a", "web", 1, 0)]


def test_random_overlap(warehouse):
    # Two of six, twice: the mean is 2 * 2 / 6, the variance 2 * (2/6) * (4/6) * (4/5).
    deviation = round(math.sqrt(2 * (2 / 6) * (4 / 6) * (4 / 5)), 1)
    assert answers(warehouse, "random_overlap") == [("p", "m", 2, 0, 1, 1, 0.7, deviation)]


def test_dropped_rows(warehouse):
    assert answers(warehouse, "dropped_rows", **POOL) == [
        ("sample of the pool", 6, 60.0),
        ("dropped: too long", 3, 30.0),
        ("split: held_out", 1, 10.0),
    ]


@pytest.mark.slow
def test_changed_scores(warehouse):
    score(warehouse, "ifd", {"a": 0.5, "b": 0.5, "c": 0.5, "d": None})
    snapshot = warehouse.snapshot()
    score(warehouse, "ifd", {"a": 0.5, "b": 0.75, "d": 0.5, "e": None})
    # c is gone, d is new, and e has no score at either time.
    assert answers(warehouse, "changed_scores", snapshot=str(snapshot)) == [("p", "m", 5, 2, 1, 1, 1, 0.25)]
    newest = str(warehouse.snapshot())
    assert answers(warehouse, "changed_scores", snapshot=newest) == [("p", "m", 4, 4, 0, 0, 0, 0.0)]


@pytest.mark.slow
def test_flipped_items(warehouse):
    tuned = "ifd/p/m/2/s0"
    for experiment, correct in ((BASE, [0.0, 1.0, 1.0]), (tuned, [1.0, 1.0, 0.0])):
        warehouse.replace(
            "benchmarks.results",
            {"experiment": experiment},
            """
            SELECT 'mmlu' AS benchmark, unnest(['acc', 'acc_norm']) AS metric, unnest([true, false]) AS "primary"
            """,
        )
        warehouse.replace(
            "benchmarks.items",
            {"experiment": experiment},
            """
            SELECT 'mmlu' AS benchmark, 't' AS task, 'i' || unnest(range(3)) AS item_id, 'acc' AS metric,
                unnest($correct) AS correct
            UNION ALL
            -- Another metric than the headline's, which flips for each item.
            SELECT 'mmlu', 't', 'i' || unnest(range(3)), 'acc_norm', CASE WHEN $tuned THEN 1 ELSE 0 END
            """,
            {"correct": correct, "tuned": experiment == tuned},
        )
    assert answers(warehouse, "flipped_items", experiment=tuned) == [
        ("mmlu", "t", "i0", 0.0, 1.0, "won"),
        ("mmlu", "t", "i2", 1.0, 0.0, "lost"),
    ]


def test_cut_answers(warehouse):
    for experiment, found, ended in (("ifd/p/m/2/s0", 1.0, 0.5), ("km_ifd/p/m/2/s0", 0.25, 1.0)):
        warehouse.replace(
            "benchmarks.results",
            {"experiment": experiment},
            """
            SELECT 'gsm8k' AS benchmark, unnest(['equal_number', 'answer_found', 'ended']) AS metric,
                unnest([0.0, $found, $ended]) AS "value"
            """,
            {"found": found, "ended": ended},
        )
    assert answers(warehouse, "cut_answers") == [
        ("km_ifd/p/m/2/s0", "gsm8k", 25, 100),
        ("ifd/p/m/2/s0", "gsm8k", 100, 50),
    ]


def test_oversampled_clusters(warehouse):
    assert answers(warehouse, "oversampled_clusters", **POOL) == [
        ("random/p/m/2/s0", 0, 2, 0.7, 3.0),
        ("token_length/p/m/2/s0", 2, 2, 0.7, 3.0),
        ("ifd.published/p/m/2/s0", 1, 1, 0.7, 1.5),
        ("ifd/p/m/2/s0", 1, 1, 0.7, 1.5),
        ("km_ifd/p/m/2/s0", 0, 1, 0.7, 1.5),
        ("random/p/m/2/s1", 0, 1, 0.7, 1.5),
    ]


def test_training_tokens(warehouse):
    # The random draws have 23 and 25.
    assert answers(warehouse, "training_tokens", **POOL) == [
        (ALL_DATA, 6, 60, 21, None),
        ("token_length/p/m/2/s0", 2, 20, 11, 1.29),
        ("ifd.published/p/m/2/s0", 2, 20, 9, 1.21),
        ("ifd/p/m/2/s0", 2, 20, 9, 1.21),
        ("km_ifd/p/m/2/s0", 2, 20, 6, 1.08),
        ("random/p/m/2/s1", 2, 20, 5, 1.04),
        ("random/p/m/2/s0", 2, 20, 3, 0.96),
    ]


def test_kmeans_twins(warehouse):
    assert answers(warehouse, "kmeans_twins") == [("p", "m", 2, 0, "ifd", 1, 2, 2)]


@pytest.mark.slow
def test_ties(warehouse):
    score(warehouse, "entropy", {"a": 0.5, "b": 0.5, "c": 0.75, "d": None})
    assert answers(warehouse, "ties", method="entropy") == [("p", "m", None, None, 3, 1, 2, 0.5, 2)]
    score(warehouse, '"entropy.published"', {"a": None})
    assert answers(warehouse, "ties", method="entropy.published") == [("p", "m", None, None, None, 1, 0, None, None)]


def test_other_budget(warehouse):
    score(warehouse, "token_length", {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6})
    assert answers(warehouse, "other_budget", **POOL, method="token_length", budget="3") == [
        ("m", None, 1, "f", 6.0, "books", True),
        ("m", None, 2, "e", 5.0, "books", True),
        ("m", None, 3, "d", 4.0, "books", False),
    ]


def test_every_question_has_a_test_and_its_place_on_the_page():
    page = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text(encoding="utf-8")
    for question in questions().values():
        assert f"test_{question.name}" in globals()
        assert question.arguments[:2] == ["sql", f"@{question.name}"]
        assert f"## {question.question}\n\n[`{question.name}.sql`]" in page
        assert f"\n$ selection-platform {' '.join(question.arguments)}\n" in page
    assert page.count("\n## ") == len(questions())
