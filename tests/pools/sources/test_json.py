import gzip
import json
import tracemalloc

import pyarrow as pa
import pytest

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow, SourceError
from selection_platform.pools.sources import json_rows, json_text, open_source


def read(path):
    return list(open_source(SourceSettings(files=str(path))).rows())


def texts(path):
    return [row.record if isinstance(row, RawRow) else row.reason for row in read(path)]


def write(path, content):
    path.write_bytes(content)
    return path


OBJECTS = ['{"a": "x]\u2028}\\" ,{"}', "{}", '{"b": [1, {"c": "é🦊"}],\n  "d" : -1.50}']


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("between", [",", " ,\n ", ",\r\n"])
def test_a_list_is_read_as_it_stands_whatever_the_pieces(tmp_path, monkeypatch, size, between):
    monkeypatch.setattr(json_rows, "BYTES_PER_READ", size)
    path = write(tmp_path / "a.json", f"\ufeff [{between.join(OBJECTS)}\n]\n".encode())
    assert read(path) == [RawRow(str(path), number, text) for number, text in enumerate(OBJECTS, start=1)]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_bad_row_of_a_list_does_not_take_others_with_it(tmp_path, monkeypatch, size):
    monkeypatch.setattr(json_rows, "BYTES_PER_READ", size)
    huge = '{"a": %s}' % ("9" * 5000)
    content = f'[{{"a": 1}}, {{"a": tru, "b": "]"}}, 12, nul, [{{}}], "x,y", {huge}, {{"a": 2, "a": 3}}, {{"a": 4}}]'
    path = write(tmp_path / "a.json", content.encode().replace(b"4}]", b'4}, {"b": "\xff"}, {"a": 5}]'))
    assert texts(path) == [
        '{"a": 1}', "not JSON", "not a JSON object", "not JSON", "not a JSON object", "not a JSON object", "not JSON",
        "two fields of one name", '{"a": 4}', "not UTF-8", '{"a": 5}',
    ]  # fmt: skip
    bad = read(path)[1]
    assert str(bad).startswith(f"{path}, row 2: not JSON: Expecting value at character 7 of the row; repair the row")


@pytest.mark.parametrize("content", [b'[{"a": 1}, {"a": "cut', b'[{"a": 1},', b'[{"a": 1}', b'[{"a": 1}, {"a": '])
def test_a_list_that_is_cut_off_ends_with_a_bad_row(tmp_path, content):
    assert texts(write(tmp_path / "a.json", content)) == ['{"a": 1}', "the file is cut off"]


def test_a_row_that_lost_its_end_is_not_read_to_the_end_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "BYTES_PER_READ", 100)
    content = b'[{"a": 1}, {"a": 2, ' + b",".join([b'{"a": 3}'] * 200) + b"]"
    path = write(tmp_path / "a.json", content)
    assert texts(path) == ['{"a": 1}', "the file is cut off"]
    monkeypatch.setattr(json_rows, "MOST_CHARACTERS_IN_ROW", 500)
    with pytest.raises(SourceError, match=r"a\.json: row 2 of the list has no end within 500 characters; repair"):
        read(path)


def test_text_behind_the_list_is_a_bad_row(tmp_path):
    assert texts(write(tmp_path / "a.json", b'[{"a": 1}] [{"a": 2}]')) == ['{"a": 1}', "not JSON"]


def test_a_list_goes_on_behind_a_row(tmp_path):
    path = write(tmp_path / "a.json", b'[{"a": 1}, {"a": 2}, {"a": 3}]')
    assert [row.row for row in json_rows.read_json(path, "a", 2) if isinstance(row, RawRow)] == [3]


def test_a_list_of_long_rows_needs_memory_for_a_few_of_them(tmp_path):
    row = json.dumps({"a": "x" * 100_000})
    path = write(tmp_path / "a.json", f"[{','.join([row] * 300)}]".encode())
    tracemalloc.start()
    assert sum(1 for _ in json_rows.read_json(path, "a")) == 300
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2


def test_a_json_file_of_one_object_a_line_is_read_as_lines(tmp_path):
    path = write(tmp_path / "a.json", b'\n {"a": 1}\n{"a": 2}\n')
    assert [(row.row, row.record) for row in read(path) if isinstance(row, RawRow)] == [
        (2, '{"a": 1}'), (3, '{"a": 2}'),
    ]  # fmt: skip
    assert texts(write(tmp_path / "b.json", b" \n")) == []


@pytest.mark.parametrize("content", [b'{\n "data": [\n {"a": 1}]}', b'{"data": [\n'])
def test_one_object_over_several_lines_is_refused(tmp_path, content):
    path = write(tmp_path / "a.json", content)
    with pytest.raises(SourceError, match=r"a\.json: is one JSON object.*jq -c '\.data\[\]' a\.json > a\.jsonl"):
        read(path)


def zst(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as output:
        output.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("compress", [gzip.compress, zst])
@pytest.mark.parametrize("name", ["a.jsonl", "A.JSONL", "a.ndjson", "a.json"])
def test_compressed_text(tmp_path, compress, name):
    ending = ".gz" if compress is gzip.compress else ".zst"
    path = tmp_path / f"{name}{ending.upper() if name.isupper() else ending}"
    # In two parts, as tools that append or compress side by side write them.
    assert texts(write(path, compress(b'{"a":1}\n') + compress(b'{"a":2}\n'))) == ['{"a":1}', '{"a":2}']
    if name == "a.json":
        assert texts(write(path, compress(b'[{"a":1},{"a":2}]'))) == ['{"a":1}', '{"a":2}']


def test_broken_compression_is_one_message(tmp_path):
    content = b"".join(b'{"a": %d}\n' % number for number in range(100_000))
    for name, whole in (("a.jsonl.zst", zst(content)), ("a.jsonl.gz", gzip.compress(content))):
        with pytest.raises(SourceError, match="the compressed file is broken"):
            read(write(tmp_path / name, whole[: len(whole) // 2]))


def slowly(line):
    """What the standard library alone makes of a line."""
    return json_text._parse_exactly(line, "a", 2)


LINES = [
    b'{"a": 1}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": "\\ud800"}', b'{"a": 123456789012345678901234567890}',
    b"\xc2\xa0{}\xe2\x80\xa8", b"\x0b{}", b'{"a": "\xed\xa0\x80"}', b"[1]", b"7", b'{"a": 1} x', b'{"a": 01}',
    b'{"a": ' + b"9" * 4300 + b"}", b'{"a": ' + b"9" * 4301 + b"}", b'{"b": "' + b"9" * 4301 + b'"}',
    b'{"a": ' + b"[" * 980 + b"]" * 980 + b"}", b'{"a": ' + b"[" * 1100 + b"]" * 1100 + b"}", b"\xef\xbb\xbf{}",
    b'{"a": 1, "a": 2}', b'{"a" : 1, "a":2}', b'{"a": {"b": [{"c": 1, "c": 1}]}}', b'{"a": 1, "\\u0061": 2}',
    b'{"a": ": b"}', b'{"a\\\\": 1, "a\\\\": 2}', b'{"a\\\\":1,"b":":"}', b'{"x\\":": 1, "x\\":": 2}',
    b'{"a": "\\"b\\": 1", "c": {}}', b'{"":1,"":2}', b'{"a"\t:1,"a":":"}', b'{"a\\\\":1,"a\\\\":"\\":"}', b"{} \x1c",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_the_fast_look_says_what_the_standard_library_says(line):
    fast, slow = json_text.parse_line(line, "a", 2), slowly(line)
    assert type(fast) is type(slow)
    assert (fast if isinstance(fast, RawRow) else str(fast)) == (slow if isinstance(slow, RawRow) else str(slow))


def test_most_lines_need_the_fast_look_alone(monkeypatch):
    monkeypatch.setattr(json_text, "_parse_exactly", None)
    texts = ("Why?", 'He said "so": it is\\', "C:\\", '{"a": 1}', ': "a"'[1:], "Réponse : 🦊")
    for text in texts:
        for separators in ((",", ":"), (", ", ": ")):
            line = json.dumps({"messages": [{"role": "user", "content": text}]}, separators=separators).encode()
            assert isinstance(json_text.parse_line(line, "a", 2), RawRow)


def test_a_field_that_stands_twice_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"a": {"b": 1, "b": 2}}\n')
    (row,) = read(path)
    assert isinstance(row, BadRow)
    assert str(row) == (
        f"{path}, row 1, field b: is twice in one object; rename or remove one, or set on_bad_row: skip for this pool"
    )
