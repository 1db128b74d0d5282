"""The commands of docs/backup.md, as they stand there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resources.warehouse import Warehouse
from tests.small_run import ENTROPY, due, output_of

PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text(encoding="utf-8")
SERVER = "dbname=warehouse host=db.example user=me"


def commands(section, *, of_postgres):
    """The commands below a heading: those that name the server, or the others."""
    text = re.split("^## ", PAGE, flags=re.MULTILINE)
    (wanted,) = (part for part in text if part.startswith(section))
    found = re.findall(r"^\$ (.+)$", wanted, re.MULTILINE)
    return [command for command in found if (SERVER in command) == of_postgres]


def shell(folder, lines, **replaced):
    """Run commands of the page in a folder, with names of the test's in place of the page's."""
    for line in lines:
        for name, value in replaced.items():
            line = line.replace(PLACES[name], value)
        subprocess.run(["bash", "-e", "-c", line], cwd=folder, check=True, env=environment(), capture_output=True)


PLACES = {"home": ".platform/chats", "homes": ".platform/", "profile": "chats.yaml", "name": "chats", "server": SERVER}


def environment():
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.data
@pytest.mark.slow
def test_a_home_is_backed_up_and_restored(place, capsys):
    here = {"home": "home/small", "homes": "home/", "profile": place.profile.name, "name": "small"}
    shell(place.folder, commands("Back up", of_postgres=False), **here)
    scores = ["sql", "FROM scores.entropy ORDER BY ALL", "--json"]
    rows = output_of(capsys, place, *scores)
    shutil.rmtree(place.home / "artifacts" / "checkpoint" / ENTROPY)
    (place.home / "warehouse" / "catalog.sqlite").write_bytes(b"x" * 9000)
    restore = commands("Restore", of_postgres=False)
    assert [shlex.split(line)[0] for line in restore] == ["mv", "cp", "selection-platform", "selection-platform"]
    # verify --deep among them fails where anything is missing.
    shell(place.folder, restore, **here)
    assert output_of(capsys, place, *scores) == rows
    assert due(capsys, place) == {}


BUCKET = """#!/bin/bash
# `aws s3 cp` to and from an address, of which the last part names a file in `bucket`.
place() { case "$1" in s3://*) echo "bucket/$(basename "$1")" ;; *) echo "$1" ;; esac; }
cp "$(place "$3")" "$(place "$4")"
"""


@pytest.mark.slow
def test_a_home_is_put_into_object_storage_and_got_back(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "aws").write_text(BUCKET)
    (tmp_path / "bin" / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    file = tmp_path / ".platform" / "chats" / "artifacts" / "weights"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"w")
    os.utime(file, ns=(1, 1_000_000_007))
    (file.parent / "again").symlink_to("weights")
    (tmp_path / "bucket").mkdir()
    lines = commands("To object storage", of_postgres=False)
    shell(tmp_path, lines[:2])
    shutil.rmtree(tmp_path / ".platform")
    (tmp_path / "chats.tar.gz").unlink()
    shell(tmp_path, lines[2:])
    file = tmp_path / "backup" / file.relative_to(tmp_path / ".platform")
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (b"w", 1_000_000_007)
    assert (file.parent / "again").readlink() == Path("weights")


@pytest.mark.slow
def test_a_catalog_in_postgresql_is_backed_up_and_restored(tmp_path, server):
    def rows():
        return warehouse.query("SELECT sample_id, score FROM scores.ifd ORDER BY ALL").rows()

    if shutil.which("pg_dump") is None:
        pytest.skip("there is no pg_dump")
    warehouse = Warehouse(
        folder=str(tmp_path / ".platform" / "chats" / "warehouse"), catalog=f"postgres:{server}", catalog_schema="chats"
    )
    scores = "SELECT md5(range::VARCHAR) AS sample_id, range::DOUBLE AS score FROM range(100)"
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, scores)
    before = rows()
    for of_postgres in (False, True):
        shell(tmp_path, commands("Back up", of_postgres=of_postgres), server=server)
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'a' AS sample_id, 1.0 AS score")
    shell(tmp_path, commands("Restore", of_postgres=False)[:2])
    shell(tmp_path, commands("Restore", of_postgres=True), server=server)
    assert rows() == before
    assert warehouse.replace("scores.ifd", {"pool": "q", "model": "m"}, scores) == 100
