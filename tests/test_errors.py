"""Which errors are one message: ours, and what a disk or a permission does, however a library says it."""

import errno
import sqlite3

import pyarrow as pa
import pytest
from sqlalchemy.exc import OperationalError

from selection_platform.cli import main
from selection_platform.configuration.profile import HOME_VARIABLE
from selection_platform.errors import PlatformError, is_fixable, message_of

FULL = "database or disk is full"
FIXABLE = [
    (PlatformError("a pool is empty"), "a pool is empty"),
    (OSError(errno.ENOSPC, "No space left on device", "x"), "[Errno 28] No space left on device: 'x'"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "[Errno 36] File name too long: 'x'"),
    (OSError(errno.EIO, "Input/output error", "x"), "[Errno 5] Input/output error: 'x'"),
    (sqlite3.OperationalError(FULL), FULL),
    (sqlite3.DatabaseError("file is not a database"), "file is not a database"),
    (
        OperationalError("INSERT INTO runs", {}, sqlite3.OperationalError(FULL)),
        f"(sqlite3.OperationalError) {FULL}",
    ),
    (pa.ArrowException("a\nIOError: No space left on device\nb"), "IOError: No space left on device"),
    (RuntimeError("I/O error: No space left on device (os error 28)"), None),
]


@pytest.mark.parametrize(("error", "message"), FIXABLE)
def test_what_a_user_can_put_right_is_one_line(error, message):
    assert is_fixable(error)
    assert message_of(error) == (message or str(error))


@pytest.mark.parametrize(
    "error", [KeyError("a"), ValueError("b"), FileNotFoundError(2, "No such file", "c"), OSError()]
)
def test_the_rest_is_a_fault_of_ours(error):
    assert not is_fixable(error)


@pytest.mark.parametrize("there", ["folder", "file"])
def test_a_fault_is_told_where_it_cannot_be_kept(tmp_path, monkeypatch, capsys, there):
    """A file in the place of the homes' folder cannot be written into, whoever tries."""
    homes = tmp_path / "homes"
    homes.mkdir() if there == "folder" else homes.write_text("")
    monkeypatch.setenv(HOME_VARIABLE, str(homes))
    monkeypatch.setattr(main, "_run", lambda arguments: {}["missing"])
    assert main.main([]) == 1
    told = capsys.readouterr().err
    assert "KeyError: 'missing'" in told
    assert told.count("Traceback") == 1
    log = homes / "fault.log"
    assert ("cannot be written: " in told) == (there == "file")
    assert ("KeyError" in log.read_text()) if there == "folder" else (str(log) in told)
