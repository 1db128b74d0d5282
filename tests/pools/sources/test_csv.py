import gzip
import json

import pytest

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.pools.rows import RawRow, SourceError
from selection_platform.pools.sources import csv_rows, open_source


def read(path, content):
    path.write_bytes(content)
    return list(open_source(SourceSettings(files=str(path))).rows())


def values(rows):
    return [json.loads(row.record) if isinstance(row, RawRow) else row.reason for row in rows]


def test_values_are_text_as_it_stands(tmp_path):
    rows = read(tmp_path / "a.csv", b'\xef\xbb\xbfq,a\nNA,None\n007,True\n"a\r\n""b"", c",\n\n1e3,2023-01-01\r\n')
    assert values(rows) == [
        {"q": "NA", "a": "None"}, {"q": "007", "a": "True"}, {"q": 'a\r\n"b", c', "a": ""},
        {"q": "1e3", "a": "2023-01-01"},
    ]  # fmt: skip
    assert [row.row for row in rows if isinstance(row, RawRow)] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["a.tsv", "A.TSV.GZ"])
def test_tabs(tmp_path, name):
    content = b'q\ta\n"x\ty"\t1,2\n'
    assert values(read(tmp_path / name, gzip.compress(content) if "GZ" in name else content)) == [
        {"q": "x\ty", "a": "1,2"}
    ]


def test_long_values(tmp_path):
    assert values(read(tmp_path / "a.csv", b"q\n" + b"x" * 500_000 + b"\n")) == [{"q": "x" * 500_000}]


def test_bad_rows_are_bad_alone(tmp_path):
    rows = read(tmp_path / "a.csv", b'q,a\n1\n1,2,3\n"x"y,2\n\xff,2\n"\xf0\x9f\xa6\x8a",2\n"open,2\n')
    assert values(rows) == [
        "another number of fields", "another number of fields", "not CSV", "not UTF-8", {"q": "🦊", "a": "2"},
        "not CSV",
    ]  # fmt: skip
    assert str(rows[0]).startswith(f"{tmp_path}/a.csv, row 1: has 1 values, but the first line names 2 fields; repair")


def test_two_columns_of_one_name_are_one_message(tmp_path):
    with pytest.raises(SourceError, match="two columns are called 'q'; rename one in the first line"):
        read(tmp_path / "a.csv", b"q,a,q\n1,2,3\n")


@pytest.mark.parametrize("content", ["q,a\n1,2\n".encode("utf-16"), b"q\xff,a\n1,2\n"])
def test_a_first_line_that_is_not_utf_8_is_one_message(tmp_path, content):
    with pytest.raises(SourceError, match=r"a\.csv: the first line is not UTF-8; save the file as UTF-8"):
        read(tmp_path / "a.csv", content)


def test_blank_lines_before_the_first_are_none(tmp_path):
    assert values(read(tmp_path / "a.csv", b"\n\r\nq\n1\n")) == [{"q": "1"}]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"q,a\n"])
def test_files_without_rows(tmp_path, content):
    assert read(tmp_path / "a.csv", content) == []


def test_reading_goes_on_behind_a_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"q\n1\n\n2\n3\n")
    assert values(csv_rows.read_csv(path, "a", 2)) == [{"q": "3"}]


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("a;b\n1,5;x\n", {"a": "1,5", "b": "x"}),
        ('"a;c";"b"\n1;"x\ny"\n', {"a;c": "1", "b": "x\ny"}),
        ('"a, or c";b\n1;2\n', {"a, or c": "1", "b": "2"}),
        ("a,b;c\n1,2;3\n", {"a": "1", "b;c": "2;3"}),
        ("a\tb\n1\t2\n", {"a": "1", "b": "2"}),
        ("a\n1;2\n", {"a": "1;2"}),
    ],
)
def test_the_first_line_tells_what_stands_between_values(tmp_path, text, record):
    (row,) = read(tmp_path / "a.csv", text.encode())
    assert isinstance(row, RawRow)
    assert json.loads(row.record) == record
