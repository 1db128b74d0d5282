import subprocess
import sys

import pytest
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

from selection_platform.job import __main__ as job

CHILD = """
import sys, time
from selection_platform.job import __main__ as job
job.run_job = lambda *_: print("at work", flush=True) or time.sleep(60)
job.main(sys.argv[1:])
"""
PARENT = """
import os, subprocess, sys
job = ["evaluation", "spec.json", sys.argv[2], "--with-parent", str(os.getpid())]
subprocess.run([sys.executable, "-c", sys.argv[1], *job])
"""


@pytest.mark.slow
def test_a_job_ends_when_its_parent_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, CHILD, str(tmp_path / "folder")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "at work\n"
    parent.kill()
    # The job holds the other end of the pipe, and would for a minute.
    assert parent.stdout.read() == ""
    assert parent.wait(timeout=30) == -9


def test_a_job_that_is_not_known_is_named():
    command = [sys.executable, "-m", "selection_platform.job", "training", "spec.json", "folder"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'training' (choose from" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_process_leaves_the_group_when_its_work_is_done(monkeypatch, tmp_path):
    def work(*_: object) -> None:
        distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())

    monkeypatch.setattr(job, "run_job", work)
    monkeypatch.setenv("WORLD_SIZE", "2")
    job.main(["evaluation", str(tmp_path / "spec.json"), str(tmp_path / "folder"), "--locked"])
    assert not distributed.is_initialized()
