import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.job import shards as job_shards
from selection_platform.job.shards import shard_files, write_shards


@pytest.fixture
def process(monkeypatch):
    """Makes this the process of a number, of two."""
    monkeypatch.setattr(job_shards, "wait_for_all", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    return lambda number: monkeypatch.setenv("RANK", str(number))


def test_each_process_writes_the_shards_whose_numbers_fall_to_it(process, tmp_path):
    scored, skipped = [], []

    def score(piece):
        scored.append(piece)
        return pa.table({"piece": [piece]})

    process(0)
    with pytest.raises(FileNotFoundError):
        # Nobody wrote the others' shards, so there is no hash of them.
        write_shards(tmp_path, 1, "abcde", score, skipped.append)
    assert (scored, skipped) == (["a", "c", "e"], ["b", "d"])
    process(1)
    write_shards(tmp_path, 1, "abcde", score, skipped.append)
    assert scored == ["a", "c", "e", "b", "d"]
    assert len(shard_files(tmp_path)) == 5


def test_shards_that_were_cut_otherwise_are_written_again(tmp_path):
    def table(piece):
        return pa.table({"letter": list(piece)})

    skipped = []
    write_shards(tmp_path, 2, ["ab", "cd"], table, skipped.append)
    (tmp_path / "part-00001.parquet").unlink()
    write_shards(tmp_path, 1, "abcd", table, skipped.append)
    assert skipped == []
    assert [pq.read_table(file)["letter"].to_pylist() for file in shard_files(tmp_path)] == [["a"], ["b"], ["c"], ["d"]]
    write_shards(tmp_path, 1, "abcd", table, skipped.append)
    assert skipped == ["a", "b", "c", "d"]
