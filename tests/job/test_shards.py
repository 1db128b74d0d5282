import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.errors import PlatformError
from selection_platform.job import claims, folder, shards
from selection_platform.job.folder import file_hash
from selection_platform.job.shards import CUT_FILE, shard_files, shards_hash, write_shards


@pytest.fixture
def process(monkeypatch):
    """Makes this the process of a number, of two, of which the other is alike but has written nothing by itself."""
    monkeypatch.setattr(claims, "wait_for_all", lambda: None)
    monkeypatch.setattr(shards, "gathered", lambda value: [value])
    monkeypatch.setenv("WORLD_SIZE", "2")
    return lambda number: monkeypatch.setenv("RANK", str(number))


def letters(piece):
    return pa.table({"sample_id": list(piece), "wide": list(piece.upper())})


def test_a_free_process_takes_the_next_shard_that_nobody_took(process, monkeypatch, tmp_path):
    scored, skipped = {0: [], 1: []}, {0: [], 1: []}
    hashes = {}

    def score(number):
        def work(piece):
            scored[number].append(piece)
            if piece == "b":
                # The first is still busy with this one when the other comes, and does all that is left.
                process(1)
                with pytest.raises(PlatformError, match=r"part-00000\.parquet: no process wrote this shard; run again"):
                    write_shards(tmp_path, "1", "abcde", score(1), skipped[1].append)
                process(0)
            return letters(piece)

        return work

    process(0)
    monkeypatch.setattr(shards, "gathered", lambda value: [hashes.update(value) or dict(hashes)])
    found = write_shards(tmp_path, "1", "abcde", score(0), skipped[0].append)
    assert (scored, skipped) == ({0: ["a", "b"], 1: ["c", "d", "e"]}, {0: ["c", "d", "e"], 1: ["a", "b"]})
    assert found == {path.name: file_hash(path) for path in shard_files(tmp_path)}
    assert len(found) == 5
    assert not (tmp_path / ".claims").exists()


def test_what_a_killed_process_had_taken_is_free_at_the_next_start(process, tmp_path):
    process(0)
    (tmp_path / ".claims").mkdir()
    (tmp_path / ".claims" / "1").touch()
    assert len(write_shards(tmp_path, "1", "abc", letters, pytest.fail)) == 3


def test_each_file_is_hashed_once(monkeypatch, tmp_path):
    read = []

    def hashed(path):
        read.append(path.name)
        return file_hash(path)

    monkeypatch.setattr(shards, "file_hash", hashed)
    monkeypatch.setattr(folder, "file_hash", hashed)
    hashes = write_shards(tmp_path, "2", ["ab", "cd"], letters, pytest.fail, apart={"wide": "apart"})
    folder.write_manifest(tmp_path, {}, hashes=hashes)
    names = ["apart-00000.parquet", "apart-00001.parquet", "part-00000.parquet", "part-00001.parquet"]
    assert sorted(read) == sorted([*names, CUT_FILE])
    recorded = folder.read_object(tmp_path / folder.FILES)
    assert {name: recorded[name]["sha256"] for name in recorded} == {
        name: file_hash(tmp_path / name) for name in [*names, CUT_FILE]
    }
    # Files beside the shards do not count in the hash of the job.
    write_shards(
        tmp_path / "plain", "2", ["ab", "cd"], lambda piece: letters(piece).drop_columns(["wide"]), pytest.fail
    )
    assert shards_hash(hashes) == folder.content_hash([file_hash(path) for path in shard_files(tmp_path / "plain")])


def test_shards_that_were_cut_otherwise_are_written_again(tmp_path):
    skipped = []
    write_shards(tmp_path, "2", ["ab", "cd"], letters, skipped.append)
    (tmp_path / "part-00001.parquet").unlink()
    write_shards(tmp_path, "1", "abcd", letters, skipped.append)
    assert skipped == []
    written = [pq.read_table(file)["sample_id"].to_pylist() for file in shard_files(tmp_path)]
    assert written == [["a"], ["b"], ["c"], ["d"]]
    write_shards(tmp_path, "1", "abcd", letters, skipped.append)
    assert skipped == ["a", "b", "c", "d"]


def test_a_shard_that_is_gone_when_the_job_ends_is_told(tmp_path):
    hashes = write_shards(tmp_path, "2", ["ab", "cd"], letters, pytest.fail)
    (tmp_path / "part-00001.parquet").unlink()
    with pytest.raises(PlatformError, match=r"part-00001\.parquet: written by this job, and gone"):
        folder.write_manifest(tmp_path, {}, hashes=hashes)
    assert not (tmp_path / folder.MANIFEST).exists()
