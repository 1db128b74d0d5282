import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import product

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.pool_settings import FOLDER, PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import FILES, MANIFEST
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


def test_shards_that_do_not_say_where_they_ended_do_not_count(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", *[b'{"a": %d}' % number for number in range(5)])
    raw = tmp_path / "raw"
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 1)
    report = write_raw_pool(settings(path), raw)
    for broken in (0, 3):
        (raw / MANIFEST).unlink()
        pq.write_table(
            pq.read_table(raw / "part-00000.parquet").replace_schema_metadata(), raw / f"part-0000{broken}.parquet"
        )
        (raw / ".part-00007.parquet.1.partial").write_bytes(b"x")
        assert replace(write_raw_pool(settings(path), raw), seconds=report.seconds) == report
        assert [row["row"] for row in read_rows(raw)] == [1, 2, 3, 4, 5]
        assert not list(raw.glob(".part-*"))


SOURCES = ["jsonl", "jsonl.gz", "json", "csv", "parquet", "arrow"]


def write_source(path, start, rows):
    """A file of rows, of which some of text files are bad."""
    kind = path.name.partition(".")[2]
    if kind in ("parquet", "arrow"):
        table = pa.table({"a": [f"{start + row}" for row in range(rows)]})
        (pq.write_table if kind == "parquet" else feather.write_feather)(table, path)
        return
    is_csv = kind == "csv"
    records = [b"%d" % row if is_csv else b'{"a": %d}' % row for row in range(start, start + rows)]
    records[1:1] = records[6:6] = [b"1,2" if is_csv else b'{"a": tru}']
    text = b"[%s]" % b",".join(records) if kind == "json" else b"\n".join([b"a"] * is_csv + records)
    path.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name not in (FILES, MANIFEST)}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_reading_that_broke_off_goes_on_behind_its_last_whole_shard(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 4)
    for name, start in (("a", 0), ("b", 7), ("c", 14)):
        write_source(tmp_path / f"{name}.{kind}", start, 7)
    given = settings(tmp_path / f"*.{kind}", on_bad_row="skip")
    whole = write_raw_pool(given, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    for left, only in product(range(len(shard_paths(tmp_path / "whole"))), (False, True)):
        broken = tmp_path / f"broken{left}{only}"
        shutil.copytree(tmp_path / "whole", broken)
        (broken / MANIFEST).unlink()
        # Shards are written side by side: one behind the first that is missing does not count.
        for path in shard_paths(broken)[left : left + 1 if only else None]:
            path.unlink()
        kept = {path: path.stat().st_ino for path in shard_paths(broken)[:left]}
        assert replace(write_raw_pool(given, broken), seconds=whole.seconds) == whole
        assert contents(broken) == expected
        assert {path: path.stat().st_ino for path in kept} == kept
    assert (whole.rows, sum(whole.bad_rows.values())) == (21, 0 if kind in ("parquet", "arrow") else 6)


READ = """
import sys, time
from pathlib import Path
from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools import raw_shards, shards
from selection_platform.pools.raw_pool import write_raw_pool

shards.ROWS_PER_SHARD = 100
add = raw_shards.RawShards.add
raw_shards.RawShards.add = lambda self, row: time.sleep(0.001) or add(self, row)
write_raw_pool(PoolSettings.model_validate({"source": {"files": sys.argv[1]}}), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_reading_that_was_killed_ends_with_the_same_bytes(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", *[b'{"a": %d}' % number for number in range(1000)])
    killed = tmp_path / "killed"
    with subprocess.Popen([sys.executable, "-c", READ, str(path), str(killed)]) as process:
        while process.poll() is None and len(shard_paths(killed)) < 3:
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in shard_paths(killed)}
    assert 3 <= len(kept) < 10
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 100)
    report = write_raw_pool(settings(path), killed)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    whole = write_raw_pool(settings(path), tmp_path / "whole")
    assert (report.rows, report.content_hash) == (1000, whole.content_hash)
    assert contents(killed) == contents(tmp_path / "whole")


def test_a_folder_that_was_moved_with_its_profile_is_not_read_again(tmp_path):
    def given(folder):
        return PoolSettings.model_validate({"source": {"files": "data/*.jsonl"}}, context={FOLDER: folder})

    (tmp_path / "here" / "data").mkdir(parents=True)
    write(tmp_path / "here" / "data" / "a.jsonl", b'{"a": 1}')
    report = write_raw_pool(given(tmp_path / "here"), tmp_path / "raw")
    assert str(tmp_path) not in json.dumps([asdict(report), json.loads((tmp_path / "raw" / "job.json").read_text())])
    (tmp_path / "here").rename(tmp_path / "there")
    assert write_raw_pool(given(tmp_path / "there"), tmp_path / "raw") == report


def test_what_is_left_out_of_a_folder_is_named(tmp_path, caplog):
    data = tmp_path / "data"
    data.mkdir()
    write(data / "a.jsonl", b'{"a": 1}')
    names = [str(write(data / f"{number:02}.txt")) for number in range(12)]
    report = write_raw_pool(settings(data), tmp_path / "raw")
    assert (report.rows, report.left_out) == (1, names)
    (message,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert message == (
        f"left out because they cannot be read: {', '.join(names[:10])} and 2 more (the manifest has them all)"
    )


def test_a_manifest_of_an_earlier_version_is_read(tmp_path):
    report = write_raw_pool(settings(write(tmp_path / "a.jsonl", b'{"a": 1}')), tmp_path / "raw")
    manifest = json.loads((tmp_path / "raw" / MANIFEST).read_text())
    del manifest["left_out"]
    (tmp_path / "raw" / MANIFEST).write_text(json.dumps(manifest))
    assert read_raw_pool_report(tmp_path / "raw") == report


def test_a_full_disk_stops_the_reading(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    path = write(tmp_path / "a.jsonl", b'{"a": 1}')
    monkeypatch.setattr("selection_platform.pools.raw_shards.pq.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_raw_pool(settings(path), tmp_path / "raw")
    assert not (tmp_path / "raw" / MANIFEST).exists()


def test_the_content_hash_does_not_depend_on_names(tmp_path):
    one = write_raw_pool(settings(write(tmp_path / "a.jsonl", b'{"a": 1}')), tmp_path / "raw1")
    two = write_raw_pool(settings(write(tmp_path / "b.jsonl", b'{"a": 1}')), tmp_path / "raw2")
    assert one.content_hash == two.content_hash
