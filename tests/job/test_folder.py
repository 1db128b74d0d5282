"""A finished result stays until another is finished in its place."""

import pytest

from orchestration.disk_usage import beside, remove_folders, removed_folders
from selection_platform.job.folder import FILES, JOB, MANIFEST, open_job_folder, previous_folder, write_manifest

OLD, NEW, OTHER = {"steps": 1}, {"steps": 2}, {"steps": 3}


@pytest.fixture
def folder(tmp_path):
    """A job folder with a finished result."""
    folder = tmp_path / "model"
    finish(folder, OLD, "old")
    return folder


def finish(folder, identity, content):
    assert not open_job_folder(folder, identity)
    (folder / "weights").write_text(content)
    write_manifest(folder, {"weights_hash": content})


def begin(folder, identity):
    assert not open_job_folder(folder, identity)
    (folder / "half").write_text("of something")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_interrupted_job_leaves_the_result_of_before(folder):
    begin(folder, NEW)
    assert open_job_folder(folder, OLD)
    assert (folder / "weights").read_text() == "old"
    assert names(folder) == [FILES, JOB, MANIFEST, "weights"]
    assert names(folder.parent) == ["model"]


def test_it_stays_through_other_unfinished_jobs(folder):
    begin(folder, NEW)
    begin(folder, OTHER)
    assert names(folder) == ["half", JOB]
    assert open_job_folder(folder, OLD)


def test_a_finished_job_leaves_its_own_result_alone(folder):
    begin(folder, NEW)
    # It goes on where it was.
    assert not open_job_folder(folder, NEW)
    assert names(folder) == ["half", JOB]
    finish(folder, NEW, "new")
    assert names(folder.parent) == ["model"]
    assert not open_job_folder(folder, OLD)


def test_what_a_kill_left_after_the_end_goes_at_the_next_look(folder):
    begin(folder, NEW)
    (folder / MANIFEST).write_text("{}")
    assert open_job_folder(folder, NEW)
    assert names(folder.parent) == ["model"]


def test_a_kill_while_the_result_of_before_is_brought_back_loses_nothing(folder):
    begin(folder, NEW)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert open_job_folder(folder, OLD)


def test_it_is_counted_and_removed_with_its_folder(folder):
    begin(folder, NEW)
    assert removed_folders(folder.parent, {folder}) == []
    assert removed_folders(folder.parent, set()) == [folder]
    assert beside(folder) == [folder, previous_folder(folder)]
    remove_folders([folder])
    assert names(folder.parent) == []
