import gzip
import hashlib
import json
import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from selection_platform.configuration.pool_settings import FOLDER, PoolSettings, SourceSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.rows import RawRow, SourceError
from selection_platform.pools.sources import hub_commit, open_source, source_state
from tests.pools.sources.pretend_hub import COMMIT, HUB, pretend_hub


def lines(*records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(table):
    output = pa.BufferOutputStream()
    pq.write_table(table, output)
    return output.getvalue().to_pybytes()


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(**given):
    source = open_source(SourceSettings.model_validate(given))
    return [row.record if isinstance(row, RawRow) else row.reason for row in source.rows()]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with pretend_hub(monkeypatch, tmp_path / "cache", {}) as running:
        yield running


DATES = [{"q": f"{number}?", "a": "2023-01-01"} for number in range(3)]
MIXED = [{"a": text} for text in ("4", "true", "null", '{"a": 1}', 4, True, None, {"a": 1}, '"quoted"')]
# Each of the ways in which a schema that is guessed changes or loses rows.
FAULTS = {
    "dates": {"train.jsonl": lines(*DATES)},
    "mixed types": {"train.jsonl": lines(*MIXED)},
    "a key that comes late": {
        "train/a.jsonl": lines({"a": 1}, {"a": None}), "train/b.jsonl": lines({"a": {"b": 1}, "c": 2}),
    },
    "an empty shard": {
        "data/train-00000-of-00002.parquet": parquet(pa.table({"a": pa.array([], pa.string())})),
        "data/train-00001-of-00002.parquet": parquet(pa.table({"a": ["x"]})),
    },
    "csv": {"train.csv": b"q,a\nNA,None\n007,True\n,2023-01-01\n"},
    "a bad line": {"train.jsonl": lines({"a": 1}) + b"{\n" + lines({"a": 2})},
    "a list": {"train.json": b'[{"a": 1},\n {"a": "2023-01-01"}, {"a": tru}]'},
    "folders in order": {"train/a.jsonl": lines({"a": 1}), "train-1/a.jsonl": lines({"a": 2})},
    "compressed": {"train.jsonl.gz": gzip.compress(lines(*DATES))},
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_data_set_has_the_same_rows_by_hub_by_folder_and_by_file(tmp_path, hub, fault):
    hub.files |= FAULTS[fault]
    folder = write(tmp_path / "chats", FAULTS[fault])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = read(files=[str(path) for path in files])
    assert len(rows) > 0
    assert read(hub=HUB) == read(hub=str(folder)) == rows
    settings = [{"hub": HUB}, {"hub": str(folder)}, {"files": str(folder)}]
    reports = [
        write_raw_pool(PoolSettings.model_validate({"source": source, "on_bad_row": "skip"}), tmp_path / f"raw{number}")
        for number, source in enumerate(settings)
    ]
    assert len({report.content_hash for report in reports}) == 1
    assert len({json.dumps(report.bad_rows) for report in reports}) == 1


def test_two_formats_are_one_message_and_the_manifest_has_what_was_read(tmp_path):
    folder = write(tmp_path / "chats", {
        "train.jsonl": lines({"a": 1}), "train.parquet": parquet(pa.table({"a": [2]})), "notes.txt": b"x",
    })  # fmt: skip
    with pytest.raises(SourceError, match=r"several formats .* `files: "):
        read(hub=str(folder))
    source = open_source(SourceSettings.model_validate({"hub": str(folder), "files": "*.parquet"}))
    assert source.files == {
        f"{folder}/train.parquet": hashlib.sha256((folder / "train.parquet").read_bytes()).hexdigest()
    }
    assert [row.record for row in source.rows() if isinstance(row, RawRow)] == ['{"a":2}']


def test_a_folder_starts_from_the_profile_and_is_seen(tmp_path):
    write(tmp_path / "chats", {"train.jsonl": lines({"a": 1}), "test.jsonl": lines({"a": 2})})
    settings = SourceSettings.model_validate({"hub": "chats", "split": "all"}, context={FOLDER: tmp_path})
    source = open_source(settings)
    assert list(source.files) == ["chats/train.jsonl", "chats/test.jsonl"]
    assert source_state(settings).keys() == {"chats/train.jsonl", "chats/test.jsonl"}
    assert str(tmp_path) not in json.dumps(dict(source.identity))


def test_a_wrong_split_of_a_folder_names_those_that_there_are(tmp_path):
    folder = write(tmp_path / "chats", {"train.jsonl": b"", "test.jsonl": b""})
    with pytest.raises(SourceError, match=r"no split 'validation' .* `split` can be test, train, several of these"):
        open_source(SourceSettings(hub=str(folder), split="validation"))


def test_the_commit_and_each_files_hash_are_kept(tmp_path, hub):
    large = lines(*({"a": number} for number in range(100)))
    hub.files |= {"train-1.jsonl": large, "train-2.jsonl": lines({"a": 1}), "plot.png": b"x", "README.md": b"# Chats"}
    report = write_raw_pool(PoolSettings.model_validate({"source": {"hub": HUB}}), tmp_path / "raw")
    assert (report.revision, report.rows, report.left_out) == (COMMIT, 101, ["plot.png"])
    assert report.files == {
        f"{HUB}/train-1.jsonl": hashlib.sha256(large).hexdigest(),
        f"{HUB}/train-2.jsonl": f"git:{hashlib.sha1(hub.files['train-2.jsonl']).hexdigest()}",
    }


def test_a_finished_pool_of_a_full_commit_needs_no_network(tmp_path, hub, monkeypatch):
    hub.files |= {"train.jsonl": lines({"a": 1})}
    settings = PoolSettings.model_validate({"source": {"hub": HUB, "revision": COMMIT}})
    report = write_raw_pool(settings, tmp_path / "raw")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert write_raw_pool(settings, tmp_path / "raw") == report


def test_what_was_fetched_is_not_fetched_again(hub):
    hub.files |= {"train-1.jsonl": lines({"a": 1}), "train-2.jsonl": lines({"a": 2}), "test.jsonl": lines({"a": 3})}
    assert read(hub=HUB) == read(hub=HUB) == ['{"a": 1}', '{"a": 2}']
    assert hub.asked == [("train-1.jsonl", 0), ("train-2.jsonl", 0)]


def test_a_download_that_is_cut_goes_on_where_it_was(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.files["train.jsonl"] = lines(*({"a": number} for number in range(100)))
    hub.cut["train.jsonl"] = 350
    assert read(hub=HUB) == [json.dumps({"a": number}) for number in range(100)]
    assert hub.asked == [("train.jsonl", 0), ("train.jsonl", 300)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("GatedRepo", "someone/chats is gated; accept its terms at .*, run `hf auth login`"),
        ("RepoNotFound", "there is no dataset or folder someone/chats, or it is private"),
        ("RevisionNotFound", "someone/chats has no such revision; set `revision` to a branch"),
    ],
)
@pytest.mark.parametrize("revision", [None, COMMIT])
def test_what_the_hub_does_not_show_is_one_message(hub, error, message, revision):
    hub.error = error
    with pytest.raises(SourceError, match=message):
        read(hub=HUB, revision=revision)


def test_offline_is_one_message(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in (None, COMMIT):
        with pytest.raises(SourceError, match=r"cannot be read offline; .* `hf download --repo-type dataset"):
            read(hub=HUB, revision=revision)


def test_no_network_is_one_message(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(SourceError, match=r"cannot be read \(ConnectError: .* check the network and run again"):
        read(hub=HUB)


def test_a_name_that_no_data_set_has():
    with pytest.raises(SourceError, match=r"there is no dataset or folder chats/of/mine"):
        read(hub="chats/of/mine")


def test_a_wrong_config_of_the_hub_names_those_that_there_are(hub):
    hub.files |= {"a.jsonl": b"", "README.md": b"---\nconfigs: [{config_name: en, data_files: a.jsonl}]\n---\n"}
    with pytest.raises(SourceError, match="has no config 'de'; `config` can be one or a list of en"):
        read(hub=HUB, config="de")
    assert read(hub=HUB, config="en") == []


def test_a_full_commit_is_taken_as_it_is():
    assert hub_commit(HUB, COMMIT) == COMMIT


def test_a_bad_row_is_named_by_its_file(hub):
    hub.files["train.jsonl"] = b"{\n"
    (row,) = open_source(SourceSettings(hub=HUB)).rows()
    assert isinstance(row, BadRow)
    assert str(row).startswith(f"{HUB}/train.jsonl, row 1: not JSON")
