"""Which samples of a pool are scored again."""

import pytest

from selection_platform.features.rescored import LEAST, MOST, PART
from sql.queries import load_sql


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "expected"), [(7, 4), (60, 30), (1000, 50), (1001, 51), (20_100, 1000)])
def test_one_in_20_is_scored_again_within_bounds_those_with_the_lowest_ids(samples, expected, tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "warehouse")
    for pool in ("letters", "other"):
        rows = f"SELECT md5(range::VARCHAR) AS sample_id FROM range({samples})"
        warehouse.replace("pools.samples", {"pool": pool}, rows)
    values = {"pool": "letters", "part": PART, "least": LEAST, "most": MOST}
    ids = warehouse.query(load_sql("30_features/samples_to_rescore"), values)["sample_id"].to_list()
    every = warehouse.query("SELECT sample_id FROM pools.samples WHERE pool = 'other'")["sample_id"].to_list()
    assert ids == sorted(every)[:expected]
