"""A home that was renamed, copied, linked or given an odd name is the same home: nothing is due, and all works."""

import json
import os
import shutil

import pytest

from tests.conftest import enter
from tests.small_run import ENTROPY, PROFILE, TOKEN_LENGTH, change_profile, due, materializations, output_of, refreshed

pytestmark = [pytest.mark.data, pytest.mark.slow]

NAME = 'it\'s "mine" #1; 50%20 what?\\*[xy]✓'


def elsewhere(place, monkeypatch, name, put):
    """The place with its home in another folder, put there by a function of both folders."""
    other = place._replace(folder=place.folder / name)
    other.folder.mkdir()
    put(place.folder / "home", other.folder / "home")
    enter(monkeypatch, other)
    return other


def change_pool_and_recipe(place):
    """The pool comes out the same, and the trained models are adapters now."""
    letters = {**PROFILE["pools"]["letters"], "max_characters": 100_000}
    change_profile(place, pools={"letters": letters}, fine_tuning={"lora": {"rank": 2}})
    return {"pool letters", f"checkpoint {TOKEN_LENGTH}", f"benchmark_result {TOKEN_LENGTH}"}


def test_a_home_of_any_name_has_nothing_due_and_works(place, monkeypatch, capsys, tmp_path):
    moved = elsewhere(place, monkeypatch, NAME, os.rename)
    assert due(capsys, moved) == {}
    rows = json.loads(output_of(capsys, moved, "sql", "--json", "SELECT count(*) AS rows FROM scores.entropy"))
    assert rows == [{"rows": 40}]
    changed = change_pool_and_recipe(moved)
    assert refreshed(capsys, moved, TOKEN_LENGTH) == changed
    for command in (
        ["lineage", ENTROPY], ["report"], ["cost"], ["disk"], ["clean"], ["verify", TOKEN_LENGTH], ["verify", ENTROPY],
        ["export", ENTROPY, "--to", str(tmp_path / NAME)],
    ):  # fmt: skip
        output_of(capsys, moved, *command)
    assert not (place.folder / "home").exists()
    # What was trained there is an adapter, whose base model moves with it.
    again = elsewhere(moved, monkeypatch, "again", os.rename)
    change_profile(again, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}})
    assert refreshed(capsys, again, TOKEN_LENGTH) == {f"benchmark_result {TOKEN_LENGTH}"}


def test_a_home_and_its_copy_live_on_independently(place, monkeypatch, capsys):
    copied = elsewhere(place, monkeypatch, "copy", shutil.copytree)
    assert due(capsys, copied) == {}
    changed = change_pool_and_recipe(copied)
    for changing, other in ((copied, place), (place, copied)):
        enter(monkeypatch, changing)
        before = materializations(other), files(other)
        assert refreshed(capsys, changing, TOKEN_LENGTH) == changed
        output_of(capsys, changing, "clean")
        assert (materializations(other), files(other)) == before
    shutil.rmtree(place.home)
    enter(monkeypatch, copied)
    output_of(capsys, copied, "verify", TOKEN_LENGTH)


def test_a_home_is_the_same_by_a_link(place, monkeypatch, capsys):
    linked = elsewhere(place, monkeypatch, "linked", lambda home, other: other.symlink_to(home))
    assert due(capsys, linked) == {}
    change_pool_and_recipe(linked)
    assert refreshed(capsys, linked, "pool") == {"pool letters"}
    enter(monkeypatch, place)
    assert "pool letters" not in due(capsys, place)


def test_a_profile_that_was_moved_with_its_data_has_nothing_due(place, monkeypatch, capsys, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(place.folder, folder)
    moved = place._replace(folder=folder, profile=folder / place.profile.name, pool=folder / place.pool.name)
    enter(monkeypatch, moved)
    assert due(capsys, moved) == {}
    assert refreshed(capsys, moved, "raw_pool") == set()


def files(place):
    """Each file of artifacts and tables, with its time of change."""
    folders = (place.home / "artifacts", place.home / "warehouse" / "tables")
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*") if path.is_file()}
