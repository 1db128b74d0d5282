"""Pool files that are broken or not what they seem: what is said, or how many rows are kept and why not the rest."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.pools.rows import SourceError
from selection_platform.pools.sources import READABLE, open_source
from tests.bad_input.pools import FIRST, chat, lines, outcome, turn


def parquet(table: pa.Table) -> bytes:
    output = pa.BufferOutputStream()
    pq.write_table(table, output)
    return output.getvalue().to_pybytes()


def table(*records: dict[str, object]) -> bytes:
    return parquet(pa.Table.from_pylist(list(records)))


def with_broken_page(content: bytes) -> bytes:
    return content[:100] + b"\xff" * 300 + content[400:]


def broken_texts() -> bytes:
    """Two rows, of which the second holds bytes that are not UTF-8."""
    data = pa.py_buffer(b"ok\xff\xfe")
    offsets = pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0")
    return parquet(pa.table({"instruction": pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])}))


FILES = [
    ("nothing there", "a.jsonl", None, "files: nothing matches @/a.jsonl; correct the path in the pool's source"),
    ("no match", "*.parquet", None, "files: nothing matches @/*.parquet; correct the path in the pool's source"),
    ("empty", "a.jsonl", b"", "no rows in @/a.jsonl; check the pool's source"),
    ("blank lines", "a.jsonl", b"\n \n\n", "no rows in @/a.jsonl; check the pool's source"),
    ("another ending", "a.txt", b"a,b", f"@/a.txt: a file with this ending cannot be read. {READABLE}"),
    ("compressed parquet", "a.parquet.gz", b"", f"@/a.parquet.gz: a file with this ending cannot be read. {READABLE}"),
    ("empty list", "a.json", b" [\n] ", "no rows in @/a.json; check the pool's source"),
    (
        "one object", "a.json", b'{\n"data": [\n{}\n]}',
        "@/a.json: is one JSON object, and neither a list of rows nor one object per line; write its rows as "
        "lines, for example those of a field `data` with: jq -c '.data[]' a.json > a.jsonl",
    ),
    ("csv without rows", "a.csv", b"a,b\n", "no rows in @/a.csv; check the pool's source"),
    (
        "columns of one name", "a.csv", b"a,a\n1,2\n",
        "@/a.csv: two columns are called 'a'; rename one in the first line",
    ),
    (
        "zstd without .zst", "a.csv", b"\x28\xb5\x2f\xfd\0\0",
        "@/a.csv: the file is compressed with zstd; give it the ending .csv.zst",
    ),
    (
        "text named .zst", "a.jsonl.zst", lines(chat()),
        "@/a.jsonl.zst: the compressed file is broken (ZSTD decompress failed: Unknown frame descriptor); download "
        "it again",
    ),
    ("arrow named .json", "a.json", b"ARROW1\0\0", "@/a.json: the file is Arrow; give it the ending .arrow"),
    (
        "gzip without .gz", "a.jsonl", gzip.compress(lines(chat())),
        "@/a.jsonl: the file is compressed with gzip; give it the ending .jsonl.gz",
    ),
    (
        "text named .gz", "a.jsonl.gz", lines(chat()),
        """@/a.jsonl.gz: the compressed file is broken (Not a gzipped file (b'{"')); download it again""",
    ),
    (
        "gzip cut off", "a.jsonl.gz", gzip.compress(lines(*map(chat, map(str, range(500)))))[:-30],
        "@/a.jsonl.gz: the compressed file is broken (Compressed file ended before the end-of-stream marker was "
        "reached); download it again",
    ),
    ("parquet named .jsonl", "a.jsonl", table(chat()), "@/a.jsonl: the file is Parquet; give it the ending .parquet"),
    (
        "text named .parquet", "a.parquet", lines(chat()),
        "@/a.parquet: not a readable Parquet file (Parquet magic bytes not found in footer. Either the file is "
        "corrupted "
        "or this is not a parquet file.); download it again",
    ),
    (
        "empty parquet file", "a.parquet", b"",
        "@/a.parquet: not a readable Parquet file (Parquet file size is 0 bytes); download it again",
    ),
    (
        "parquet cut off", "a.parquet", table(chat())[:-20],
        "@/a.parquet: not a readable Parquet file (Parquet magic bytes not found in footer. Either the file is "
        "corrupted "
        "or this is not a parquet file.); download it again",
    ),
    (
        "parquet with a broken page", "a.parquet", with_broken_page(table(*(chat(str(n)) for n in range(2000)))),
        "@/a.parquet: not a readable Parquet file (Corrupt snappy compressed data.); download it again",
    ),
    (
        "parquet without rows", "a.parquet", parquet(pa.table({"messages": pa.array([], pa.string())})),
        "no rows in @/a.parquet; check the pool's source",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), [pytest.param(*case, id=id) for id, *case in FILES])
def test_files_that_hold_no_rows(tmp_path, name, content, message):
    assert outcome(tmp_path, name, content, {"on_bad_row": "skip"}) == message


def test_a_folder_without_files_of_rows(tmp_path):
    (tmp_path / "data").mkdir()
    assert outcome(tmp_path, "data", None, {}) == (
        "files: the folder @/data has no readable file; correct the path in the pool's source"
    )


def test_an_address():
    message = "^files: s3://b/a.jsonl is an address; fetch the files, and name their folder in the pool's source$"
    with pytest.raises(SourceError, match=message):
        open_source(SourceSettings(files="s3://b/a.jsonl"))


LINES = [
    (
        "not json", b'{"a": }',
        f"not JSON | {FIRST}: not JSON: Expecting value at character 7 of the line; repair the line",
    ),
    (
        "trailing comma", b'{"a": 1,}',
        f"not JSON | {FIRST}: not JSON: Expecting property name enclosed in double quotes at character 9 of the line; "
        "repair the line",
    ),
    ("two in a line", b"{}{}", f"not JSON | {FIRST}: not JSON: Extra data at character 3 of the line; repair the line"),
    (
        "raw NUL", b'{"a": "\0"}',
        f"not JSON | {FIRST}: not JSON: Invalid control character at character 8 of the line; repair the line",
    ),
    (
        "not utf-8", b'{"a": "\xff"}',
        f"not UTF-8 | {FIRST}: byte 8 of the line is not UTF-8; save the file as UTF-8",
    ),
    (
        "utf-16", json.dumps(chat()).encode("utf-16"),
        f"not UTF-8 | {FIRST}: byte 1 of the line is not UTF-8; save the file as UTF-8",
    ),
    (
        "a field twice", b'{"a": 1, "a": 2}',
        f"two fields of one name | {FIRST}, field a: is twice in one object; rename or remove one",
    ),
    (
        "a list", b"[1]",
        f"not a JSON object | {FIRST}: the line is not a JSON object; write each row as one {{...}} on its own line",
    ),
    (
        "null", b"null",
        f"not a JSON object | {FIRST}: the line is not a JSON object; write each row as one {{...}} on its own line",
    ),
    (
        "nested too deep", b'{"a":' + b"[" * 100_000,
        f"not JSON | {FIRST}: JSON that cannot be read: maximum recursion depth exceeded while decoding a JSON array "
        f"from "
        "a unicode string; repair the line",
    ),
    (
        "a number without end", b'{"a":' + b"9" * 5_000 + b"}",
        f"not JSON | {FIRST}: JSON that cannot be read: Exceeds the limit (4300 digits) for integer string "
        f"conversion: "
        "value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit; repair the line",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), [pytest.param(*case, id=id) for id, *case in LINES])
def test_lines_that_are_no_rows(tmp_path, line, message):
    assert outcome(tmp_path, "a.jsonl", line + b"\n" + lines(chat()), {}) == message
    reason = message.split(" | ")[0]
    assert outcome(tmp_path, "a.jsonl", line + b"\n" + lines(chat()), {"on_bad_row": "skip"}) == f"kept: 1, {reason}: 1"


ACCEPTED = [
    ("a row of 2 MB", lines(chat("x" * 1_000_000, "y" * 1_000_000)), "kept: 1"),
    ("U+2028 is no end of line", json.dumps(chat("a\u2028b"), ensure_ascii=False).encode(), "kept: 1"),
    ("escaped NUL", lines(chat("a\0b")), "kept: 1"),
    ("byte order mark", b"\xef\xbb\xbf" + lines(chat()), "kept: 1"),
    ("Windows line ends", lines(chat("a"), chat("b")).replace(b"\n", b"\r\n"), "kept: 2"),
    ("duplicates", lines(chat(), chat(), chat("b")), "kept: 2, duplicate of an earlier row: 1"),
    (
        "an unanswered end", lines({"messages": [*chat()["messages"], turn("user", "x")]}),  # pyright: ignore
        "kept: 1, unanswered last message removed: 1",
    ),
    ("NaN in a field that is not read", lines(chat(x=float("nan"))), "kept: 1"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "counts"), [pytest.param(*case, id=id) for id, *case in ACCEPTED])
def test_odd_rows_that_are_right(tmp_path, content, counts):
    assert outcome(tmp_path, "a.jsonl", content, {}) == counts


PARQUET = [
    (
        "numbers", parquet(pa.table({"messages": [1, 2]})),
        "the messages are not a list | @/a.parquet, row 1, field messages: is a number, not a list of messages; name "
        "another `column`",
    ),
    (
        "a null", parquet(pa.table({"messages": pa.array([None], pa.list_(pa.string()))})),
        "the messages are not a list | @/a.parquet, row 1, field messages: is null, not a list of messages; name "
        "another "
        "`column`",
    ),
    (
        "text", parquet(pa.table({"messages": ["[a]"]})),
        "the messages are not a list | @/a.parquet, row 1, field messages: is a string, not a list of messages; name "
        "another `column`",
    ),
    ("texts as bytes", table(chat(b"Why?", b"So.")), "kept: 1"),
    (
        "other bytes", table(chat("Why?", b"\xff")),
        "a text is not a string | @/a.parquet, row 1, field messages[1].content: is an object, not a string; write "
        "it as "
        "text",
    ),
    (
        "texts that are not utf-8", broken_texts(),
        "not UTF-8 | @/a.parquet, row 2: byte 1 of a text is not UTF-8; write texts as UTF-8",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), [pytest.param(*case, id=id) for id, *case in PARQUET])
def test_parquet_of_other_types(tmp_path, content, message):
    assert outcome(tmp_path, "a.parquet", content, {}) == message


def test_nothing_is_left_when_every_row_is_skipped(tmp_path):
    assert outcome(tmp_path, "a.jsonl", b"{\n[\n", {"on_bad_row": "skip"}) == (
        "no rows in @/a.jsonl (2 not JSON); check the pool's source"
    )
