"""A materialization records what rows it wrote, and in which files."""

from assets.record.content import FILES, ROWS, Content, recorded_files, recorded_rows, what_was_written
from resources.replacement import noted_writes
from selection_platform.job.folder import file_hash

PARTITION = {"pool": "p", "model": "m"}
NO_MODEL = {"pool": "p", "model": None}


def rows(count):
    return f"SELECT md5(range::VARCHAR) AS sample_id, range::DOUBLE AS score FROM range({count})"


def test_what_was_committed_within_the_block_is_recorded(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "warehouse")
    warehouse.replace("scores.ifd", PARTITION, rows(50))
    with noted_writes() as written:
        warehouse.replace("scores.ifd", PARTITION, rows(100))
        # So few rows lie in the catalog.
        warehouse.replace("scores.zip", NO_MODEL, rows(1))
        metadata = what_was_written(warehouse, written)
    warehouse.replace("scores.entropy", PARTITION, rows(100))
    columns = '"pool", "model", "seed", "budget", "sample_id", "score", "dropped"'
    recorded = recorded_rows({ROWS: metadata[ROWS].value})
    assert [content for content, _ in recorded] == [
        Content("scores.ifd", PARTITION, columns),
        Content("scores.zip", NO_MODEL, columns),
    ]
    assert [version for _, version in recorded] == [content.version(warehouse) for content, _ in recorded]
    assert [str(content) for content, _ in recorded] == [
        "table scores.ifd (pool p, model m)",
        "table scores.zip (pool p)",
    ]
    ((name, written_hash),) = recorded_files({FILES: metadata[FILES].value}).items()
    assert name.startswith("scores/ifd/pool=p/model=m/")
    assert file_hash(warehouse.tables / name) == written_hash


def test_other_rows_have_another_version(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "warehouse")
    with noted_writes() as written:
        warehouse.replace("scores.ifd", PARTITION, rows(100))
        ((content, version),) = recorded_rows({ROWS: what_was_written(warehouse, written)[ROWS].value})
    warehouse.replace("scores.ifd", PARTITION, f"{rows(99)} UNION ALL SELECT 'x', 99.0")
    assert content.version(warehouse) != version
    warehouse.replace("scores.ifd", PARTITION, rows(100))
    assert content.version(warehouse) == version


def test_where_nothing_was_written_nothing_is_recorded(tmp_path, new_warehouse):
    with noted_writes() as written:
        assert what_was_written(new_warehouse(tmp_path / "warehouse"), written) == {}
        assert what_was_written(None, written) == {}
