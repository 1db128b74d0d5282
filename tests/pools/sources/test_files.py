import datetime
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from selection_platform.configuration.pool_settings import FOLDER, SourceSettings
from selection_platform.pools.rows import RawRow, SourceError
from selection_platform.pools.sources import open_source, source_state
from selection_platform.pools.sources.formats import FORMATS

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def source_of(*patterns, folder=None):
    files = str(patterns[0]) if len(patterns) == 1 else [str(pattern) for pattern in patterns]
    return SourceSettings.model_validate({"files": files}, context={FOLDER: folder})


def read(*patterns):
    return list(open_source(source_of(*patterns)).rows())


def raw_rows(rows):
    return [row for row in rows if isinstance(row, RawRow)]


def write(path, content='{"a": 1}\n'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(*patterns, folder):
    return list(open_source(source_of(*patterns, folder=folder)).files)


def test_lines_break_at_newlines_only_and_keep_their_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"a": "x\u2028y\x85z"}\r\n\n  \n{"a": 2}'.encode())
    assert read(path) == [RawRow(str(path), 1, '{"a": "x\u2028y\x85z"}'), RawRow(str(path), 4, '{"a": 2}')]


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


def test_reading_is_a_stream_and_says_so_when_the_file_changes_under_it(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"a":1}\n' * 3)
    rows = open_source(source_of(path)).rows()
    assert next(rows) == RawRow(str(path), 1, '{"a":1}')
    with path.open("a") as file:
        file.write('{"late":1}\n')
    with pytest.raises(SourceError, match=r"a\.jsonl changed while it was read; run again"):
        list(rows)


def test_files_are_pinned_by_their_hash(tmp_path):
    path = write(tmp_path / "a.jsonl", "")
    assert open_source(source_of(path)).files == {str(path): EMPTY}


def test_names_are_those_of_the_profile(tmp_path):
    write(tmp_path / "here" / "chats" / "a.jsonl")
    folder = tmp_path / "here"
    assert names("chats/*.jsonl", folder=folder) == ["chats/a.jsonl"]
    assert names("../here/chats/a.jsonl", folder=folder) == ["../here/chats/a.jsonl"]
    assert names(folder / "chats" / "a.jsonl", folder=folder) == ["chats/a.jsonl"]
    assert names("a.jsonl", folder=folder / "chats") == ["a.jsonl"]
    # So does the source's identity: a folder that was moved is the same source.
    before = open_source(source_of("chats", folder=folder))
    folder.rename(tmp_path / "there")
    after = open_source(source_of("chats", folder=tmp_path / "there"))
    assert (before.identity, before.files) == (after.identity, after.files)
    assert str(tmp_path) not in json.dumps(after.identity)
    assert source_state(source_of("chats", folder=tmp_path / "there")).keys() == {"chats/a.jsonl"}


def test_empty_files_among_full_ones(tmp_path):
    for name, content in (("a.jsonl", ""), ("b.jsonl", '{"a": 1}\n'), ("c.csv", ""), ("d.json", "[]"), ("e.json", "")):
        write(tmp_path / name, content)
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "f.parquet")
    assert [row.record for row in raw_rows(read(tmp_path / "*"))] == ['{"a": 1}']


def test_several_patterns_name_each_file_once_in_their_order(tmp_path):
    for name in ("a.jsonl", "b.jsonl", "sub/c.jsonl"):
        write(tmp_path / name)
    assert names("sub/c.jsonl", "*.jsonl", "b.jsonl", "**/*.jsonl", folder=tmp_path) == [
        "sub/c.jsonl", "a.jsonl", "b.jsonl",
    ]  # fmt: skip
    with pytest.raises(SourceError, match=r"nothing matches .*/none\.jsonl"):
        names("a.jsonl", "none.jsonl", folder=tmp_path)


def test_a_folder_is_all_in_it_that_can_be_read(tmp_path):
    for name in ("b.jsonl", "a.csv", "sub/deep/c.jsonl.gz", "README.md", "sub/x.png", ".git/d.jsonl", "__x__/e.jsonl"):
        write(tmp_path / "data" / name)
    write(tmp_path / "data" / "dataset_info.json", "{\n}")
    write(tmp_path / "linked" / "f.jsonl")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "linked")
    (tmp_path / "linked" / "circle").symlink_to(tmp_path / "data")
    source = open_source(source_of("data", folder=tmp_path))
    assert list(source.files) == ["data/a.csv", "data/b.jsonl", "data/link/f.jsonl", "data/sub/deep/c.jsonl.gz"]
    assert source.left_out == ["data/README.md", "data/dataset_info.json", "data/sub/x.png"]


def home_in(folder):
    """What every home of the platform has, and rows among its files."""
    write(folder / "profile.json", "{}")
    write(folder / "dagster" / "dagster.yaml", "")
    return write(folder / "artifacts" / "pool" / "train.jsonl")


@pytest.mark.parametrize("pattern", ["**/*.jsonl", "data", "*/*/*/*/*.jsonl", "*/*.jsonl"])
def test_a_home_of_the_platform_is_no_source(tmp_path, pattern):
    write(tmp_path / "data" / "a.jsonl")
    inside = home_in(tmp_path / "data" / "home" / "mine")
    home_in(tmp_path / ".platform" / "mine")
    if pattern == "*/*/*/*/*.jsonl":
        with pytest.raises(SourceError, match=r"files: \*/.* names only files of a home folder of the platform"):
            names("*/*/*/*/*.jsonl", folder=tmp_path)
        return
    assert names(pattern, folder=tmp_path) == ["data/a.jsonl"]
    # Who names one file means it.
    assert names(str(inside), folder=tmp_path) == ["data/home/mine/artifacts/pool/train.jsonl"]


def test_a_folder_without_files_of_rows(tmp_path):
    write(tmp_path / "data" / "README.md")
    with pytest.raises(SourceError, match=r"the folder .*/data has no readable file"):
        names("data", folder=tmp_path)
    (tmp_path / "data" / "a.jsonl").symlink_to(tmp_path / "nothing.jsonl")
    with pytest.raises(SourceError, match=r"data/a\.jsonl: a link to a missing file"):
        names("data", folder=tmp_path)


@pytest.mark.parametrize(
    "name", ["data[1]/a.jsonl", "pool #1 [x].jsonl", "why?.jsonl", "*.jsonl", "[ab].jsonl", "[!a]/*/?.jsonl"]
)
def test_what_exists_is_no_pattern(tmp_path, name):
    write(tmp_path / name)
    write(tmp_path / "b.jsonl")
    assert names(name, folder=tmp_path) == [name]
    assert list(open_source(source_of(tmp_path / name)).files) == [str(tmp_path / name)]


def test_a_pattern_below_a_folder_with_brackets(tmp_path):
    write(tmp_path / "data[1]" / "a.jsonl")
    write(tmp_path / "data1" / "b.jsonl")
    assert names("data[1]/*.jsonl", folder=tmp_path) == ["data[1]/a.jsonl"]
    assert names("data[12]/*.jsonl", folder=tmp_path) == ["data1/b.jsonl"]


def test_a_pattern_that_is_none(tmp_path):
    with pytest.raises(SourceError, match=r"is not a pattern .*write `\*\*` between slashes"):
        names("**.jsonl", folder=tmp_path)


def test_a_name_that_is_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/a\xff.jsonl"
    with open(path, "w") as file:  # noqa: PTH123
        file.write("{}\n")
    assert raw_rows(read(tmp_path / "*")) == [RawRow(f"{tmp_path}/a\\xff.jsonl", 1, "{}")]


def test_what_can_be_seen_of_files(tmp_path):
    path = write(tmp_path / "a.jsonl")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert source_state(source_of("*.jsonl", folder=tmp_path)) == {
        "a.jsonl": "9 bytes of 2001-09-09 01:46:40.000000000 UTC"
    }
    assert source_state(source_of("none.jsonl", folder=tmp_path)) == {}


def test_the_sources_that_the_documentation_shows_are_valid():
    text = (Path(__file__).parents[3] / "docs" / "pool_sources.md").read_text()
    pools = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])["pools"]
    assert len(pools) > 5
    for pool in pools.values():
        SourceSettings.model_validate(pool["source"])
    for ending in FORMATS:
        assert f"`{ending}`" in text


@pytest.mark.parametrize("files", [3, [], [1], {"a": "b"}])
def test_settings_that_name_no_files(files):
    with pytest.raises(ValueError, match=re.escape("must be text, or a list of texts")):
        SourceSettings.model_validate({"files": files})
