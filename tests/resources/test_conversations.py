"""What jobs are handed: the same files as ever, but where answers are not trained on."""

import pyarrow.parquet as pq
import pytest

from assets.pools import CONTENT, CONTENT_HELD_OUT
from resources.conversations import conversations_sql

SAMPLES = """
    SELECT 's' || i AS sample_id, 'f' AS source, NULL AS licence,
        [{'role': 'user', 'content': 'é' || i}, {'role': 'assistant', 'content': 'b'}] AS messages,
        1 AS turns, 3 AS characters
    FROM range(3) AS numbers(i)
"""
MASKED = f"SELECT *, CASE WHEN sample_id = 's1' THEN [1] END AS untrained FROM ({SAMPLES})"
NAME = "30_features/samples_to_score"


@pytest.fixture
def warehouse(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "warehouse")
    warehouse.replace("pools.samples", {"pool": "p"}, SAMPLES)
    warehouse.replace("pools.held_out", {"pool": "p"}, f"SELECT 'held_out' AS split, * FROM ({SAMPLES})")
    return warehouse


def exported(warehouse, path, pool):
    warehouse.export(conversations_sql(warehouse, NAME, {"pool": pool}), path, {"pool": pool})
    return path.read_bytes()


@pytest.mark.slow
def test_a_file_has_the_column_only_where_a_row_has_an_answer_that_is_not_trained_on(warehouse, tmp_path):
    before = exported(warehouse, tmp_path / "a.parquet", "p")
    warehouse.replace("pools.samples", {"pool": "masked"}, MASKED.replace("'s'", "'m'").replace("s1", "m1"))
    assert exported(warehouse, tmp_path / "a.parquet", "p") == before
    exported(warehouse, tmp_path / "b.parquet", "masked")
    rows = pq.read_table(tmp_path / "b.parquet").to_pylist()
    assert [(row["sample_id"], row["untrained"]) for row in rows] == [("m0", None), ("m1", [1]), ("m2", None)]
    assert list(rows[0]) == ["sample_id", "messages", "untrained"]


def test_a_home_of_an_earlier_version_is_read_before_it_has_the_column(warehouse, tmp_path):
    before = exported(warehouse, tmp_path / "a.parquet", "p")
    with warehouse.write() as connection:
        connection.execute("ALTER TABLE pools.samples DROP COLUMN untrained")
        connection.execute("ALTER TABLE pools.held_out DROP COLUMN untrained")
    assert exported(warehouse, tmp_path / "a.parquet", "p") == before


def test_the_content_of_a_pool_is_named_as_before_there_was_the_column(warehouse):
    assert warehouse.content_hash("pools.samples", {"pool": "p"}, CONTENT) == "3-12bf3cf8c6f433218"
    assert warehouse.content_hash("pools.held_out", {"pool": "p"}, CONTENT_HELD_OUT) == "3-18865ddaa02fe5e08"


def test_the_order_is_the_statements(warehouse):
    warehouse.replace("pools.samples", {"pool": "masked"}, MASKED)
    picks = "SELECT 's' || i AS sample_id, 3 - i AS position FROM range(3) AS numbers(i)"
    warehouse.replace("selections.samples", {"experiment": "e"}, picks)
    values = {"experiment": "e", "pool": "masked"}
    statement = conversations_sql(warehouse, "50_selections/training_samples", values)
    rows = warehouse.query(statement, values).select("position", "sample_id", "untrained").rows()
    assert rows == [(1, "s2", None), (2, "s1", [1]), (3, "s0", None)]
