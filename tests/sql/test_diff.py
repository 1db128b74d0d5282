"""Overlap and rank correlation, against scipy and numbers worked out by hand."""

from typing import Any

import pytest
from scipy.stats import spearmanr

from resources.warehouse import Warehouse
from selection_platform.queries import load_sql

ONE = {"one_table": "scores.ifd", "one_model": "m", "one_seed": None, "one_budget": None}
OTHER = {"other_table": 'scores."ifd.published"', "other_model": "m", "other_seed": None, "other_budget": None}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    return Warehouse(folder=str(tmp_path_factory.mktemp("warehouse")))


def fill(warehouse, table, scores):
    warehouse.replace(
        table,
        {"pool": "p", "model": "m"},
        "SELECT unnest(range(len($scores)))::VARCHAR AS sample_id, unnest($scores::DOUBLE[]) AS score",
        {"scores": scores},
    )


def correlation(warehouse):
    return warehouse.query(load_sql("60_diff/rank_correlation"), {"pool": "p", **ONE, **OTHER}).row(0)


def test_ranks_with_ties_and_missing_scores(warehouse):
    one = [0.3, 0.1, 0.1, 0.9, None, 0.4, 0.4, 0.4]
    other = [2.0, 1.0, 5.0, 5.0, 7.0, None, 3.0, 0.0]
    fill(warehouse, "scores.ifd", one)
    fill(warehouse, 'scores."ifd.published"', other)
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    samples, spearman = correlation(warehouse)
    assert samples == 6
    expected: Any = spearmanr([a for a, _ in both], [b for _, b in both])
    assert spearman == pytest.approx(expected.statistic)


def test_equal_scores_have_no_correlation(warehouse):
    fill(warehouse, "scores.ifd", [1.0, 2.0])
    fill(warehouse, 'scores."ifd.published"', [1.0, 1.0])
    assert correlation(warehouse) == (2, None)


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
