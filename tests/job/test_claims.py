"""Processes that share a scoring job. They are real ones: torchrun starts them."""

import time
from pathlib import Path

import pytest

from selection_platform.features.answer_likelihood import ANSWER_LIKELIHOOD
from selection_platform.job.claims import Claims
from selection_platform.job.folder import FILES, file_hash, read_object
from selection_platform.job.shards import shard_files
from tests.shared_jobs import kill, start
from tests.specs import shared_pass
from tests.tiny import CONFIGS, random_samples, save_model, write_samples

SAMPLES = 120


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A job with many shards, so that whoever is killed had more to do."""
    folder = tmp_path_factory.mktemp("inputs")
    save_model(folder / "model", CONFIGS["llama"])
    write_samples(folder / "samples.parquet", random_samples(SAMPLES))
    return shared_pass(folder, samples_per_shard=1, weighted_embedding=True)


@pytest.fixture(scope="module")
def expected(spec, tmp_path_factory):
    """The bytes of one process."""
    folder = tmp_path_factory.mktemp("one") / "out"
    ANSWER_LIKELIHOOD.run(spec, folder)
    return files_of(folder)


def files_of(folder: Path) -> dict[str, str]:
    """The hashes of the files of a finished job, which are also those that are recorded."""
    assert len(shard_files(folder)) == SAMPLES
    recorded = read_object(folder / FILES)
    found = {name: file_hash(folder / name) for name in recorded}
    assert {name: state["sha256"] for name, state in recorded.items()} == found
    # Neither claims nor what a killed process was writing.
    assert not list(folder.glob(".*"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["one", "all"])
def test_processes_that_are_killed_go_on_to_the_bytes_of_one(whom, spec, expected, tmp_path):
    folder = tmp_path / "out"
    job = start("answer_likelihood", spec, folder, processes=3)
    while len(list(folder.glob("part-*.parquet"))) < 5:
        assert job.poll() is None
        time.sleep(0.01)
    kill(job, whom)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    assert 5 <= len(kept) < SAMPLES
    assert start("answer_likelihood", spec, folder, processes=2).wait(timeout=120) == 0
    assert files_of(folder) == expected
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept


def test_a_piece_is_taken_once(monkeypatch, tmp_path):
    monkeypatch.setattr("selection_platform.job.claims.wait_for_all", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    first = Claims(tmp_path / ".claims")
    monkeypatch.setenv("RANK", "1")
    second = Claims(tmp_path / ".claims")
    assert [first.take(0), second.take(0), second.take(1), first.take(1), first.take(2)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    # The next start of the job.
    monkeypatch.setenv("RANK", "0")
    assert Claims(tmp_path / ".claims").take(0)


def test_one_process_takes_all_and_writes_no_claims(tmp_path):
    claims = Claims(tmp_path / ".claims")
    assert [claims.take(number) for number in (0, 1)] == [True, True]
    assert not list((tmp_path / ".claims").iterdir())
