import multiprocessing

import duckdb
import polars as pl
import pytest

from resources.warehouse import NotAQuery, Warehouse, _extension, table_definitions
from selection_platform.queries import load_sql

ROWS = "SELECT * FROM (VALUES ('a', 0.5), ('b', 0.25)) AS rows(sample_id, score)"


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(folder=str(tmp_path / "it's a warehouse"))


def scores(warehouse, table="scores.ifd"):
    return warehouse.query(f"SELECT pool, model, sample_id, score FROM {table} ORDER BY ALL").rows()


def test_replacing_a_partition_leaves_the_others(warehouse):
    assert warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS) == 2
    assert warehouse.replace("scores.ifd", {"pool": "q", "model": "m"}, "SELECT 'c' AS sample_id, 1.0 AS score") == 1
    assert warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'd' AS sample_id, 2.0 AS score") == 1
    assert scores(warehouse) == [("p", "m", "d", 2.0), ("q", "m", "c", 1.0)]


def test_a_partition_can_be_named_by_null(warehouse):
    for _ in range(2):
        warehouse.replace("scores.zip", {"pool": "p", "model": None}, ROWS)
    assert scores(warehouse, "scores.zip") == [("p", None, "a", 0.5), ("p", None, "b", 0.25)]


def test_old_snapshots_can_be_queried(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    before = warehouse.snapshot()
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'd' AS sample_id, 2.0 AS score")
    assert warehouse.query(f"SELECT sample_id FROM scores.ifd AT (VERSION => {before}) ORDER BY 1").rows() == [
        ("a",),
        ("b",),
    ]


def test_rows_that_fail_verification_are_not_committed(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)

    def refuse(connection):
        assert connection.execute("SELECT count(*) FROM scores.ifd").fetchone() == (1,)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        warehouse.replace(
            "scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'd' AS sample_id, 2.0 AS score", verify=refuse
        )
    assert scores(warehouse) == [("p", "m", "a", 0.5), ("p", "m", "b", 0.25)]
    assert warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS) == 2


def test_content_hash_is_of_the_rows_whatever_their_order(warehouse):
    partition = {"pool": "p", "model": "m"}
    warehouse.replace("scores.ifd", partition, ROWS)
    first = warehouse.content_hash("scores.ifd", partition)
    warehouse.replace("scores.ifd", partition, f"{ROWS} ORDER BY score")
    assert warehouse.content_hash("scores.ifd", partition) == first
    warehouse.replace("scores.ifd", partition, "SELECT 'a' AS sample_id, 0.5 AS score")
    assert warehouse.content_hash("scores.ifd", partition) != first


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM scores.ifd",
        "CREATE TABLE scores.own (x INTEGER)",
        "COPY (SELECT 1) TO '/tmp/outside.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SET enable_external_access = true",
        "ATTACH '/tmp/other.db'",
        "LOAD '$extension'",
        "COPY (SELECT 1) TO '$folder/catalog.sqlite'",
        "COPY (SELECT 1) TO '$folder/own.csv'",
        "SELECT 1; DELETE FROM scores.ifd",
    ],
)
def test_readers_change_and_reach_nothing(warehouse, statement):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    statement = statement.replace("$folder", warehouse.folder.replace("'", "''")).replace(
        "$extension", _extension("ducklake")
    )
    with pytest.raises((duckdb.Error, NotAQuery)):
        warehouse.query(statement)
    # Whoever has the connection itself can change nothing in the tables either, nor reach a file elsewhere.
    with warehouse.read() as connection, pytest.raises(duckdb.Error):
        connection.execute("DELETE FROM scores.ifd; FROM read_text('/etc/hostname')")
    assert len(scores(warehouse)) == 2


@pytest.mark.parametrize(
    "statement", ["FROM scores.ifd", "DESCRIBE scores.ifd", "SUMMARIZE scores.ifd", "EXPLAIN SELECT 1", "SHOW TABLES"]
)
def test_every_statement_that_reads_is_answered(warehouse, statement):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    assert warehouse.query(statement).width > 0


def test_reading_before_anything_was_written_says_what_to_do(warehouse):
    with pytest.raises(FileNotFoundError, match="selection-platform run"):
        warehouse.query("SELECT 1")


def test_export_keeps_the_querys_order(warehouse, tmp_path):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    path = tmp_path / "new folder" / "rows.parquet"
    warehouse.export("SELECT sample_id FROM scores.ifd WHERE pool = $pool ORDER BY score", path, {"pool": "p"})
    assert pl.read_parquet(path)["sample_id"].to_list() == ["b", "a"]


def test_every_table_of_the_schema_is_made(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    tables = {name for (name,) in warehouse.query(load_sql("00_warehouse/tables")).rows()}
    assert tables == set(table_definitions())


def write_many(folder, pool):
    warehouse = Warehouse(folder=folder)
    for _ in range(5):
        warehouse.replace("scores.ifd", {"pool": pool, "model": "m"}, ROWS)


def test_processes_write_at_once_while_one_reads(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p0", "model": "m"}, ROWS)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(warehouse.folder, f"p{index}")) for index in range(3)]
    for writer in writers:
        writer.start()
    with warehouse.read() as connection:
        while any(writer.is_alive() for writer in writers):
            assert connection.execute("SELECT count(*) % 2 FROM scores.ifd").fetchone() == (0,)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(scores(warehouse)) == 6
