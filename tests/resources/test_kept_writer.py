"""A writing connection that stays open: writes are as they are without, and the catalog is whole when it closes."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from resources import readers
from resources.kept_writer import kept_writer
from resources.warehouse import Warehouse

OTHER_PROCESS = """
import sys
from resources.warehouse import Warehouse
warehouse = Warehouse(folder=sys.argv[1])
warehouse.replace("pools.dropped", {"pool": "other"}, "SELECT 'late' AS reason, 7 AS samples")
print(warehouse.query("SELECT sum(samples)::INT FROM pools.dropped").item())
"""


KEEPS_WRITING = """
import sys
from resources.kept_writer import kept_writer
from resources.warehouse import Warehouse
warehouse, name = Warehouse(folder=sys.argv[1]), sys.argv[2]
with kept_writer(warehouse.folder):
    for number in range(12):
        rows = f"SELECT 'late' AS reason, {number} AS samples"
        for pool in (name, f"{name} {number}"):
            warehouse.replace("pools.dropped", {"pool": pool}, rows)
        own = warehouse.query("SELECT samples FROM pools.dropped WHERE pool = $pool", {"pool": name})
        assert own["samples"].to_list() == [number], own
"""


@pytest.fixture
def warehouse(tmp_path):
    yield Warehouse(folder=str(tmp_path / "warehouse"))
    readers.close(str(tmp_path / "warehouse"))


def write(warehouse, samples, pool="own"):
    warehouse.replace("pools.dropped", {"pool": pool}, f"SELECT 'late' AS reason, {samples} AS samples")


def total(warehouse):
    return warehouse.query("SELECT sum(samples)::INT FROM pools.dropped").item()


@pytest.fixture
def opened(monkeypatch):
    """Of each connection that is opened, whether it may only read."""
    found, attached = [], Warehouse._attached

    def counted(self, *, read_only, at=None):
        found.append(read_only)
        return attached(self, read_only=read_only, at=at)

    monkeypatch.setattr(Warehouse, "_attached", counted)
    return found


@pytest.mark.slow
def test_one_connection_writes(warehouse, opened):
    write(warehouse, 1)
    opened.clear()
    with kept_writer(warehouse.folder):
        for samples in (2, 3, 4):
            write(warehouse, samples)
            assert total(warehouse) == samples
    assert opened.count(False) == 1
    assert not Path(warehouse.folder, "catalog.sqlite-wal").exists()
    assert total(warehouse) == 4


def test_a_write_that_fails_leaves_the_rows_and_the_next_one_succeeds(warehouse):
    with kept_writer(warehouse.folder):
        write(warehouse, 1)
        with pytest.raises(duckdb.Error, match="no such"):
            warehouse.replace("pools.dropped", {"pool": "own"}, "SELECT error('no such') AS reason, 2 AS samples")
        assert total(warehouse) == 1
        write(warehouse, 3)
    assert total(warehouse) == 3


@pytest.mark.slow
def test_another_process_writes_meanwhile(warehouse):
    with kept_writer(warehouse.folder):
        write(warehouse, 1)
        assert total(warehouse) == 1
        command = [sys.executable, "-c", OTHER_PROCESS, warehouse.folder]
        other = subprocess.run(command, capture_output=True, text=True, check=True)
        assert other.stdout == "8\n"
        assert total(warehouse) == 8
        write(warehouse, 2)
    assert total(warehouse) == 9


@pytest.mark.slow
def test_processes_that_keep_writing_side_by_side_lose_nothing(warehouse):
    write(warehouse, 1)
    names = ["one", "two", "three"]
    command = [sys.executable, "-c", KEEPS_WRITING, warehouse.folder]
    writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in names]
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], said
    rows = warehouse.query("SELECT pool, samples FROM pools.dropped WHERE pool <> 'own'").iter_rows()
    assert dict(rows) == {
        **dict.fromkeys(names, 11), **{f"{name} {number}": number for name in names for number in range(12)}
    }  # fmt: skip
