import subprocess
import sys

from dagster import DagsterRunStatus

from assets.materialize import end_killed_runs, open_instance

PROGRAM = """
import os, signal, sys
from pathlib import Path
import dagster as dg
from assets.materialize import materialize_step, open_instance
from assets.graph import Step

@dg.asset(pool="gpu")
def dies():
    os.kill(os.getpid(), signal.SIGKILL)

with open_instance(Path(sys.argv[1])) as instance:
    materialize_step(Step(dies, None), [dies], {}, instance)
"""


SURVIVOR = PROGRAM.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")


def test_the_run_of_a_killed_process_ends_as_failed(tmp_path):
    process = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, check=False)
    assert process.returncode == -9, process.stderr
    with open_instance(tmp_path) as instance:
        assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.STARTED]
        end_killed_runs(instance)
        assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.FAILURE]
    # Its place in the pool is free again: another run does not wait for it.
    subprocess.run([sys.executable, "-c", SURVIVOR, str(tmp_path)], capture_output=True, check=True, timeout=120)
