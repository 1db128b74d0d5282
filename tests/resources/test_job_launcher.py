"""Jobs outside the step's process, on a tiny real model."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources import job_launcher
from resources.job_launcher import JobFailed, JobLauncher, _message
from selection_platform.features.answer_likelihood import ANSWER_LIKELIHOOD
from selection_platform.job.compute import SPENT
from selection_platform.job.shards import shard_files
from selection_platform.job.slots import slots_held
from selection_platform.job.spec import write_spec
from selection_platform.training.fine_tuning import FINE_TUNING, FineTuningSpec
from tests.specs import made, shared_pass
from tests.tiny import CONFIGS, random_samples, save_model, write_samples

HAS_RAY = importlib.util.find_spec("ray") is not None and importlib.util.find_spec("dagster_ray") is not None


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    save_model(folder / "model", CONFIGS["llama"])
    write_samples(folder / "samples.parquet", random_samples(24))
    samples = pq.read_table(folder / "samples.parquet")
    positions = pa.array(range(samples.num_rows))
    pq.write_table(samples.append_column("position", positions), folder / "train.parquet")
    return folder


def scoring(inputs, samples_per_shard=7):
    return shared_pass(inputs, samples_per_shard=samples_per_shard)


def training(inputs, **changes):
    # 22 rows have an answer, so an epoch's last step has two rows and not four.
    recipe = {
        "epochs": 2,
        "learning_rate": 3e-3,
        "global_batch": 4,
        "batch_per_device": 2,
        "max_length": 64,
        "cut": "tail",
    }
    return made(
        FineTuningSpec,
        base_model_folder=str(inputs / "model"),
        train_file=str(inputs / "train.parquet"),
        **(recipe | changes),
    )


class Ran:
    """What a run of an asset that wants one job has to tell."""

    result: Any

    def __init__(self, launcher, job, spec, folder):
        @dg.asset
        def made(context: dg.AssetExecutionContext, jobs: JobLauncher) -> dg.MaterializeResult:
            self.result = jobs.run(context, job, spec, folder)
            return dg.MaterializeResult(metadata={"own": 1})

        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with dg.DagsterInstance.ephemeral() as instance:
            run = dg.materialize([made], resources={"jobs": launcher}, instance=instance, run_config=quiet)
            self.lines = [log.user_message for log in instance.all_logs(run.run_id) if not log.is_dagster_event]
        (materialization,) = run.asset_materializations_for_node("made")
        self.metadata = {name: value.value for name, value in materialization.metadata.items()}


def bytes_of(folder):
    return [file.read_bytes() for file in shard_files(folder)]


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "train_log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_childs_processes_write_the_bytes_of_one_and_its_lines_are_events_of_the_run(inputs, tmp_path):
    before = replace(SPENT)
    here = ANSWER_LIKELIHOOD.run(scoring(inputs), tmp_path / "here")
    spent_here, between = SPENT - before, replace(SPENT)
    launcher = JobLauncher(run_in="child", processes=2, slots=3, slots_folder=str(tmp_path / ".slots"))
    ran = Ran(launcher, ANSWER_LIKELIHOOD, scoring(inputs), tmp_path / "there")
    assert len(bytes_of(tmp_path / "there")) == 4
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")
    assert spent_here.tokens > here.tokens
    # Each process tries the model on some tokens first.
    assert 0 <= (SPENT - between).tokens - spent_here.tokens <= 30
    assert (ran.result.samples, ran.result.tokens) == (here.samples, here.tokens)
    assert f"answer_likelihood: starts in {tmp_path / 'there'}" in ran.lines
    assert ran.metadata == {"own": 1, "job ran in": "child", "job host": socket.gethostname(), "job processes": 2}
    assert {path.name for path in tmp_path.iterdir()} == {"here", "there", ".there.lock", ".slots"}
    # Nothing is started for what is there.
    again = Ran(launcher, ANSWER_LIKELIHOOD, scoring(inputs), tmp_path / "there")
    assert (again.result, again.lines, again.metadata) == (ran.result, [], {"own": 1})


def has(command, tmp_path, launcher, processes, context: Any = None):
    """What a child of a job sees: it prints it, and fails, so that the launcher tells."""
    with launcher._slots_of(processes, 0) as hold, pytest.raises(JobFailed) as failed:
        job_launcher._run_child(context, [sys.executable, "-c", command], tmp_path, hold)
    return str(failed.value).partition(": ")[2]


SHOW = "import os; print(*(os.environ.get(name) for name in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS'))); os._exit(1)"


def test_a_child_has_its_own_devices_and_threads(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    session = SimpleNamespace(get_bootstrap_env_vars=dict)
    monkeypatch.setattr(job_launcher.dg, "open_pipes_session", lambda *_: nullcontext(session))
    launcher = JobLauncher(run_in="child", slots=4, slots_folder=str(tmp_path))
    with slots_held(tmp_path, 4, 1):
        assert has(SHOW, tmp_path, launcher, 2) == "1,2 2"
    # A profile that says nothing changes nothing.
    assert has(SHOW, tmp_path, JobLauncher(run_in="child"), 1) == "None None"


@pytest.mark.slow
def test_two_processes_lose_what_one_loses_at_every_step(inputs, tmp_path):
    FINE_TUNING.run(training(inputs), tmp_path / "one")
    ran = Ran(JobLauncher(run_in="child", processes=2), FINE_TUNING, training(inputs), tmp_path / "two")
    assert ran.result["devices"] == 2
    assert len(losses(tmp_path / "two")) == 12
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@pytest.mark.slow
def test_a_failed_child_fails_the_step_with_its_own_words(inputs, tmp_path):
    launcher = JobLauncher(run_in="child")
    with pytest.raises(JobFailed, match=r"^\S+train\.parquet: no answer token within max_length 2; raise the recipe"):
        Ran(launcher, FINE_TUNING, training(inputs, max_length=2), tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "number", "status"),
    [(1, signal.SIGINT, -signal.SIGINT), (1, signal.SIGTERM, -signal.SIGTERM),
     (2, signal.SIGINT, 128 + signal.SIGINT), (2, signal.SIGTERM, 128 + signal.SIGTERM)],
)  # fmt: skip
def test_a_job_by_hand_ends_with_its_processes_when_told_to(inputs, tmp_path, processes, number, status):
    write_spec(training(inputs, epochs=10_000), tmp_path / "spec.json")
    arguments = ["fine_tuning", str(tmp_path / "spec.json"), str(tmp_path / "out"), "--processes", str(processes)]
    command = [sys.executable, "-m", "selection_platform.job", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    try:
        while "Fine-tuning" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        # Every process of the job holds the pipe.
        process.communicate(timeout=10)
    finally:
        # Otherwise what does not end would train on beside all later tests.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        (
            [],
            -9,
            "the job was killed (SIGKILL), perhaps because memory ran out; run again to continue where it stopped",
        ),
        (["Killed\n"], 137, "the job ended with exit status 137: Killed"),
        ([], 1, "the job ended with exit status 1: it printed nothing"),
        (["(worker pid=1) job failed: RuntimeError: first\n", "job failed: second\n"], 1, "RuntimeError: first"),
    ],
)
def test_what_ended_a_job(said, status, message):
    assert _message(said, status) == message


@pytest.mark.skipif(HAS_RAY, reason="ray is installed")
def test_without_ray_it_says_what_to_install(inputs, tmp_path):
    with pytest.raises(JobFailed, match=r"jobs\.run is ray, and dagster_ray is not installed; install selection-pl"):
        Ran(JobLauncher(run_in="ray"), ANSWER_LIKELIHOOD, scoring(inputs), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]


@pytest.fixture(scope="module")
def ray_cluster():
    """A cluster of two nodes, of one processor each, on this machine alone."""
    with pytest.MonkeyPatch.context() as patch:
        # Before ray is imported: otherwise it listens on the machine's address.
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        node: Any = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100 * 2**20}
        cluster = Cluster(
            initialize_head=True, head_node_args={**node, "include_dashboard": True, "dashboard_port": port}
        )
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        patch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{port}")
        yield
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="ray and dagster-ray are not installed: they are the extra `ray`")
def test_two_ray_workers_write_the_bytes_of_one_process(ray_cluster, inputs, tmp_path):
    ANSWER_LIKELIHOOD.run(scoring(inputs), tmp_path / "here")
    launcher = JobLauncher(run_in="ray", processes=2)
    ran = Ran(launcher, ANSWER_LIKELIHOOD, scoring(inputs), tmp_path / "there")
    assert len(bytes_of(tmp_path / "there")) == 4
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")
    assert f"answer_likelihood: starts in {tmp_path / 'there'}" in ran.lines
    assert (ran.metadata["job ran in"], ran.metadata["job processes"]) == ("ray", 2)
    assert {path.name for path in tmp_path.iterdir()} == {"here", "there", ".there.lock"}


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="ray and dagster-ray are not installed: they are the extra `ray`")
def test_a_lost_ray_worker_starts_again_and_the_bytes_are_the_same(ray_cluster, inputs, tmp_path):
    # Many shards, so that the worker that is killed has more to do.
    spec = scoring(inputs, samples_per_shard=1)
    ANSWER_LIKELIHOOD.run(spec, tmp_path / "here")

    killed: list[int] = []

    def kill_a_worker():
        while not list((tmp_path / "there").rglob("*.parquet")):
            time.sleep(0.02)
        workers = subprocess.run(["pgrep", "-f", "^ray::.*RayTrainWorker"], capture_output=True, text=True).stdout
        killed.append(int(workers.split()[0]))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    ran = Ran(JobLauncher(run_in="ray", processes=2), ANSWER_LIKELIHOOD, spec, tmp_path / "there")
    killer.join()
    assert killed
    # It began again.
    assert sum("answer_likelihood: starts in" in line for line in ran.lines) > 1
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="ray and dagster-ray are not installed: they are the extra `ray`")
@pytest.mark.parametrize(
    ("settings", "message"),
    [({"processes": 3}, "has 2 CPUs, and 3 workers need 3"), ({"ray_cpus": 4}, "has 2 CPUs, and 1 workers need 4")],
)
def test_a_ray_cluster_that_is_too_small_says_so_at_once(ray_cluster, inputs, tmp_path, settings, message):
    with pytest.raises(JobFailed, match=message):
        Ran(JobLauncher(run_in="ray", **settings), ANSWER_LIKELIHOOD, scoring(inputs), tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="ray and dagster-ray are not installed: they are the extra `ray`")
def test_a_failed_ray_job_fails_the_step_with_its_own_words(ray_cluster, inputs, tmp_path):
    launcher = JobLauncher(run_in="ray")
    with pytest.raises(JobFailed, match=r"^\S+train\.parquet: no answer token within max_length 2; raise the recipe"):
        Ran(launcher, FINE_TUNING, training(inputs, max_length=2), tmp_path / "out")
