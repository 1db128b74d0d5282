"""Slots: as many at once as there are, never one twice, and free again however their holder ends."""

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from selection_platform.configuration.run_settings import JobSettings
from selection_platform.errors import PlatformError
from selection_platform.job import slots
from selection_platform.job.slots import Slot, own_devices, slots_held, slots_here, threads_of_a_slot

HOLD = """
import sys, time
from pathlib import Path
from selection_platform.job.slots import slots_held
with slots_held(Path(sys.argv[1]), 2, 2) as held:
    print(*(slot.number for slot in held), flush=True)
    time.sleep(60)
"""
# A slot that two hold at once is a file that is there already.
TAKE = """
import random, sys, time
from pathlib import Path
from selection_platform.job.slots import slots_held
folder, generator = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
for _ in range(15):
    with slots_held(folder, 3, generator.randint(1, 2)) as held:
        for slot in held:
            (folder / f"{slot.number}.mark").open("x").close()
        time.sleep(generator.random() / 100)
        for slot in held:
            (folder / f"{slot.number}.mark").unlink()
"""


def started(program, *arguments):
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_24_jobs_on_8_slots_take_3_rounds(tmp_path):
    at_once, rounds, lock, together = [], [], Lock(), Barrier(8, action=lambda: rounds.append(len(at_once)))

    def job(_):
        with slots_held(tmp_path, 8, 1) as (slot,):
            with lock:
                at_once.append(slot.number)
                assert len(set(at_once)) == len(at_once) <= 8
            # A round ends when eight are in it: with fewer slots, none would.
            together.wait(timeout=30)
            time.sleep(0.05)
            with lock:
                at_once.remove(slot.number)

    with ThreadPoolExecutor(24) as threads:
        list(threads.map(job, range(24)))
    assert rounds == [8, 8, 8]


@pytest.mark.slow
def test_no_process_has_the_slot_of_another(tmp_path):
    processes = [started(TAKE, tmp_path, seed) for seed in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]


def test_those_who_want_several_do_not_wait_for_each_other(tmp_path):
    def job(number):
        generator = random.Random(number)
        for _ in range(5):
            with slots_held(tmp_path, 4, generator.randint(2, 4)):
                pass
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(job, range(4), timeout=60))


def test_who_wants_many_is_not_passed_by_those_who_want_one(tmp_path, monkeypatch):
    order, waits = [], Event()
    monkeypatch.setattr(slots.logger, "info", lambda *_: waits.set())

    def job(name, wanted):
        with slots_held(tmp_path, 2, wanted):
            order.append(name)

    with ThreadPoolExecutor(2) as threads:
        with slots_held(tmp_path, 2, 1):
            many = threads.submit(job, "many", 2)
            assert waits.wait(10)
            one = threads.submit(job, "one", 1)
            time.sleep(0.3)
            # A slot is free all the time.
            assert order == []
        many.result(10)
        one.result(10)
    assert order == ["many", "one"]


def test_kill_9_frees_it(tmp_path):
    holder = started(HOLD, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "0 1\n"
    holder.kill()
    holder.wait()
    with slots_held(tmp_path, 2, 2) as held:
        assert [slot.number for slot in held] == [0, 1]


def test_a_child_that_has_it_holds_it_when_its_parent_is_gone(tmp_path):
    with slots_held(tmp_path, 2, 1) as (slot,):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(slot.descriptor,))
    with slots_held(tmp_path, 2, 1) as (other,):
        assert other.number == 1
    child.communicate(b"\n")
    with slots_held(tmp_path, 2, 1) as (again,):
        assert again.number == 0


@pytest.mark.parametrize(
    ("seen", "own"),
    [(None, "1,3"), ("4,5,6,7", "5,7"), ("GPU-a, GPU-b, GPU-c, GPU-d", "GPU-b,GPU-d"), ("", ""), ("-1", "-1")],
)
def test_devices_are_those_of_the_slots_among_the_ones_that_are_seen(monkeypatch, seen, own):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert own_devices([Slot(1, 0), Slot(3, 0)]) == own


def test_too_few_devices_are_one_message(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(PlatformError, match=r"=0,1 names 2 GPUs, too few for `jobs: slots`; name more, or write `slot"):
        own_devices([Slot(0, 0), Slot(2, 0)])


def test_a_slot_has_its_part_of_the_cores_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    assert threads_of_a_slot(2) == {}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_of_a_slot(1) == {}
    assert threads_of_a_slot(2) == {"OMP_NUM_THREADS": "3"}
    assert threads_of_a_slot(8) == {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("jobs", "gpus", "at_once"),
    [
        ({}, 0, 1),
        ({"run": "child", "processes": 4}, 4, 1),
        ({"slots": 2}, 0, 2),
        ({"slots": 8}, 0, 3),
        ({"slots": 2}, 2, 1),
        ({"run": "child", "slots": 8}, 8, 8),
        ({"run": "child", "slots": 8}, 0, 8),
    ],
)
def test_steps_at_once(monkeypatch, jobs, gpus, at_once):
    monkeypatch.setattr(slots, "devices_here", lambda: (gpus, "H100", 80) if gpus else None)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert slots_here(JobSettings(**jobs)) == at_once
