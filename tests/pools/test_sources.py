import datetime
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.pools.rows import RawRow, SourceError
from selection_platform.pools.sources import open_source

SKIP = "or set on_bad_row: skip for this pool"


def read(pattern):
    return list(open_source(SourceSettings(files=str(pattern))).rows())


def raw_rows(rows):
    return [row for row in rows if isinstance(row, RawRow)]


def test_lines_break_at_newlines_only_and_keep_their_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"a": "x\u2028y\x85z"}\r\n\n  \n{"a": 2}'.encode())
    assert read(path) == [RawRow(str(path), 1, '{"a": "x\u2028y\x85z"}'), RawRow(str(path), 4, '{"a": 2}')]


@pytest.mark.parametrize("ending", [".jsonl.gz", ".json.gz"])
def test_compressed_lines(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(gzip.compress(b'{"a":1}\n{"a":2}\n'))
    assert [row.record for row in raw_rows(read(path))] == ['{"a":1}', '{"a":2}']


def test_parquet_rows_of_several_files_in_the_order_of_their_names(tmp_path):
    when = datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC)
    pq.write_table(pa.table({"text": ["é", None]}), tmp_path / "b.parquet", row_group_size=1)
    pq.write_table(pa.table({"when": [when]}), tmp_path / "a.parquet")
    rows = raw_rows(read(tmp_path / "*.parquet"))
    assert [(row.file[-9:], row.row, json.loads(row.record)) for row in rows] == [
        ("a.parquet", 1, {"when": "2024-05-06 00:00:00+00:00"}),
        ("b.parquet", 1, {"text": "é"}),
        ("b.parquet", 2, {"text": None}),
    ]


def test_reading_is_a_stream(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n' * 3)
    rows = open_source(SourceSettings(files=str(path))).rows()
    assert next(rows) == RawRow(str(path), 1, '{"a":1}')
    with path.open("ab") as file:
        file.write(b'{"late":1}\n')
    assert [row.record for row in raw_rows(rows)][-1] == '{"late":1}'


def test_files_are_pinned_by_their_hash(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert open_source(SourceSettings(files=str(path))).files == {str(path): empty}


def test_a_folder_laid_out_as_a_hub_data_set_is_streamed(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = tmp_path / "chats"
    data.mkdir()
    (data / "train.jsonl").write_text('{"text": "one"}\n{"text": "two\u2028"}\n')
    (data / "test.jsonl").write_text('{"text": "three"}\n')
    source = open_source(SourceSettings(hub=str(data), split="train"))
    assert [(row.row, json.loads(row.record)) for row in raw_rows(source.rows())] == [
        (1, {"text": "one"}),
        (2, {"text": "two\u2028"}),
    ]
    with pytest.raises(SourceError, match="check the id, revision, config and split"):
        list(open_source(SourceSettings(hub=str(data), split="validation")).rows())


def test_a_hub_data_set_that_is_not_there(monkeypatch):
    import huggingface_hub.errors

    def offline(self, *args, **kwargs):
        raise huggingface_hub.errors.OfflineModeIsEnabled("offline")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", offline)
    with pytest.raises(SourceError, match=r"hub: someone/chats cannot be read .* the network"):
        open_source(SourceSettings(hub="someone/chats", revision="main"))


def test_a_full_commit_is_taken_as_it_is():
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert open_source(SourceSettings(hub="someone/chats", revision=commit)).revision == commit
