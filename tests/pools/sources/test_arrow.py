import decimal
import json
import random

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.pools.rows import RawRow, SourceError
from selection_platform.pools.sources import arrow_rows, open_source

TABLE = pa.table({"text": ["NA", "2023-01-01", None, "é"], "n": [1, 2, 3, 4]})
RECORDS = ['{"text":"NA","n":1}', '{"text":"2023-01-01","n":2}', '{"text":null,"n":3}', '{"text":"\\u00e9","n":4}']


def read(path):
    return list(open_source(SourceSettings(files=str(path))).rows())


def records(path):
    return [json.loads(row.record) if isinstance(row, RawRow) else row.reason for row in read(path)]


def write_stream(table, path):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


WRITERS = {
    "a.parquet": lambda table, path: pq.write_table(table, path, row_group_size=3),
    "A.PARQUET": pq.write_table,
    "a.feather": lambda table, path: feather.write_feather(table, path, compression="zstd", chunksize=3),
    "stream.arrow": write_stream,
    "file.arrow": lambda table, path: feather.write_feather(table, path, compression="uncompressed"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_has_the_same_rows(tmp_path, name, monkeypatch):
    path = tmp_path / name
    WRITERS[name](TABLE, str(path))
    assert read(path) == [RawRow(str(path), number, record) for number, record in enumerate(RECORDS, start=1)]
    monkeypatch.setattr(arrow_rows, "ROWS_PER_BATCH", 2)
    reader = arrow_rows.read_parquet if path.suffix.lower() == ".parquet" else arrow_rows.read_arrow
    for after in range(5):
        rows = [row for row in reader(path, "a", after) if isinstance(row, RawRow)]
        assert rows == [RawRow("a", number, RECORDS[number - 1]) for number in range(after + 1, 5)]


@pytest.mark.parametrize("rows_per_group", [500, 20_000])
def test_memory_follows_the_batch_and_not_the_parquet_file(tmp_path, monkeypatch, rows_per_group):
    monkeypatch.setattr(arrow_rows, "BYTES_PER_READ", 1 << 14)
    texts = [random.Random(number).randbytes(500).hex() for number in range(10_000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", rows_per_group, use_dictionary=False)
    before, peak = pa.total_allocated_bytes(), 0
    for _ in arrow_rows.read_parquet(tmp_path / "a.parquet", "a"):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert 0 < peak < (tmp_path / "a.parquet").stat().st_size / 2


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "stream.arrow"])
def test_a_file_without_rows_has_none(tmp_path, name):
    WRITERS[name](TABLE.slice(0, 0), str(tmp_path / name))
    assert read(tmp_path / name) == []


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "stream.arrow"])
@pytest.mark.parametrize("length", [0, 5, 300])
def test_a_broken_file_is_one_message(tmp_path, name, length):
    path = tmp_path / name
    WRITERS[name](TABLE, str(path))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SourceError, match="not a readable"):
        read(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
def test_two_columns_of_one_name_are_one_message(tmp_path, name):
    inner = pa.array([{"x": 1}]).cast(pa.struct([("x", pa.int64())]))
    twice = pa.StructArray.from_arrays([inner.field(0), inner.field(0)], names=["x", "x"])
    for table, column in ((pa.table([[1], [2]], names=["a", "a"]), "a"), (pa.table({"s": twice}), "x")):
        path = tmp_path / name
        WRITERS[name](table, str(path))
        with pytest.raises(SourceError, match=f"two columns are called '{column}'; rename one"):
            read(path)


def stamps(zone=None, values=(2**62, 0)):
    return pa.array(values, pa.int64()).view(pa.timestamp("us", zone))


ODD = [
    ("out of range", stamps(), ["<value out of range: 4611686018427387904>", "1970-01-01 00:00:00"]),
    ("of no known zone", stamps("Mars/Olympus", (0, 5)), ["1970-01-01 00:00:00.000000", "1970-01-01 00:00:00.000005"]),
    (
        "out of range in a list", pa.array([[{"t": 2**62}], []]).cast(pa.list_(pa.struct([("t", pa.timestamp("us"))]))),
        [[{"t": "<value out of range: 4611686018427387904>"}], []],
    ),
    (
        "dates", pa.array([2**31 - 1, 0], pa.int32()).view(pa.date32()),
        ["<value out of range: 2147483647>", "1970-01-01"],
    ),
    ("durations", pa.array([2**62, 1]).view(pa.duration("s")), ["4611686018427387904", "0:00:01"]),
    (
        "nanoseconds", pa.array([1, 0]).view(pa.timestamp("ns")),
        ["1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00"],
    ),
    ("decimals", pa.array([decimal.Decimal("1.50"), None]), ["1.50", None]),
    ("bytes", pa.array([b"text", b"\xff\xfe"]), ["text", {"bytes": 2}]),
    ("a struct of nulls", pa.array([{"a": None}, None]), [{"a": None}, None]),
    ("maps", pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), [[["k", 1]], []]),
    ("dictionaries", pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    ("views", pa.array(["a", None], pa.string_view()), ["a", None]),
    ("large lists", pa.array([["a"], None], pa.large_list(pa.large_string())), [["a"], None]),
    ("half numbers", pa.array([1.5, None], pa.float16()), [1.5, None]),
    (
        "an extension", pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 16, None], pa.binary(16))),
        ["00000000-0000-0000-0000-000000000000", None],
    ),
    ("JSON", pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None])), ['{"a":1}', None]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "expected"), [pytest.param(*case, id=id) for id, *case in ODD])
@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_columns_that_nothing_reads_are_no_trouble(tmp_path, name, column, expected):
    path = tmp_path / name
    WRITERS[name](pa.table({"text": ["one", "two"], "odd": column}), str(path))
    assert records(path) == [{"text": text, "odd": odd} for text, odd in zip(("one", "two"), expected, strict=True)]


@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_a_text_that_is_not_utf_8_is_a_bad_row_alone(tmp_path, name):
    data, offsets = pa.py_buffer(b"ok\xff\xfefine"), pa.array([0, 2, 4, 8], pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])
    WRITERS[name](pa.table({"text": column}), str(tmp_path / name))
    assert records(tmp_path / name) == [{"text": "ok"}, "not UTF-8", {"text": "fine"}]


def test_a_value_that_cannot_be_read_is_a_bad_row_alone(tmp_path):
    times = pa.array([2**62, 0], pa.int64()).view(pa.timestamp("us"))
    column = pa.MapArray.from_arrays([0, 1, 2], pa.array(["k", "k"]), times)
    pq.write_table(pa.table({"odd": column}), tmp_path / "a.parquet")
    assert records(tmp_path / "a.parquet") == ["a value that cannot be read", {"odd": [["k", "1970-01-01 00:00:00"]]}]
