"""Ctrl-C in a terminal goes to every process of the group, and one line answers."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from selection_platform.job.stopping import STOPPED
from tests.small_run import PROFILE, Place, begin_refresh, conversations, write_pool


def pressed(process):
    """Press Ctrl-C; gives the exit status, and what stands on standard error."""
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.slow
def test_a_step_ends_with_one_line_and_without_tracebacks_of_child_processes(tmp_path):
    place = Place(tmp_path, tmp_path / "small.yaml", tmp_path / "letters.jsonl")
    write_pool(place, conversations(60, seed=0))
    model = {"tiny": {"pretraining": {**PROFILE["models"]["tiny"]["pretraining"], "steps": 100_000}}}
    place.profile.write_text(yaml.safe_dump({**PROFILE, "models": model}))
    process = begin_refresh(place, tmp_path / "home")
    assert process.stdout is not None
    assert any("base_model" in line for line in process.stdout)
    # Dagster's helpers are started, and wait.
    time.sleep(1)
    status, said = pressed(process)
    lines = [line for line in said.splitlines() if not line.startswith("    ")]
    assert (status, lines) == (130, [STOPPED])


# Presses Ctrl-C as soon as a command looks for what takes long to import.
PROGRAM = """
import os, signal, sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
from selection_platform.cli.main import main
sys.exit(main(["methods"]))
"""


def test_a_command_that_has_hardly_begun():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (130, f"{STOPPED}\n")
