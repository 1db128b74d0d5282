"""The files of a complete folder are what was written, or somebody says so."""

import inspect
import os
import shutil

import pytest

from resources.artifact_store import ArtifactStore
from selection_platform.job.folder import FILES, write_manifest
from selection_platform.job.integrity import (
    MADE,
    Change,
    ChangedFile,
    changed_files,
    check_files,
    is_recorded,
    partition_of,
)
from selection_platform.models.dropped_weights import drop_weights

MODEL, PART = "model.safetensors", "parts/mmlu.json"


@pytest.fixture
def folder(tmp_path):
    """A complete folder with two files, one of them below it; what was removed after its manifest is gone."""
    folder = tmp_path / "artifacts" / "checkpoint" / "random" / "letters" / "s0"
    for name, text in ((MODEL, "0.714"), (PART, "{}"), ("checkpoints/optimizer.pt", "moments")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    write_manifest(folder, {"weights_hash": "w"}, temporary=["checkpoints"])
    shutil.rmtree(folder / "checkpoints")
    return folder


def overwrite(file, text, *, keep_time=False):
    """Other bytes, at another time or at the same one."""
    moment = file.stat().st_mtime_ns + (0 if keep_time else 1_000_000_000)
    file.write_text(text)
    os.utime(file, ns=(moment, moment))


def test_what_was_written_is_the_same(folder):
    assert is_recorded(folder)
    assert changed_files(folder, deep=True) == []
    check_files(folder)


@pytest.mark.parametrize(("name", "text"), [(MODEL, "3.595"), (PART, "[]")])
def test_other_bytes_of_the_same_size_are_noticed(folder, name, text):
    overwrite(folder / name, text)
    assert changed_files(folder) == [Change(name, "has other bytes than were written")]


def test_another_size_is_noticed_whatever_the_time_is(folder):
    overwrite(folder / MODEL, "3.5950", keep_time=True)
    assert changed_files(folder) == [Change(MODEL, "has 6 bytes and was written with 5")]


def test_the_same_size_and_time_hide_other_bytes_from_all_but_a_full_check(folder):
    overwrite(folder / MODEL, "3.595", keep_time=True)
    assert changed_files(folder) == []
    assert changed_files(folder, deep=True) == [Change(MODEL, "has other bytes than were written")]


def test_another_time_alone_is_no_change(folder):
    overwrite(folder / MODEL, "0.714")
    check_files(folder)


def test_what_is_gone_and_what_was_added_is_noticed(folder):
    (folder / PART).unlink()
    (folder / "chat_template.jinja").write_text("")
    assert changed_files(folder) == [Change("chat_template.jinja", "was added since"), Change(PART, "is gone")]


def test_the_message_names_the_file_and_the_command(folder):
    overwrite(folder / MODEL, "3.595")
    with pytest.raises(ChangedFile) as raised:
        check_files(folder)
    assert str(raised.value) == (
        f"{folder / MODEL}: has other bytes than were written; put back what was there, or have it made again: "
        "`selection-platform refresh random/letters/s0 --rebuild`"
    )


def test_dropped_weights_are_no_fault_and_the_rest_is_still_known(folder):
    drop_weights(folder)
    check_files(folder)
    (folder / PART).write_text("[0]")
    assert [change.file for change in changed_files(folder)] == [PART]


def test_weights_that_a_killed_drop_left_are_no_fault(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda self, missing_ok=False: None)
        drop_weights(folder)
    assert (folder / MODEL).exists()
    check_files(folder)


def test_nothing_is_known_of_a_folder_of_an_earlier_version(folder):
    (folder / FILES).unlink()
    (folder / MODEL).write_text("another")
    assert not is_recorded(folder)
    assert changed_files(folder, deep=True) == []


@pytest.mark.parametrize("text", ["", "[]", '{"model.safetensors": 5}', '{"model.safetensors": {"bytes": 5}}'])
def test_a_damaged_record_is_a_change(folder, text):
    (folder / FILES).write_text(text)
    assert changed_files(folder) == [Change(FILES, "is not what was written")]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("artifacts/benchmark_data", "benchmark_data"),
        ("artifacts/base_model/tiny", "tiny"),
        ("artifacts/scoring/letters/tiny/answer_likelihood/000", "letters/tiny"),
        ("artifacts/warmup_checkpoint.published/letters/tiny/epoch-1", "letters/tiny"),
        ("artifacts/picks/diverse_evol/letters/tiny/6", "scores/diverse_evol"),
        ("artifacts/artifacts/benchmark_result/ifd/letters/tiny/6/s0", "ifd/letters/tiny/6/s0"),
        ("artifacts/pool/artifacts", "artifacts"),
        ("artifacts/scoring/artifacts/artifacts/answer_likelihood/000", "artifacts/artifacts"),
        ("artifacts/scoring/letters/artifacts/answer_likelihood", "letters/artifacts"),
        ("elsewhere", "KEY"),
        ("artifacts", "KEY"),
    ],
)
def test_what_to_refresh_follows_from_the_place(tmp_path, path, key):
    assert partition_of(tmp_path / path) == key


def test_all_folders_of_a_home_are_known():
    store = ArtifactStore(folder="artifacts")
    paths = [make for name, make in vars(ArtifactStore).items() if inspect.isfunction(make) and name[0] != "_"]
    made = (make(store, *["x"] * (make.__code__.co_argcount - 1 - len(make.__defaults__ or ()))) for make in paths)
    assert {path.parts[1] for path in made} == MADE
