import json

import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import MANIFEST
from selection_platform.pools import shards
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.raw_pool import read_raw_pool_report, write_raw_pool
from selection_platform.pools.shards import read_rows, shard_paths


def write(path, *lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def settings(path, **given):
    return PoolSettings.model_validate({"source": {"files": str(path)}, **given})


def test_rows_are_kept_as_they_came(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"b": "x\u2028y",  "a": 1}'.encode(), b'{"a": 2}')
    report = write_raw_pool(settings(path), tmp_path / "raw")
    assert report.rows == 2
    assert list(read_rows(tmp_path / "raw")) == [
        {"file": str(path), "row": 1, "record": '{"b": "x\u2028y",  "a": 1}'},
        {"file": str(path), "row": 2, "record": '{"a": 2}'},
    ]
    assert read_raw_pool_report(tmp_path / "raw") == report


def test_a_bad_row_stops_and_leaves_nothing_that_counts(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"a": 1}', b"{")
    with pytest.raises(BadRow, match=r"a\.jsonl, row 2: not JSON"):
        write_raw_pool(settings(path), tmp_path / "raw")
    with pytest.raises(PlatformError, match="no finished raw pool"):
        read_raw_pool_report(tmp_path / "raw")


def test_bad_rows_are_counted_by_reason_where_that_is_allowed(tmp_path):
    path = write(tmp_path / "a.jsonl", b"{", b'{"a": 1}', b"[]", b"}")
    report = write_raw_pool(settings(path, on_bad_row="skip"), tmp_path / "raw")
    assert (report.rows, report.bad_rows) == (1, {"not JSON": 2, "not a JSON object": 1})
    assert report.examples["not JSON"].startswith(f"{path}, row 1: not JSON")


def test_shards_end_by_rows_or_characters(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 3)
    monkeypatch.setattr(shards, "CHARACTERS_PER_SHARD", 100)
    lines = [json.dumps({"a": "x" * (100 if number == 4 else 1)}).encode() for number in range(8)]
    path = write(tmp_path / "a.jsonl", *lines)
    write_raw_pool(settings(path), tmp_path / "raw")
    assert len(shard_paths(tmp_path / "raw")) == 3
    assert [row["row"] for row in read_rows(tmp_path / "raw")] == list(range(1, 9))


def test_finished_work_is_not_repeated_and_changed_files_are(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"a": 1}')
    raw = tmp_path / "raw"
    first = write_raw_pool(settings(path), raw)
    written = (raw / MANIFEST).stat().st_mtime_ns
    assert write_raw_pool(settings(path), raw) == first
    assert (raw / MANIFEST).stat().st_mtime_ns == written
    write(path, b'{"a": 2}')
    second = write_raw_pool(settings(path), raw)
    assert second.content_hash != first.content_hash
    assert [row["record"] for row in read_rows(raw)] == ['{"a": 2}']


def test_left_over_shards_of_an_interrupted_run_do_not_count(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", *[b'{"a": %d}' % number for number in range(5)])
    raw = tmp_path / "raw"
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 1)
    write_raw_pool(settings(path), raw)
    (raw / MANIFEST).unlink()
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 4)
    assert write_raw_pool(settings(path), raw).rows == 5
    assert len(list(read_rows(raw))) == 5


def test_the_content_hash_does_not_depend_on_names(tmp_path):
    one = write_raw_pool(settings(write(tmp_path / "a.jsonl", b'{"a": 1}')), tmp_path / "raw1")
    two = write_raw_pool(settings(write(tmp_path / "b.jsonl", b'{"a": 1}')), tmp_path / "raw2")
    assert one.content_hash == two.content_hash
