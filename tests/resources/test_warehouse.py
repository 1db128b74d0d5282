import multiprocessing
import shutil
import uuid
from dataclasses import replace

import polars as pl
import pytest

from resources import build_resources, readers
from resources import catalog as catalog_module
from resources.catalog import CATALOG_VARIABLE, CatalogError
from resources.replacement import Replacement
from resources.warehouse import Warehouse, table_definitions
from selection_platform.errors import PlatformError
from sql.queries import load_sql

ROWS = "SELECT * FROM (VALUES ('a', 0.5), ('b', 0.25)) AS rows(sample_id, score)"

# What a catalog must do is the same for both, and the server is slow.
CATALOGS = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]


def new_warehouse(request, folder):
    path = str(folder / "it's a home" / "it's a warehouse")
    if request.param == "sqlite":
        return Warehouse(folder=path)
    connection = f"postgres:{request.getfixturevalue('server')}"
    return Warehouse(folder=path, catalog=connection, catalog_schema=f"it's {uuid.uuid4()}")


@pytest.fixture(params=CATALOGS)
def warehouse(tmp_path, request):
    return new_warehouse(request, tmp_path)


def scores(warehouse, table="scores.ifd"):
    return warehouse.query(f"SELECT pool, model, sample_id, score FROM {table} ORDER BY ALL").rows()


def test_replacing_a_partition_leaves_the_others(warehouse):
    assert warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS) == 2
    assert warehouse.replace("scores.ifd", {"pool": "q", "model": "m"}, "SELECT 'c' AS sample_id, 1.0 AS score") == 1
    assert warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'd' AS sample_id, 2.0 AS score") == 1
    assert scores(warehouse) == [("p", "m", "d", 2.0), ("q", "m", "c", 1.0)]


@pytest.mark.slow
def test_a_partition_can_be_named_by_null(warehouse):
    for _ in range(2):
        warehouse.replace("scores.zip", {"pool": "p", "model": None}, ROWS)
    assert scores(warehouse, "scores.zip") == [("p", None, "a", 0.5), ("p", None, "b", 0.25)]


@pytest.mark.slow
def test_old_snapshots_can_be_queried(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    before = warehouse.snapshot()
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'd' AS sample_id, 2.0 AS score")
    assert warehouse.query(f"SELECT sample_id FROM scores.ifd AT (VERSION => {before}) ORDER BY 1").rows() == [
        ("a",),
        ("b",),
    ]


@pytest.mark.slow
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


@pytest.mark.slow
def test_tables_are_replaced_together_in_one_snapshot_or_not_at_all(warehouse):
    ifd = Replacement("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    entropy = Replacement("scores.entropy", {"pool": "p", "model": "m"}, "SELECT 'c' AS sample_id, 2.0 AS score")
    assert warehouse.replace_together(ifd, entropy) == [2, 1]
    before = warehouse.snapshot()
    assert warehouse.replace_together(ifd, entropy) == [2, 1]
    assert warehouse.snapshot() == before + 1

    def refuse(connection):
        raise ValueError("no")

    fewer = Replacement("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'd' AS sample_id, 2.0 AS score")
    with pytest.raises(ValueError, match="no"):
        warehouse.replace_together(fewer, replace(entropy, verify=refuse))
    assert scores(warehouse) == [("p", "m", "a", 0.5), ("p", "m", "b", 0.25)]


@pytest.mark.slow
def test_content_hash_is_of_the_rows_whatever_their_order(warehouse):
    partition = {"pool": "p", "model": "m"}
    warehouse.replace("scores.ifd", partition, ROWS)
    first = warehouse.content_hash("scores.ifd", partition)
    warehouse.replace("scores.ifd", partition, f"{ROWS} ORDER BY score")
    assert warehouse.content_hash("scores.ifd", partition) == first
    warehouse.replace("scores.ifd", partition, "SELECT 'a' AS sample_id, 0.5 AS score")
    assert warehouse.content_hash("scores.ifd", partition) != first


def test_content_hashes_of_parts_add_up_to_that_of_the_whole(warehouse):
    partition = {"pool": "p", "model": None}
    rows = "SELECT s AS seed, 'a' || i AS sample_id, (i * s)::DOUBLE AS score FROM range(3) r(i), unnest([1, 2]) u(s)"
    warehouse.replace("scores.random", partition, rows)
    parts = warehouse.content_hashes("scores.random", partition, ["seed", "budget"])
    assert parts == {
        (seed, None): warehouse.content_hash("scores.random", {**partition, "seed": seed}) for seed in (1, 2)
    }
    numbers = [[int(part.split("-")[0]), int(part.split("-")[1], 16)] for part in parts.values()]
    whole = warehouse.content_hash("scores.random", partition)
    assert whole == f"{sum(rows for rows, _ in numbers)}-{sum(hashes for _, hashes in numbers):x}"


def test_reading_before_anything_was_written_says_what_to_do(warehouse):
    with pytest.raises(PlatformError, match="selection-platform run"):
        warehouse.query("SELECT 1")


def test_export_keeps_the_querys_order(warehouse, tmp_path):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    path = tmp_path / "new folder" / "rows.parquet"
    warehouse.export("SELECT sample_id FROM scores.ifd WHERE pool = $pool ORDER BY score", path, {"pool": "p"})
    assert pl.read_parquet(path)["sample_id"].to_list() == ["b", "a"]


@pytest.mark.slow
def test_a_table_of_an_earlier_version_gets_its_new_columns(warehouse):
    partition = {"pool": "p", "model": None}
    warehouse.replace("scores.random", partition, ROWS)
    with warehouse.write() as connection:
        connection.execute("ALTER TABLE scores.random DROP COLUMN budget")
    warehouse.replace("scores.zip", partition, ROWS)
    statement = "SELECT sample_id, score, budget FROM scores.random ORDER BY sample_id"
    assert warehouse.query(statement).rows() == [("a", 0.5, None), ("b", 0.25, None)]


@pytest.mark.slow
def test_a_catalog_in_place_of_a_removed_one_gets_all_tables(tmp_path):
    warehouse = Warehouse(folder=str(tmp_path / "warehouse"))
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    # As if all was removed: the next file often has the same inode.
    shutil.rmtree(warehouse.tables)
    (tmp_path / "warehouse" / "catalog.sqlite").write_bytes(b"")
    warehouse.replace("scores.zip", {"pool": "p", "model": None}, ROWS)
    assert scores(warehouse) == []
    assert len(scores(warehouse, "scores.zip")) == 2


def test_every_table_of_the_schema_is_made(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    tables = set(warehouse.query(load_sql("00_warehouse/columns"))["name"])
    assert tables == set(table_definitions())


def write_many(fields, pool):
    warehouse = Warehouse(**fields)
    for _ in range(5):
        warehouse.replace("scores.ifd", {"pool": pool, "model": "m"}, ROWS)


def started_writers(warehouse):
    # Processes of their own, for which all that they import, which takes seconds, is imported once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # The resource itself cannot be pickled.
    fields = {name: getattr(warehouse, name) for name in ("folder", "catalog", "catalog_schema")}
    writers = [context.Process(target=write_many, args=(fields, f"p{index}")) for index in range(3)]
    for writer in writers:
        writer.start()
    return writers


@pytest.mark.slow
def test_processes_write_at_once_while_one_reads(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p0", "model": "m"}, ROWS)
    writers = started_writers(warehouse)
    with warehouse.read() as connection:
        while any(writer.is_alive() for writer in writers):
            assert connection.execute("SELECT count(*) % 2 FROM scores.ifd").fetchone() == (0,)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(scores(warehouse)) == 6


@pytest.mark.slow
def test_several_processes_may_be_the_first_to_write(warehouse):
    writers = started_writers(warehouse)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(scores(warehouse)) == 6


@pytest.mark.slow
def test_writers_do_not_wait_for_a_reader(warehouse):
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    with warehouse.read() as connection:
        connection.begin()
        before = connection.execute("SELECT count(*) FROM scores.ifd").fetchone()
        warehouse.replace("scores.ifd", {"pool": "q", "model": "m"}, ROWS)
        # A transaction sees one snapshot all the time.
        assert connection.execute("SELECT count(*) FROM scores.ifd").fetchone() == before
    assert len(scores(warehouse)) == 4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("postgresql://me@db/warehouse", "must be `sqlite`, or `postgres:`"),
        ("postgres:dbname=w password = secret", "PGPASSWORD"),
        ("postgres:postgresql://me:secret@db/w", "PGPASSWORD"),
    ],
)
def test_a_wrong_catalog_is_refused_without_its_secret(tmp_path, monkeypatch, setting, message):
    monkeypatch.setenv(CATALOG_VARIABLE, setting)
    warehouse = build_resources(tmp_path / "demo").warehouse
    assert isinstance(warehouse, Warehouse)
    with pytest.raises(CatalogError, match=message) as raised:
        warehouse.exists()
    assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_the_variable_chooses_the_catalog_of_every_profile(tmp_path, monkeypatch, server):
    monkeypatch.setenv(CATALOG_VARIABLE, f"postgres:{server}")
    rows = {"one": 2, "other": 1}
    for profile, count in rows.items():
        warehouse = build_resources(tmp_path / profile).warehouse
        assert isinstance(warehouse, Warehouse)
        warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, f"{ROWS} LIMIT {count}")
        assert len(scores(warehouse)) == count
        assert not (tmp_path / profile / "warehouse" / "catalog.sqlite").exists()


@pytest.mark.slow
def test_what_does_not_fit_in_memory_waits_on_the_disk(tmp_path, monkeypatch):
    spilled = tmp_path / "spilled"
    spilled.mkdir()
    monkeypatch.setattr(catalog_module, "memory_limit", lambda: 50 * 2**20)
    monkeypatch.setattr(catalog_module, "gettempdir", lambda: str(spilled))
    warehouse = build_resources(tmp_path / "demo").warehouse
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, ROWS)
    with warehouse.read() as connection:
        sorted_rows = connection.execute("FROM range(3_000_000) AS rows(number) ORDER BY hash(number)")
        assert sorted_rows.fetchone() is not None
        assert any(spilled.rglob("*"))
    readers.close(warehouse.folder)
    assert not any(spilled.iterdir())
