"""What happens to the warehouse when disk, folder, catalog or tables are not as they should be."""

import os
import resource
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from resources.catalog import CATALOG_VARIABLE
from resources.faults import WarehouseFault
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


@pytest.fixture
def warehouse(tmp_path, new_warehouse):
    return filled(new_warehouse(tmp_path / "demo" / "warehouse"))


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
        warehouse = filled(new_warehouse(tmp_path / "demo" / "warehouse"))
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
def test_tables_without_their_catalog_are_not_begun_anew(warehouse, content):
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
    for work in (lambda: count(warehouse), lambda: warehouse.replace("scores.ifd", PARTITION, rows(200))):
        with pytest.raises(WarehouseFault, match=f"a Parquet file is missing, damaged.*{file.name}"):
            work()
    assert count(warehouse, "q") == 50
    file.write_bytes(whole)
    assert count(warehouse) == 100


def test_a_server_that_does_not_answer_is_named(tmp_path):
    warehouse = Warehouse(
        folder=str(tmp_path / "demo" / "warehouse"), catalog=f"postgres:dbname=none host={tmp_path} user=nobody"
    )
    with pytest.raises(WarehouseFault, match="PostgreSQL does not answer"):
        warehouse.replace("scores.ifd", PARTITION, rows(1))
    with pytest.raises(WarehouseFault, match="PostgreSQL does not answer"):
        count(warehouse)
