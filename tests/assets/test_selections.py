"""An unsound selection is refused before it is committed."""

import pytest

from assets.selections import _verifier
from selection_platform.experiments.keys import Experiment

EXPERIMENT = Experiment("ifd", "p", "m", 3, 0)
ALL_DATA = Experiment("all_data", "p", "m", None, 0)


@pytest.fixture
def warehouse(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "home" / "warehouse")
    warehouse.replace("pools.samples", {"pool": "p"}, "SELECT unnest(['a', 'b', 'c', 'd']) AS sample_id")
    return warehouse


def select(warehouse, rows, experiment=EXPERIMENT):
    statement = f'SELECT * FROM (VALUES {rows}) AS rows("position", sample_id, score)'
    return warehouse.replace(
        "selections.samples", {"experiment": experiment.key}, statement, verify=_verifier(experiment, {})
    )


def test_a_sound_selection_is_written(warehouse):
    assert select(warehouse, "(1, 'd', 0.5), (2, 'a', 0.25), (3, 'b', 0.25)") == 3
    assert select(warehouse, "(1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL), (4, 'd', NULL)", ALL_DATA) == 4


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("(1, 'a', 0.5), (2, 'a', 0.25), (3, 'b', 0.1)", "1 repeated ids"),
        ("(1, 'a', 0.5), (2, 'z', 0.25), (3, 'b', 0.1)", "1 ids that are not in the pool"),
        ("(1, 'a', 0.5), (2, 'c', 0.25), (4, 'b', 0.1)", "1 missing positions"),
        ("(1, 'a', 0.5), (2, 'c', 0.25), (2, 'b', 0.25)", "1 repeated positions"),
        ("(1, 'a', 0.5), (2, 'c', 0.75), (3, 'b', 0.1)", "1 rows out of order"),
        ("(1, 'a', 0.5), (2, 'c', 0.25), (3, 'b', 0.25)", "1 rows out of order"),
        ("(1, 'a', 0.5), (2, 'c', 0.25)", "3 samples are wanted, but only 2 have a score"),
    ],
)
def test_an_unsound_selection_leaves_the_old_one(warehouse, rows, fault):
    select(warehouse, "(1, 'd', 0.5), (2, 'a', 0.25), (3, 'b', 0.25)")
    with pytest.raises(ValueError, match=fault):
        select(warehouse, rows)
    kept = warehouse.query('SELECT sample_id FROM selections.samples ORDER BY "position"')
    assert kept["sample_id"].to_list() == ["d", "a", "b"]


def test_all_data_is_the_whole_pool(warehouse):
    with pytest.raises(ValueError, match="4 samples are wanted, but only 3"):
        select(warehouse, "(1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL)", ALL_DATA)
