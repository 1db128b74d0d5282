"""Two processes on one folder: one works, the other waits and says for whom."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.disk_usage import remove_folders
from selection_platform.evaluation.benchmark_data import prepare
from selection_platform.job.folder import read_manifest
from selection_platform.job.lock import lock_file, only_worker

HOLD = """
import sys, time
from pathlib import Path
from selection_platform.job.lock import only_worker
with only_worker(Path(sys.argv[1])):
    print("at work", flush=True)
    time.sleep(60)
"""
WAIT = """
import logging, sys
from pathlib import Path
from selection_platform.job.lock import only_worker
logging.basicConfig(stream=sys.stdout, format="%(message)s")
logging.root.handlers[0].flush = sys.stdout.flush
with only_worker(Path(sys.argv[1])):
    print("alone", flush=True)
"""
PREPARE = """
import sys
from pathlib import Path
from selection_platform.evaluation import benchmark_data
write = benchmark_data._write_rows
def slowly(path, rows):
    print("writing", path.name, flush=True)
    if path.name == "gsm8k.jsonl":
        sys.stdin.readline()
    write(path, rows)
benchmark_data._write_rows = slowly
benchmark_data.prepare(Path(sys.argv[1]))
"""


def started(program: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_second_says_for_whom_it_waits_and_begins_when_that_one_is_killed(tmp_path):
    first = started(HOLD, tmp_path / "job")
    assert read(first) == "at work\n"
    second = started(WAIT, tmp_path / "job")
    told = read(second)
    assert told.startswith(f"waiting for {tmp_path / 'job'}: process {first.pid} on ")
    assert " has worked there since " in told
    assert second.poll() is None
    first.kill()
    assert read(second) == "alone\n"
    assert second.wait(timeout=30) == 0
    first.wait()


def test_folders_do_not_wait_for_each_other(tmp_path):
    with only_worker(tmp_path / "one"), only_worker(tmp_path / "two"):
        pass
    with only_worker(tmp_path / "one"):
        pass


def test_a_child_that_has_the_lock_holds_it_when_its_parent_is_gone(tmp_path):
    with only_worker(tmp_path / "job") as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    second = started(WAIT, tmp_path / "job")
    assert read(second).startswith("waiting for ")
    child.communicate(b"\n")
    assert read(second) == "alone\n"
    second.wait()


def test_the_lock_goes_with_the_folder(tmp_path):
    folder = tmp_path / "job"
    with only_worker(folder):
        folder.mkdir()
    remove_folders([folder])
    assert not lock_file(folder).exists()


@pytest.mark.slow
@pytest.mark.data
def test_two_processes_on_one_partition(tmp_path):
    """Each ends well, one does the work, and the folder is what one alone makes of it."""
    first = started(PREPARE, tmp_path / "two")
    assert read(first) == "writing gsm8k.jsonl\n"
    second = started(PREPARE, tmp_path / "two")
    assert second.stderr is not None
    assert second.stderr.readline().startswith("waiting for ")
    first.communicate("\n")
    written, said = second.communicate("\n")
    assert (first.returncode, second.returncode, written) == (0, 0, ""), said
    assert read_manifest(tmp_path / "two") == prepare(tmp_path / "one")
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*")}
    assert {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*")} == files
