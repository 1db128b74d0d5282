"""Steps side by side: the same results, in an order that bounds the disk, and one clean end however it comes."""

import heapq
import os
import random
import re
import signal
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets import build_assets
from assets.keys import BENCHMARK_RESULT, CHECKPOINT
from assets.record.settings_used import Declared, declare
from orchestration.graph import Graph, Step
from orchestration.materialize import limit_gpu_steps, open_instance
from orchestration.side_by_side import ReadySteps
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, load_profile
from selection_platform.job.stopping import STOPPED
from tests.small_run import (
    PROFILE,
    RANDOM,
    REPORTS,
    Place,
    begin_refresh,
    change_profile,
    conversations,
    due,
    materializations,
    output_of,
    version,
    write_pool,
)  # fmt: skip


def simulated(graph, steps, slots, seed):
    """Most checkpoints whose weights are on the disk at once, and the steps in the order in which they started."""
    ready = ReadySteps(graph, steps, first=lambda step: BENCHMARK_RESULT in step.asset.keys)
    generator, now, most = random.Random(seed), 0.0, 0
    at_work, order, weights, made = [], [], set(), set()
    while ready.left or at_work:
        while len(at_work) < slots and (step := ready.next()):
            order.append(step)
            assert made.issuperset(node for own in step.nodes for node in graph.inputs(own))
            if CHECKPOINT in step.asset.keys:
                weights.add(step.partition_key)
            heapq.heappush(at_work, (now + generator.random(), len(order), step))
        most = max(most, len(weights))
        now, _, step = heapq.heappop(at_work)
        if BENCHMARK_RESULT in step.asset.keys:
            weights.remove(step.partition_key)
        made |= set(step.nodes)
        ready.done(step)
    assert ready.not_done == []
    return most, order


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2, 5])
def test_every_step_follows_its_inputs_and_no_more_checkpoints_are_there_than_slots(slots):
    graph = Graph(build_assets(load_profile("demo")))
    for seed in range(5):
        most, order = simulated(graph, graph.steps, slots, seed)
        assert most <= slots
        assert sorted(map(str, order)) == sorted(map(str, graph.steps))


def test_of_those_that_are_ready_the_first_goes_first():
    inputs = {"a": [], "b": ["a"], "c": ["a"], "d": ["c"], "e": []}
    spec = {name: dg.AssetSpec(name, deps=deps) for name, deps in inputs.items()}
    assets = [
        declare(dg.multi_asset(specs=[each], name=name)(lambda: None), {each.key: Declared({})})
        for name, each in spec.items()
    ]
    a, b, c, d, e = steps = [Step(asset, None) for asset in assets]
    ready = ReadySteps(Graph(assets), steps, first=lambda step: step == d)
    assert (ready.next(), ready.next(), ready.next()) == (a, e, None)
    ready.done(a)
    assert (ready.next(), ready.next(), ready.next()) == (b, c, None)
    ready.done(c)
    assert (ready.next(), ready.left, ready.not_done) == (d, False, [b, d, e])


def test_the_pool_of_dagster_has_as_many_places_as_there_are_slots(tmp_path):
    with open_instance(tmp_path) as instance:

        def limits():
            return {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}

        # What was never said is one, by the settings file.
        limit_gpu_steps(instance, 1)
        assert limits() == {}
        for slots in (8, 2, 1):
            limit_gpu_steps(instance, slots)
            assert limits() == {"gpu": slots}


def new_place(folder, **changes):
    place = Place(folder, folder / "small.yaml", folder / "letters.jsonl")
    write_pool(place, conversations(60, seed=0))
    place.profile.write_text(yaml.safe_dump({**PROFILE, "jobs": {"slots": 2}, **changes}, sort_keys=False))
    return place


def enter(monkeypatch, folder):
    monkeypatch.setenv(HOME_VARIABLE, str(folder / "home"))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})


def test_two_slots_make_what_one_makes_and_each_line_names_its_step(place, tmp_path, monkeypatch, capfd):
    enter(monkeypatch, tmp_path)
    other = new_place(tmp_path)
    assert main(["--profile", str(other.profile), "run"]) == 0
    lines = capfd.readouterr().out.splitlines()
    starts = [match for match in map(re.compile(r"\[(\d+)/(\d+)\] (.*)").fullmatch, lines) if match]
    assert [int(match[1]) for match in starts] == list(range(1, len(starts) + 1))
    assert {int(match[2]) for match in starts} == {len(starts)}
    ends = [match[1] for match in map(re.compile(r"    (.*): \d+\.\d s(?:, [\d,]+ rows)?").fullmatch, lines) if match]
    assert sorted(ends) == sorted(match[3] for match in starts)
    # Two were at work at once.
    first_end = next(number for number, line in enumerate(lines) if line.startswith("    ") and line.endswith(" s"))
    assert sum(line.startswith("[") for line in lines[:first_end]) >= 2
    made = materializations(other)
    assert made.keys() == materializations(place).keys()
    for name in made:
        asset, _, partition = name.partition(" ")
        if asset not in REPORTS:
            assert version(other, asset, partition or None) == version(place, asset, partition or None), name
    assert main(["--profile", str(other.profile), "status", "--exit-code"]) == 0


def test_dropped_weights_are_trained_again_in_a_worker(place, monkeypatch, capsys):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    change_profile(place, checkpoints={"keep": "none"})
    output_of(capsys, place, "clean")
    checkpoints = [version(place, "checkpoint", key) for key in RANDOM[:2]]
    evaluation = {"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}}
    change_profile(place, jobs={"slots": 2}, evaluation=evaluation)
    lines = output_of(capsys, place, "refresh", *RANDOM[:2]).splitlines()
    assert sum("so it is trained again first" in line for line in lines) == 2
    assert sum(line.startswith("    dropped the weights of random/") for line in lines) == 2
    assert [version(place, "checkpoint", key) for key in RANDOM[:2]] == checkpoints
    assert not [name for name in due(capsys, place) if name.endswith(tuple(RANDOM[:2]))]


@pytest.mark.slow
def test_a_step_that_fails_lets_the_others_end_and_starts_no_more(tmp_path, monkeypatch, capfd):
    enter(monkeypatch, tmp_path)
    (tmp_path / "broken.jsonl").write_text('{"messages": 3}\n')
    place = new_place(
        tmp_path, pools={**PROFILE["pools"], "broken": {"source": {"files": "broken.jsonl"}, "base_model": 0.3}}
    )
    assert main(["--profile", str(place.profile), "run"]) == 1
    said = capfd.readouterr()
    assert re.search(r"^selection-platform: pool  broken: .*: is a number, not a list of", said.err, re.MULTILINE)
    assert "Traceback" not in said.err
    lines = said.out.splitlines()
    failed = next(number for number, line in enumerate(lines) if line.startswith("    pool  broken: failed"))
    assert not [line for line in lines[failed:] if line.startswith("[")]
    starts = {line.partition("] ")[2] for line in lines if line.startswith("[")}
    ends = {line.strip().partition(": ")[0] for line in lines if re.search(r": (\d+\.\d s|failed)", line)}
    assert starts <= ends


def begun(folder):
    """A run of two slots that pre-trains for hours, when a worker is at it."""
    model = {"tiny": {"pretraining": {**PROFILE["models"]["tiny"]["pretraining"], "steps": 1_000_000}}}
    place = new_place(folder, models=model)
    process = begin_refresh(place, folder / "home")
    assert process.stderr is not None
    assert any("base_model  tiny: Pre-training:" in line for line in process.stderr)
    return process, place


def session_of(process):
    """The processes of a session that are at work, without the tracker of multiprocessing and zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[3]) == process.pid and b"resource_tracker" not in command:
            found.append(int(stat.parent.name))
    return found


def wait_until_gone(process, seconds):
    deadline = time.monotonic() + seconds
    while session_of(process):
        assert time.monotonic() < deadline, f"still there: {session_of(process)}"
        time.sleep(0.05)


needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has one slot")


@pytest.mark.slow
@needs_two_cores
def test_ctrl_c_is_one_line_and_leaves_no_process(tmp_path):
    process, _ = begun(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, [line for line in said.splitlines() if not line.startswith("    ")]) == (130, [STOPPED])
    wait_until_gone(process, 1)


@pytest.mark.slow
@needs_two_cores
def test_kill_9_of_the_run_ends_its_workers_and_the_next_goes_on(tmp_path):
    process, place = begun(tmp_path)
    process.kill()
    wait_until_gone(process, 2)
    process.communicate()
    again = begin_refresh(place, tmp_path / "home")
    assert again.stdout is not None
    assert again.stdout.readline() == "[1/1] base_model  tiny\n"
    again.kill()
    again.communicate()


@pytest.mark.slow
@needs_two_cores
def test_a_worker_that_is_killed_is_one_message(tmp_path):
    process, _ = begun(tmp_path)
    (worker,) = [
        each for each in session_of(process) if each != process.pid and b"spawn_main" in cmdline(each) and busy(each)
    ]
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == (
        "selection-platform: base_model  tiny: its process was killed, most likely because memory ran out; free some "
        "memory, or lower `jobs: slots`, and run again to go on"
    )


def cmdline(process):
    return Path(f"/proc/{process}/cmdline").read_bytes()


def busy(process):
    def spent():
        return sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))

    before = spent()
    time.sleep(1)
    return spent() > before
