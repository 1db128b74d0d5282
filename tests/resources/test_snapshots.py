"""What of the warehouse's past is forgotten, on both catalogs."""

import time
import uuid

import pytest

from orchestration.disk_usage import bytes_of
from resources.snapshots import bytes_of_snapshots, forget_snapshots, snapshot_times, snapshots
from resources.warehouse import SnapshotMissing, Warehouse

PARTITION = {"pool": "p", "model": "m"}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def warehouse(tmp_path, request):
    path = str(tmp_path / "it's a warehouse")
    if request.param == "sqlite":
        return Warehouse(folder=path)
    catalog = f"postgres:{request.getfixturevalue('server')}"
    return Warehouse(folder=path, catalog=catalog, catalog_schema=f"it's {uuid.uuid4()}")


def write(warehouse, times, rows=20_000):
    """The rows' number is their score's sum's last sign, so that each time is told from the others."""
    for number in range(times):
        warehouse.replace(
            "scores.ifd",
            PARTITION,
            f"SELECT 's' || i AS sample_id, {number}::DOUBLE AS score FROM range({rows}) AS r(i)",
        )
        yield warehouse.snapshot()


def score(warehouse, at=None):
    return warehouse.query("SELECT DISTINCT score FROM scores.ifd", at=at).item()


@pytest.mark.slow
def test_what_is_kept_can_be_read_and_the_rest_is_gone(warehouse):
    first, second, third, last = write(warehouse, 4)
    folder = warehouse.tables
    assert bytes_of_snapshots(warehouse, snapshots(warehouse)) == bytes_of(folder)
    kept = bytes_of_snapshots(warehouse, {second, last})
    assert 0 < bytes_of_snapshots(warehouse, {last}) < kept < bytes_of(folder)
    forget_snapshots(warehouse, [each for each in snapshots(warehouse) if each not in (second, last)])
    assert snapshots(warehouse) == [second, last]
    assert bytes_of(folder) == kept
    assert (score(warehouse, second), score(warehouse)) == (1, 3)
    for gone in (first, third):
        with pytest.raises(SnapshotMissing, match=f"has no snapshot {gone}"):
            score(warehouse, gone)
    # It can be written as before.
    assert len(list(write(warehouse, 1))) == 1
    assert (score(warehouse, second), score(warehouse)) == (1, 0)


@pytest.mark.slow
def test_few_rows_live_in_the_catalog_and_are_kept_too(warehouse):
    first, *_, last = write(warehouse, 3, rows=3)
    forget_snapshots(warehouse, [each for each in snapshots(warehouse) if each not in (first, last)])
    assert (score(warehouse, first), score(warehouse)) == (0, 2)


@pytest.mark.slow
def test_a_snapshot_is_known_by_its_number_and_its_time(warehouse):
    began = time.time()
    first, second, last = write(warehouse, 3, rows=3)
    times = snapshot_times(warehouse, [first, second, last + 1])
    assert times.keys() == {first, second, last}
    assert began < times[first] / 1e6 < times[second] / 1e6 < times[last] / 1e6 < time.time()
    assert snapshot_times(warehouse, ()) == {last: times[last]}


@pytest.mark.slow
def test_the_newest_snapshot_cannot_be_forgotten(warehouse):
    (*_, last) = write(warehouse, 2)
    forget_snapshots(warehouse, snapshots(warehouse))
    assert snapshots(warehouse) == [last]
    assert score(warehouse) == 1


@pytest.mark.slow
def test_what_killed_processes_left_goes(warehouse):
    before, last = write(warehouse, 2)
    folder = warehouse.tables
    orphan = folder / "scores" / "ifd" / "killed.parquet"
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"half a file")
    # Killed after forgetting, before the files went.
    with warehouse.write() as connection:
        connection.execute("CALL ducklake_expire_snapshots('warehouse', versions => $v)", {"v": [before]})
    assert bytes_of(folder) > bytes_of_snapshots(warehouse, {last})
    forget_snapshots(warehouse, [])
    assert bytes_of(folder) == bytes_of_snapshots(warehouse, {last})
    assert score(warehouse) == 1
