import os
import shutil

import pytest

from orchestration.home_owner import check_owner, own_home
from orchestration.run_lock import only_run
from selection_platform.configuration.profile import load_profile, shipped_profiles
from selection_platform.errors import PlatformError

TEXT = "pools: {mine: {source: {files: x.jsonl}}}\narms: {zip: {train: false}}\n"


@pytest.fixture
def home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))


def profile_in(folder, name="mine.yaml"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(TEXT)
    return load_profile(str(folder / name))


def test_two_files_of_one_name_do_not_share_a_home(tmp_path, home_folder):
    own_home(profile_in(tmp_path / "a"))
    own_home(profile_in(tmp_path / "a"))
    other = profile_in(tmp_path / "b")
    for check in (check_owner, own_home):
        with pytest.raises(
            PlatformError, match=r"home/mine has the results of .*/a/mine\.yaml, and .*/b/mine\.yaml has"
        ):
            check(other)
    (tmp_path / "b" / "mine.yaml").write_text(f"name: other\n{TEXT}")
    own_home(load_profile(str(tmp_path / "b" / "mine.yaml")))


def test_a_profile_that_was_moved_keeps_its_home(tmp_path, home_folder):
    own_home(profile_in(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    own_home(load_profile(str(tmp_path / "b" / "mine.yaml")))


def test_a_home_that_was_copied_with_its_profile_is_the_copys(tmp_path, monkeypatch):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "a" / "home"))
    own_home(profile_in(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "b" / "home"))
    own_home(load_profile(str(tmp_path / "b" / "mine.yaml")))


def test_a_link_to_a_profile_is_the_same_profile(tmp_path, home_folder):
    own_home(profile_in(tmp_path / "a"))
    (tmp_path / "b").symlink_to(tmp_path / "a")
    own_home(load_profile(str(tmp_path / "b" / "mine.yaml")))


def test_a_shipped_profile_is_the_same_wherever_it_is_installed(tmp_path, home_folder, monkeypatch):
    own_home(load_profile("demo"))
    elsewhere = tmp_path / "demo.yaml"
    elsewhere.write_text(shipped_profiles()["demo"].read_text())
    with pytest.raises(PlatformError, match="has the results of the profile demo that ships"):
        own_home(load_profile(str(elsewhere)))
    monkeypatch.setattr("orchestration.home_owner.shipped_profiles", lambda: {"demo": elsewhere})
    own_home(load_profile(str(elsewhere)))


def test_a_new_home_is_its_owners_alone(tmp_path, home_folder):
    before = os.umask(0o022)
    try:
        own_home(profile_in(tmp_path / "a"))
        with only_run(tmp_path / "other" / "mine"):
            pass
    finally:
        os.umask(before)
    folders = [tmp_path / "home", tmp_path / "home" / "mine", tmp_path / "other", tmp_path / "other" / "mine"]
    assert [oct(folder.stat().st_mode & 0o777) for folder in folders] == ["0o700"] * 4


def test_a_home_keeps_the_mode_that_its_owner_gave_it(tmp_path, home_folder):
    (tmp_path / "home" / "mine").mkdir(parents=True)
    (tmp_path / "home" / "mine").chmod(0o750)
    own_home(profile_in(tmp_path / "a"))
    assert oct((tmp_path / "home" / "mine").stat().st_mode & 0o777) == "0o750"


def test_a_damaged_record_of_the_owner_is_one_message(tmp_path, home_folder):
    own_home(profile_in(tmp_path / "a"))
    record = tmp_path / "home" / "mine" / "profile.json"
    for content in (b"\x96\x00", b'{"file": "x"}}', b"[]"):
        record.write_bytes(content)
        with pytest.raises(PlatformError, match=r"home/mine/profile\.json: (is not JSON|has no names and values)"):
            check_owner(profile_in(tmp_path / "a"))
