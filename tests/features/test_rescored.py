"""Which samples of a pool are scored again."""

import pytest

from selection_platform.features.rescored import rescored_samples
from sql.queries import load_sql


@pytest.mark.parametrize(
    ("pool", "expected"), [(1, 1), (7, 4), (60, 30), (1000, 50), (1001, 51), (20_100, 1000), (10**6, 1000)]
)
def test_one_in_20_is_scored_again_within_bounds(pool, expected):
    assert rescored_samples(pool) == expected


def test_they_are_those_with_the_lowest_ids(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "warehouse")
    for pool, ids in (("letters", "'d', 'a', 'c', 'b'"), ("other", "'0'")):
        warehouse.replace("pools.samples", {"pool": pool}, f"SELECT unnest([{ids}]) AS sample_id")
    statement = load_sql("30_features/samples_to_rescore")
    assert warehouse.query(statement, {"pool": "letters", "samples": 2})["sample_id"].to_list() == ["a", "b"]
