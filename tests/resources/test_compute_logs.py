import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.materialize import open_instance

KEY = ["a run", "compute_logs", "a step"]


@pytest.fixture
def log(tmp_path):
    with open_instance(tmp_path / "home") as instance:
        yield instance.compute_log_manager


def captured(log, end):
    return Path(log.get_captured_local_path(KEY, end)).read_text()


def test_what_a_step_prints_is_kept_and_shown(log, tmp_path, monkeypatch):
    shown = tmp_path / "shown.txt"
    with shown.open("w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        terminal.write("before\n")
        with log.capture_logs(KEY):
            terminal.write("of the step\n")
            terminal.flush()
            subprocess.run(["echo", "of its process"], stdout=terminal.fileno(), check=True)
        terminal.write("after\n")
        monkeypatch.undo()
    assert captured(log, "out") == "of the step\nof its process\n"
    assert shown.read_text() == "before\nof the step\nof its process\nafter\n"


def test_nobody_may_read_what_is_printed(log, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        with log.capture_logs(KEY):
            terminal.write("of the step\n")
        monkeypatch.undo()
    assert captured(log, "out") == "of the step\n"
