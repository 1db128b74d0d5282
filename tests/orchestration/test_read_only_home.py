"""A home that can only be read answers what only reads, and refuses the rest in one message."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resources import read_only_home
from resources.catalog import SqliteCatalog
from resources.read_only_home import KeepsChanging, copied_database, writable_copy
from tests.small_run import RANDOM

pytestmark = [pytest.mark.data]

READING = {
    "status": (["status", "--exit-code"], "0 of "),
    "verify": (["verify", RANDOM[0]], "the same ids"),
    "verify --deep": (["verify", "--deep"], "Read: the files of"),
    "disk": (["disk"], "total   "),
    "sql": (["sql", "SELECT count(*) AS rows FROM scores.entropy"], "40"),
    "report": (["report", "--to", "{page}"], "index.html"),
    "export": (["export", RANDOM[0], "--to", "{page}"], "README.md"),
}


def run(place, *arguments):
    """Run a command in a process that sees the home read-only: by a mount as root, by its modes otherwise."""
    command = [sys.executable, "-m", "selection_platform.cli.main", "--profile", str(place.profile), *arguments]
    home = place.folder / "home"
    if os.geteuid() == 0:
        if shutil.which("unshare") is None:
            pytest.skip("no unshare")
        script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, str(home), *command]
    else:
        subprocess.run(["chmod", "-R", "a-w", home], check=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        subprocess.run(["chmod", "-R", "u+w", home], check=True)
    if "unshare failed" in done.stderr or done.stderr.startswith("mount:"):
        pytest.skip(done.stderr)
    return done


@pytest.mark.parametrize("name", READING)
def test_what_only_reads_works(place, tmp_path, name):
    arguments, expected = READING[name]
    page = tmp_path / "page"
    done = run(place, *(argument.format(page=page) for argument in arguments))
    assert done.returncode == 0, done.stderr + done.stdout
    assert expected in done.stdout


def test_what_writes_says_why_it_cannot(place):
    done = run(place, "run")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr


def test_a_copy_can_be_written_to_and_goes(tmp_path):
    folder = tmp_path / "dagster"
    (folder / "history").mkdir(parents=True)
    (folder / "history" / "runs.db").write_text("runs")
    (folder / "storage").mkdir()
    (folder / "storage" / "log").write_text("long")
    (folder / "history" / "runs.db").chmod(0o400)
    with writable_copy(folder, without="storage") as copy:
        assert [path.relative_to(copy) for path in copy.rglob("*") if path.is_file()] == [Path("history/runs.db")]
        (copy / "history" / "runs.db").write_text("more")
    assert not copy.exists()
    assert (folder / "history" / "runs.db").read_text() == "runs"


def test_what_changes_while_it_is_copied_is_copied_again(tmp_path, monkeypatch):
    database, log = tmp_path / "catalog.sqlite", tmp_path / "catalog.sqlite-wal"
    database.write_text("1")
    log.write_text("1")
    copyfile, left = shutil.copyfile, iter("xxxx")

    def changing(source, target):
        copyfile(source, target)
        if next(left, None):
            log.write_text(log.read_text() + "x")

    monkeypatch.setattr(read_only_home.shutil, "copyfile", changing)
    copy = copied_database(database, "one")
    assert copy.with_name(log.name).read_text() == log.read_text() == "1xxxx"
    monkeypatch.setattr(read_only_home, "_TRIES", 2)
    left = iter("x" * 100)
    with pytest.raises(KeepsChanging, match=str(tmp_path)):
        copied_database(database, "two")
    # What was not copied is not taken for a copy.
    left = iter("")
    assert copied_database(database, "two").with_name(log.name).read_text() == log.read_text()


def test_a_file_that_goes_while_a_folder_is_copied_is_left_out(tmp_path, monkeypatch):
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "index.db").write_text("index")
    (folder / "index.db-journal").write_text("pages")
    copyfile = shutil.copyfile

    def copying(source, target):
        (folder / "index.db-journal").unlink(missing_ok=True)
        copyfile(source, target)

    monkeypatch.setattr(read_only_home.shutil, "copyfile", copying)
    with writable_copy(folder, without="storage") as copy:
        assert [path.name for path in copy.iterdir()] == ["index.db"]


def test_a_file_that_comes_while_a_folder_is_copied_is_copied_too(tmp_path, monkeypatch):
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "index.db").write_text("index")
    copyfile = shutil.copyfile

    def copying(source, target):
        copyfile(source, target)
        if not (folder / "index.db-journal").exists():
            (folder / "index.db-journal").write_text("pages")

    monkeypatch.setattr(read_only_home.shutil, "copyfile", copying)
    with writable_copy(folder, without="storage") as copy:
        assert {path.name for path in copy.iterdir()} == {"index.db", "index.db-journal"}


def test_a_catalog_that_is_copied_has_changed_where_its_log_has(tmp_path, monkeypatch):
    catalog = SqliteCatalog(tmp_path)
    (tmp_path / "catalog.sqlite").write_text("1")

    def states():
        """Without a log, with one, and with a longer one."""
        log = tmp_path / "catalog.sqlite-wal"
        log.unlink(missing_ok=True)
        yield catalog.state
        for text in ("1", "11"):
            log.write_text(text)
            yield catalog.state

    # Who may write reads the file itself, and sees what is in the log.
    assert len(set(states())) == 1
    monkeypatch.setattr("resources.catalog.can_write", lambda folder: False)
    assert len(set(states())) == 3
