"""What happens to the warehouse when disk, folder, catalog or tables are not as they should be."""

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pytest

from resources import readers
from resources.catalog import CATALOG_VARIABLE
from resources.faults import WarehouseFault
from resources.lost_files import passing_over
from resources.snapshots import forget_snapshots, snapshots
from resources.warehouse import Warehouse
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE

PARTITION = {"pool": "p", "model": "m"}
MANY = 100_000
"""Rows that take more than a megabyte."""


def rows(count):
    return f"SELECT md5(range::VARCHAR) AS sample_id, random() AS score FROM range({count})"


@contextmanager
def largest_file(size):
    """As on a full disk: no file may grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def mounted(folder, *options):
    command = ["mount", *options, str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_up(file):
    with file.open("wb", buffering=0) as raw, suppress(OSError):
        while True:
            raw.write(bytes(1024))


def filled(warehouse):
    warehouse.replace("scores.ifd", PARTITION, rows(100))
    return warehouse


@pytest.fixture(scope="module")
def with_rows(tmp_path_factory, new_warehouse):
    """A warehouse with rows, which tests copy: to write them takes longer than most tests."""
    return filled(new_warehouse(tmp_path_factory.mktemp("with-rows") / "warehouse", kept=False))


@pytest.fixture
def warehouse(tmp_path, with_rows):
    folder = shutil.copytree(with_rows.folder, tmp_path / "demo" / "warehouse")
    return Warehouse(folder=str(folder))


def count(warehouse, pool="p"):
    return warehouse.query("SELECT count(*) FROM scores.ifd WHERE pool = $pool", {"pool": pool}).item()


def parquet_files(warehouse):
    return sorted(Path(warehouse.folder).rglob("*.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("table", ["scores.ifd", 'scores."ifd.published"'])
def test_a_write_that_finds_no_room_leaves_the_old_rows_and_no_files(warehouse, table):
    warehouse.replace(table, PARTITION, rows(100))
    files = parquet_files(warehouse)
    with largest_file(1_000_000), pytest.raises(WarehouseFault, match="there is no room to write"):
        warehouse.replace(table, PARTITION, rows(MANY))
    assert count(warehouse) == 100
    assert parquet_files(warehouse) == files
    assert warehouse.replace(table, PARTITION, rows(MANY)) == MANY


def test_rows_that_fail_verification_leave_no_files(warehouse):
    def refuse(connection):
        raise ValueError("no")

    files = parquet_files(warehouse)
    with pytest.raises(ValueError, match="no"):
        warehouse.replace("scores.ifd", PARTITION, rows(200), verify=refuse)
    assert parquet_files(warehouse) == files


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_rows(tmp_path, new_warehouse):
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
        warehouse = filled(new_warehouse(tmp_path / "demo" / "warehouse", kept=False))
        with pytest.raises(WarehouseFault, match="there is no room to write"):
            warehouse.replace("scores.ifd", PARTITION, rows(10 * MANY))
        filler = tmp_path / "filler"
        fill_up(filler)
        with pytest.raises(WarehouseFault, match="there is no room to write"):
            warehouse.replace("scores.ifd", PARTITION, rows(200))
        # Where not a byte is left, SQLite cannot even read: each reader writes 32 KiB beside the catalog.
        with pytest.raises(WarehouseFault, match="there is no room to write"):
            count(warehouse)
        filler.unlink()
        assert count(warehouse) == 100
        assert warehouse.replace("scores.ifd", PARTITION, rows(200)) == 200


def test_a_read_only_folder_is_named(tmp_path, warehouse):
    with mounted(tmp_path, "--bind", str(tmp_path)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(tmp_path)], check=True)
        with pytest.raises(OSError, match=r"Read-only file system: .*write\.lock"):
            warehouse.replace("scores.ifd", PARTITION, rows(200))
        assert count(warehouse) == 100
    assert count(warehouse) == 100


@pytest.mark.parametrize("content", [b"garbage " * 1000, None])
def test_a_damaged_catalog_is_not_written_over(warehouse, content, capsys, monkeypatch):
    catalog = Path(warehouse.folder) / "catalog.sqlite"
    whole = catalog.read_bytes()
    damaged = whole[: len(whole) // 2] if content is None else content
    catalog.write_bytes(damaged)
    with pytest.raises(WarehouseFault, match="the catalog is damaged"):
        warehouse.replace("scores.ifd", PARTITION, rows(200))
    monkeypatch.setenv(HOME_VARIABLE, str(Path(warehouse.folder).parents[1]))
    monkeypatch.delenv(CATALOG_VARIABLE, raising=False)
    assert main(["--profile", "demo", "sql", "SELECT 1"]) == 1
    message = capsys.readouterr().err
    assert "the catalog is damaged" in message
    assert "Traceback" not in message
    assert catalog.read_bytes() == damaged
    catalog.write_bytes(whole)
    assert count(warehouse) == 100


@pytest.mark.parametrize("content", [b"", None])
def test_tables_without_their_catalog_are_not_begun_again(warehouse, content):
    catalog = Path(warehouse.folder) / "catalog.sqlite"
    whole = catalog.read_bytes()
    catalog.unlink()
    if content is not None:
        catalog.write_bytes(content)
    with pytest.raises(WarehouseFault, match="their catalog is missing"):
        warehouse.replace("scores.ifd", PARTITION, rows(200))
    catalog.write_bytes(whole)
    assert count(warehouse) == 100


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_damaged_table_file_is_named_and_the_others_can_be_read(warehouse, damage):
    (file,) = parquet_files(warehouse)
    warehouse.replace("scores.ifd", {"pool": "q", "model": "m"}, rows(50))
    whole = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WarehouseFault, match=rf"rows of table scores\.ifd .* are lost or cannot be read.*{file.name}"):
        count(warehouse)
    assert count(warehouse, "q") == 50
    file.write_bytes(whole)
    # An open connection keeps what it read of a file that changed within the same second.
    readers.close(warehouse.folder)
    assert count(warehouse) == 100


def test_a_server_that_does_not_answer_is_named(tmp_path):
    warehouse = Warehouse(
        folder=str(tmp_path / "demo" / "warehouse"), catalog=f"postgres:dbname=none host={tmp_path} user=nobody"
    )
    with pytest.raises(WarehouseFault, match="PostgreSQL does not answer"):
        warehouse.replace("scores.ifd", PARTITION, rows(1))
    with pytest.raises(WarehouseFault, match="PostgreSQL does not answer"):
        count(warehouse)


def file_of(warehouse, pool):
    return next(path for path in parquet_files(warehouse) if f"pool={pool}/" in str(path))


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, b"", b"cut", b"x" * 9000])
def test_rows_whose_file_is_lost_can_be_replaced(warehouse, content, caplog):
    warehouse.replace("scores.ifd", {**PARTITION, "pool": "q"}, rows(7))
    lost = file_of(warehouse, "p")
    if content is None:
        lost.unlink()
    else:
        lost.write_bytes(content)
    with pytest.raises(
        WarehouseFault, match=r"scores\.ifd \(pool p, model m\) .* `selection-platform refresh p/m --rebuild`"
    ):
        count(warehouse)
    # What is left is read, and written, as before.
    assert count(warehouse, "q") == 7
    assert warehouse.replace("scores.ifd", {**PARTITION, "pool": "q"}, rows(8)) == 8
    with caplog.at_level("WARNING"):
        assert warehouse.replace("scores.ifd", PARTITION, rows(200)) == 200
    assert "old rows are lost, and new ones take their place" in caplog.text
    assert lost.name in caplog.text
    assert warehouse.query("SELECT count(*) FROM scores.ifd").item() == 208
    # It is no obstacle to whoever cleans up.
    forget_snapshots(warehouse, snapshots(warehouse)[:-1])
    assert warehouse.query("SELECT count(*) FROM scores.ifd").item() == 208


@pytest.mark.slow
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_old_rows_are_there_again_where_their_file_is_and_the_new_rows_failed(warehouse, error):
    def refuse(connection):
        raise error("no")

    file = file_of(warehouse, "p")
    file.rename(file.with_name("aside"))
    for rows_of_it in (rows(200), "SELECT no_such_column FROM range(3)"):
        with pytest.raises((error, duckdb.Error)):
            warehouse.replace("scores.ifd", PARTITION, rows_of_it, verify=refuse)
    file.with_name("aside").rename(file)
    assert count(warehouse) == 100
    # And they can be replaced after that.
    assert warehouse.replace("scores.ifd", PARTITION, rows(200)) == 200
    assert count(warehouse) == 200


@pytest.mark.parametrize("failed", ["after", "before"])
def test_a_file_that_was_passed_over_stays_so_if_the_new_rows_were_committed(warehouse, failed):
    file = file_of(warehouse, "p")
    message = f'IO Error: Cannot open file "{file}": No such file or directory'
    with pytest.raises(ValueError, match="no"), warehouse.write() as connection:  # noqa: PT012, SIM117
        with passing_over(connection, warehouse.metadata) as pass_over:
            assert pass_over(message)
            if failed == "after":
                connection.execute("INSERT INTO scores.ifd BY NAME SELECT 'q' AS pool, 'm' AS model, 'a' AS sample_id")
            raise ValueError("no")
    assert count(warehouse) == (0 if failed == "after" else 100)


@pytest.mark.parametrize("reason", ["Permission denied", "Too many open files", "Input/output error"])
def test_a_file_that_cannot_be_read_just_now_is_not_lost(warehouse, reason):
    # The name of a pool is no reason.
    warehouse.replace("scores.ifd", {"pool": "Corrupt", "model": "m"}, rows(100))
    message = f'IO Error: Cannot open file "{file_of(warehouse, "Corrupt")}": {reason}'
    with warehouse.write() as connection, passing_over(connection, warehouse.metadata) as pass_over:
        assert not pass_over(message)
    assert count(warehouse, "Corrupt") == 100


def test_a_lost_file_of_rows_that_are_only_read_is_not_passed_over(warehouse):
    file_of(warehouse, "p").unlink()
    with pytest.raises(WarehouseFault, match="refresh p/m --rebuild"):
        warehouse.replace("scores.entropy", PARTITION, "SELECT sample_id, score FROM scores.ifd WHERE pool = 'p'")
    with pytest.raises(WarehouseFault, match="refresh p/m --rebuild"):
        count(warehouse)


def test_an_experiments_lost_rows_are_named_by_its_key(warehouse):
    picks = 'SELECT range AS "position", md5(range::VARCHAR) AS sample_id FROM range(100)'
    warehouse.replace("selections.samples", {"experiment": "ifd/p/m/6/s0"}, picks)
    next(path for path in parquet_files(warehouse) if "experiment=" in str(path)).unlink()
    with pytest.raises(WarehouseFault, match="`selection-platform refresh ifd/p/m/6/s0 --rebuild`"):
        warehouse.query("FROM selections.samples")


def test_lost_targets_are_named_by_their_pool_and_set(warehouse):
    partition = {"pool": "p", "targets": "mine"}
    warehouse.replace("pools.targets", partition, "SELECT range::VARCHAR AS sample_id FROM range(100)")
    next(path for path in parquet_files(warehouse) if "targets=mine" in str(path)).unlink()
    with pytest.raises(WarehouseFault, match="`selection-platform refresh p/mine --rebuild`"):
        warehouse.query("FROM pools.targets")


def test_lost_rows_of_a_table_without_partitions_are_looked_for(warehouse):
    warehouse.replace("reports.pool_size_curve", {}, "SELECT 'ifd' AS method FROM range(5000)")
    next(path for path in parquet_files(warehouse) if "pool_size_curve" in str(path)).unlink()
    with pytest.raises(WarehouseFault, match=r"table reports\.pool_size_curve .* `selection-platform verify --deep`"):
        warehouse.query("SELECT max(method) FROM reports.pool_size_curve")
