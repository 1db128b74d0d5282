"""SelectIT's score, against numbers worked out by hand and against the formula in numpy."""

import math

import duckdb
import numpy as np
import polars as pl
import pytest

from resources import catalog
from sql.queries import load_sql
from tests.conftest import duckdb_with

VALUES = {
    "raters": ["m"],
    "weights": [1.0],
    "alpha": 0.2,
    "level": "sentence",
    "softmax_twice": False,
}
SURE = [0.0, 0.0, 0.0, 0.1, 0.3]
"""q = 0, 0, 0, 1/4, 3/4: base 5, score 5/4 * (3 * 3/4 + 1/2) = 55/16."""
FLAT = [0.02, 0.02, 0.02, 0.02, 0.02]
"""All equal: score 0."""
LOW = [0.8, 0.0, 0.2, 0.0, 0.0]
"""Base 1, score 1/4 * (3 * 0.8 + 0.6) = 0.75."""
TIED = [0.1, 0.2, 0.1, 0.2, 0.0]
"""q = 1/6, 1/3, 1/6, 1/3, 0: base 2, score 2/4 * (1/6 + 1/6 + 0 + 1/3) = 1/3."""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    """One for all tests, which have a pool each: making its tables takes longer than a test."""
    return new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")


@pytest.fixture
def pool(request, warehouse):
    """A pool of one sample, "a"."""
    put_pool(warehouse, request.node.name, ["a"])
    return request.node.name


def put_pool(warehouse, pool, sample_ids):
    warehouse.replace("pools.samples", {"pool": pool}, "SELECT unnest($ids) AS sample_id", {"ids": sample_ids})


def put_ratings(warehouse, pool, ratings, model="m"):
    """Ratings by sample: the probabilities of prompts 1, 2 and on."""
    rows = [(s, prompt, p) for s, prompts in ratings.items() for prompt, p in enumerate(prompts, 1)]
    warehouse.replace(
        "features.rating_probability",
        {"pool": pool, "model": model},
        "SELECT unnest($samples) AS sample_id, unnest($prompts) AS prompt, unnest($probabilities) AS probabilities, "
        "false AS truncated",
        dict(zip(("samples", "prompts", "probabilities"), map(list, zip(*rows, strict=True)), strict=True)),
    )


def scores(warehouse, pool, **values) -> dict[str, float]:
    rows = warehouse.query(load_sql("40_scores/selectit"), VALUES | {"pool": pool} | values)
    assert rows.schema == {"sample_id": pl.String, "score": pl.Float64, "dropped": pl.String}
    assert rows["dropped"].null_count() == len(rows)
    result = dict(rows.select("sample_id", "score").rows())
    assert len(result) == len(rows)
    return result


def test_token_level_is_of_the_first_prompt(warehouse, pool):
    first = {"sure": SURE, "flat": FLAT, "low": LOW, "tied": TIED, "certain": [0, 0, 0, 0, 1e-9]}
    put_pool(warehouse, pool, list(first))
    put_ratings(warehouse, pool, {name: [numbers, SURE, LOW, LOW, FLAT] for name, numbers in first.items()})
    expected = {"sure": 55 / 16, "flat": 0.0, "low": 0.75, "tied": 1 / 3, "certain": 5.0}
    for alpha in (0.0, 0.2, 9.0):
        assert scores(warehouse, pool, level="token", alpha=alpha) == pytest.approx(expected, abs=1e-12)


def test_softmax_twice_is_the_published_code(warehouse, pool):
    put_ratings(warehouse, pool, {"a": [SURE] * 5})
    e = [math.exp(q) for q in (0, 0, 0, 0.25, 0.75)]
    expected = 5 / 4 * sum((e[4] - other) / sum(e) for other in e)
    assert scores(warehouse, pool, level="token", softmax_twice=True) == {"a": pytest.approx(expected)}


def test_softmax_twice_is_bounded(warehouse, pool):
    put_ratings(warehouse, pool, {"a": [[0.0, 0.0, 0.0, 0.0, 1.0]] * 5})
    (score,) = scores(warehouse, pool, softmax_twice=True).values()
    assert score == pytest.approx(5 * (math.e - 1) / (math.e + 4))
    assert 1.278 < score <= 1.279


def test_ties_go_to_the_lower_digit(warehouse, pool):
    put_ratings(warehouse, pool, {"a": [[0.3, 0.0, 0.0, 0.0, 0.3]] * 5})
    # Base 1 and not 5: 1/4 * 3 * 1/2.
    assert scores(warehouse, pool, level="token") == {"a": pytest.approx(0.375)}
    e = math.exp(0.5)
    expected = pytest.approx(3 / 4 * (e - 1) / (2 * e + 3))
    assert scores(warehouse, pool, level="token", softmax_twice=True) == {"a": expected}


def test_sentence_level_is_lowered_by_disagreement(warehouse, pool):
    put_ratings(warehouse, pool, {"a": [LOW, LOW, FLAT, FLAT, LOW]})
    mean, deviation = 0.45, 0.75 * math.sqrt(6) / 5  # population: 0.75 times sqrt(3/5 * 2/5)
    assert scores(warehouse, pool) == {"a": pytest.approx(mean / (1 + 0.2 * deviation))}
    assert scores(warehouse, pool, alpha=0.0) == {"a": pytest.approx(mean)}
    assert scores(warehouse, pool, alpha=2.0) == {"a": pytest.approx(mean / (1 + 2 * deviation))}
    assert scores(warehouse, pool, level="model") == scores(warehouse, pool)


@pytest.mark.slow
def test_model_level_weighs_the_raters(warehouse, pool):
    put_ratings(warehouse, pool, {"a": [LOW] * 5}, model="m")
    put_ratings(warehouse, pool, {"a": [SURE] * 5}, model="large")
    put_ratings(warehouse, pool, {"a": [FLAT] * 5}, model="not asked")
    expected = pytest.approx((1.5 * 0.75 + 7 * 55 / 16) / 8.5)
    for raters, weights in (
        (["m", "large"], [1.5, 7.0]),
        (["large", "m"], [7.0, 1.5]),
        (["m", "large"], [1.5e9, 7e9]),
        (["m", "large"], [1.5 / 8.5, 7 / 8.5]),
    ):
        assert scores(warehouse, pool, level="model", raters=raters, weights=weights) == {"a": expected}


@pytest.mark.slow
def test_many_samples_equal_the_formula(warehouse, pool, monkeypatch):
    monkeypatch.setattr(catalog, "DuckDBResource", duckdb_with(threads=4))
    generator = np.random.default_rng(0)
    ids = [f"s{index:03d}" for index in range(300)]
    put_pool(warehouse, pool, ids)
    ratings = {model: generator.dirichlet(np.full(6, 0.5), (len(ids), 5))[..., :5] for model in ("m", "large")}
    for model, values in ratings.items():
        put_ratings(warehouse, pool, dict(zip(ids, values.tolist(), strict=True)), model)

    def sentence(p: np.ndarray, softmax_twice: bool) -> np.ndarray:
        q = p / p.sum(axis=-1, keepdims=True)
        if softmax_twice:
            q = np.exp(q) / np.exp(q).sum(axis=-1, keepdims=True)
        token = (q.argmax(axis=-1) + 1) * (5 * q.max(axis=-1) - q.sum(axis=-1)) / 4
        return token.mean(axis=-1) / (1 + 0.2 * token.std(axis=-1))

    for softmax_twice in (False, True):
        small, large = (sentence(ratings[model], softmax_twice) for model in ("m", "large"))
        found = scores(warehouse, pool, softmax_twice=softmax_twice)
        assert [found[name] for name in ids] == pytest.approx(small.tolist())
        both = {"level": "model", "raters": ["m", "large"], "weights": [1.0, 3.0], "softmax_twice": softmax_twice}
        found = scores(warehouse, pool, **both)
        assert [found[name] for name in ids] == pytest.approx(((small + 3 * large) / 4).tolist())
        assert scores(warehouse, pool, **both) == found  # to the last bit, whatever order the threads work in


@pytest.mark.slow
def test_only_the_pools_samples_have_scores(warehouse, pool):
    put_ratings(warehouse, pool, {"a": [LOW] * 5, "gone": [SURE] * 5})
    put_ratings(warehouse, "another pool", {"a": [SURE] * 5})
    assert scores(warehouse, pool) == {"a": pytest.approx(0.75)}
    put_pool(warehouse, pool, ["a", "gone"])
    assert scores(warehouse, pool) == {"a": pytest.approx(0.75), "gone": pytest.approx(55 / 16)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratings", "found"), [({"a": [LOW] * 5}, r"\[\]"), ({"a": [LOW] * 5, "b": [LOW] * 4}, r"\[1, 2, 3, 4\]")]
)
def test_a_sample_without_all_ratings_is_an_error(warehouse, pool, ratings, found):
    put_pool(warehouse, pool, ["a", "b"])
    put_ratings(warehouse, pool, {"a": [LOW] * 5, "b": [LOW] * 5}, model="large")
    put_ratings(warehouse, pool, ratings)
    raters = {"level": "model", "raters": ["large", "m"], "weights": [7.0, 1.0]}
    with pytest.raises(duckdb.Error, match=rf"sample b has prompts {found} of rater m, not \[1, 2, 3, 4, 5\]"):
        scores(warehouse, pool, **raters)
    assert set(scores(warehouse, pool, raters=["large"])) == {"a", "b"}


def test_a_sample_rated_twice_is_an_error(warehouse, pool):
    put_ratings(warehouse, pool, {"a": [LOW] * 5})
    warehouse.replace(
        "features.rating_probability",
        {"pool": pool, "model": "m"},
        "SELECT unnest([1, 1, 2, 3, 4, 5]) AS prompt, 'a' AS sample_id, [1, 0, 0, 0, 0] AS probabilities",
    )
    with pytest.raises(duckdb.Error, match=r"has prompts \[1, 1, 2, 3, 4, 5\]"):
        scores(warehouse, pool)


def test_numbers_that_are_no_probabilities_are_an_error(warehouse, pool):
    broken = {
        "zeros": "[0, 0, 0, 0, 0]",
        "four": "[1, 0, 0, 0]",
        "none": "NULL",
        "one missing": "[1, NULL, 0, 0, 0]",
        "not a number": "['nan'::DOUBLE, 0, 0, 0, 0]",
        "negative": "[2, -1, 0, 0, 0]",
    }
    rows = ", ".join(f"('{rater}', {numbers}::DOUBLE[])" for rater, numbers in broken.items())
    warehouse.replace(
        "features.rating_probability",
        {"pool": pool},
        f"SELECT 'a' AS sample_id, 1 AS prompt, model, probabilities FROM (VALUES {rows}) AS r(model, probabilities)",
    )
    for rater in broken:
        with pytest.raises(duckdb.Error, match=f"sample a, prompt 1, rater {rater}: the ratings are not five prob"):
            scores(warehouse, pool, level="token", raters=[rater])


def test_wrong_values_are_an_error(warehouse, pool):
    two = {"raters": ["m", "n"], "weights": [1.0, 1.0]}
    none = {"raters": [], "weights": []}
    with warehouse.read() as connection:
        for values, message in (
            ({"level": "word"}, "level is token, sentence or model"),
            ({"level": None}, "level is token, sentence or model"),
            ({"level": "token", **two}, "level token is of one rater"),
            ({"level": "sentence", **two}, "level sentence is of one rater"),
            ({"level": "sentence", **none}, "level sentence is of one rater"),
            ({"level": "model", **none}, "there must be a rater"),
            ({"level": "model", "raters": ["m", "m"], "weights": [1.0]}, "named twice"),
            ({"weights": [1.0, 2.0]}, "differ in number"),
            ({"weights": [0.0]}, "weights above 0"),
            ({"weights": [None]}, "weights above 0"),
            ({"weights": [math.inf]}, "weights above 0"),
            ({"alpha": -1.0}, "alpha of at least 0"),
            ({"softmax_twice": None}, "true or false"),
        ):
            with pytest.raises(duckdb.Error, match=message):
                connection.execute(load_sql("40_scores/selectit"), VALUES | {"pool": pool} | values).fetchall()
