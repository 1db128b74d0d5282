"""Complete job folders that are to be made again, once each, and are kept where that fails."""

import pytest

from selection_platform.job.folder import made_again, open_job_folder, previous_folder, read_manifest, write_manifest
from selection_platform.job.lock import only_worker

JOB = {"a": 1}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "job"
    assert not open_job_folder(folder, JOB)
    write_manifest(folder, {"made": 1})
    assert open_job_folder(folder, JOB)
    return folder


def test_a_complete_folder_is_made_again_once(folder):
    with made_again():
        assert not open_job_folder(folder, JOB)
        # Another process of the same job, or the same one later.
        assert not open_job_folder(folder, JOB)
        write_manifest(folder, {"made": 2})
        assert open_job_folder(folder, JOB)
    assert open_job_folder(folder, JOB)
    assert read_manifest(folder) == {"made": 2}
    assert not previous_folder(folder).exists()


def test_what_was_there_is_there_again_where_it_fails(folder):
    with pytest.raises(KeyboardInterrupt), made_again(), only_worker(folder):  # noqa: PT012
        assert not open_job_folder(folder, JOB)
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert read_manifest(folder) == {"made": 1}
    assert not (folder / "half").exists()
    assert open_job_folder(folder, JOB)


def test_it_is_there_again_before_another_process_may_work_there(folder):
    with made_again():
        with pytest.raises(ValueError, match="half"), only_worker(folder):  # noqa: PT012
            open_job_folder(folder, JOB)
            raise ValueError("half")
        # What is done elsewhere while this run ends.
        with only_worker(folder):
            assert read_manifest(folder) == {"made": 1}


def test_unfinished_work_goes_on(tmp_path):
    folder = tmp_path / "job"
    open_job_folder(folder, JOB)
    (folder / "half").touch()
    with made_again():
        assert not open_job_folder(folder, JOB)
        assert (folder / "half").exists()
