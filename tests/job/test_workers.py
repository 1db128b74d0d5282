import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selection_platform.errors import PlatformError
from selection_platform.job.workers import map_in_processes


class Root:
    """Square roots of whole numbers, and the process that worked them out."""

    def __init__(self, slow):
        self.slow = slow

    def __call__(self, number):
        if number < 0:
            raise ValueError(f"{number} has no root")
        time.sleep(self.slow * (number < 3))
        return number**0.5, os.getpid()


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})


def test_results_come_in_the_order_of_the_items(two_cores):
    results = list(map_in_processes(Root, (0.2,), [4, 1, 9, 16]))
    assert [root for root, _ in results] == [2, 1, 3, 4]
    assert os.getpid() not in {process for _, process in results}


def test_one_item_is_worked_on_here(two_cores):
    assert list(map_in_processes(Root, (0,), [4])) == [(2, os.getpid())]


@pytest.mark.slow
def test_an_error_of_a_process_is_raised(two_cores):
    with pytest.raises(ValueError, match="-1 has no root"):
        list(map_in_processes(Root, (0,), [4, -1, -2]))


class Killed:
    """Is killed by the first item, as the system does when memory runs out."""

    def __call__(self, number):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_process_that_was_killed_is_one_message(two_cores):
    with pytest.raises(PlatformError, match="was killed, most likely because memory ran out"):
        list(map_in_processes(Killed, (), [4, 1]))


class NotMade:
    def __init__(self):
        raise ValueError("cannot be made")

    def __call__(self, number):
        return number


@pytest.mark.slow
def test_an_error_before_the_first_item_is_raised_too(two_cores):
    with pytest.raises(ValueError, match="cannot be made"):
        list(map_in_processes(NotMade, (), [4, 1]))


@pytest.mark.slow
def test_whoever_wants_no_more_does_not_wait_for_the_rest(two_cores):
    results = map_in_processes(Root, (600,), [4, 1, 2, 9])
    assert next(results)[0] == 2
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 10


PARENT = """
import os, time
from tests.job.test_workers import Root
from selection_platform.job.workers import map_in_processes
os.sched_getaffinity = lambda _: {0, 1}
if __name__ == "__main__":
    for _, process in map_in_processes(Root, (600,), [4, 1, 9, 16]):
        print(process, flush=True)
"""


def is_running(process):
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().split()[2] != "Z"


@pytest.mark.slow
def test_the_processes_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline, "the process is still there"
        time.sleep(0.05)
