import multiprocessing
import subprocess
import sys

import dagster as dg
import pytest
from dagster import DagsterRunStatus, job, op

from orchestration.graph import Step
from orchestration.materialize import DAGSTER_YAML, dagster_home, end_killed_runs, materialize_step, open_instance
from orchestration.run_lock import only_ui
from resources import build_resources
from selection_platform.cli.main import main
from selection_platform.errors import PlatformError

PROGRAM = """
import os, signal, sys
from pathlib import Path
import dagster as dg
from orchestration.materialize import materialize_step, open_instance
from resources import build_resources
from orchestration.graph import Step

@dg.asset(pool="gpu")
def dies():
    os.kill(os.getpid(), signal.SIGKILL)

with open_instance(Path(sys.argv[1])) as instance:
    materialize_step(Step(dies, None), [dies], build_resources(Path(sys.argv[1])), instance)
"""


@op
def work():
    pass


@job
def works():
    work()


SURVIVOR = PROGRAM.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")


@pytest.mark.slow
def test_the_run_of_a_killed_process_ends_as_failed(tmp_path):
    process = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, check=False)
    assert process.returncode == -9, process.stderr
    with open_instance(tmp_path) as instance:
        assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.STARTED]
        # The UI does not know whether a script is still at work.
        end_killed_runs(instance, of_scripts=False)
        assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.STARTED]
        end_killed_runs(instance, of_scripts=True)
        (ended,) = instance.get_runs()
        assert (ended.status, ended.tags.get("dagster/will_retry", "false")) == (DagsterRunStatus.FAILURE, "false")
    # Its place in the pool is free again: another run does not wait for it.
    subprocess.run([sys.executable, "-c", SURVIVOR, str(tmp_path)], capture_output=True, check=True, timeout=120)


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def one():
    return dg.MaterializeResult(metadata={"rows": 3})


def test_a_run_of_the_command_line_is_recorded_as_one_of_the_ui(tmp_path):
    with open_instance(tmp_path) as instance:
        assert materialize_step(Step(one, "b"), [one], build_resources(tmp_path), instance) == {"rows": 3}
        (run,) = instance.get_runs()
    assert (run.job_name, run.status, run.asset_selection) == ("__ASSET_JOB", DagsterRunStatus.SUCCESS, {one.key})
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == "selection_platform.definitions"
    assert run.remote_job_origin.repository_origin.repository_name == "__repository__"
    assert run.tags.items() >= {"selection-platform/asset": "one", "dagster/partition": "b"}.items()


@dg.asset
def fails():
    raise ValueError("no")


@pytest.mark.slow
def test_the_daemon_makes_no_failed_run_of_the_command_line_again(tmp_path):
    with open_instance(tmp_path) as instance:
        with pytest.raises(ValueError, match="no"):
            materialize_step(Step(fails, None), [fails], build_resources(tmp_path), instance)
        (run,) = instance.get_runs()
        assert run.status == DagsterRunStatus.FAILURE
        assert run.tags.get("dagster/will_retry", "false") == "false"


def test_a_launched_run_that_was_killed_ends_as_failed_and_is_to_be_made_again(tmp_path):
    with open_instance(tmp_path) as instance:
        run = instance.create_run_for_job(works, status=DagsterRunStatus.STARTED)
        end_killed_runs(instance, of_scripts=True)
        assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.STARTED]
        end_killed_runs(instance, of_scripts=False)
        (ended,) = instance.get_runs()
        assert (ended.run_id, ended.status) == (run.run_id, DagsterRunStatus.FAILURE)
        assert ended.tags["dagster/will_retry"] == "true"


def settings_seen(home):
    """What stands in the settings file, again and again, each time as a command begins."""
    return {(dagster_home(home) / "dagster.yaml").read_text() for _ in range(500)}


@pytest.mark.slow
def test_commands_that_begin_together_read_whole_settings(tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        seen = set().union(*pool.map(settings_seen, [tmp_path] * 4))
        # The end of the block would send SIGTERM, which a script's background job may ignore: it would wait for ever.
        pool.close()
        pool.join()
    assert seen == {DAGSTER_YAML.read_text()}
    assert [path.name for path in (tmp_path / "dagster").iterdir()] == ["dagster.yaml"]


def test_settings_are_written_only_where_they_differ(tmp_path):
    file = dagster_home(tmp_path) / "dagster.yaml"
    first = file.stat()
    dagster_home(tmp_path)
    assert file.stat().st_mtime_ns == first.st_mtime_ns
    file.write_text("telemetry: {enabled: true}")
    dagster_home(tmp_path)
    assert file.read_text() == DAGSTER_YAML.read_text()


def test_the_ui_is_open_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path))
    monkeypatch.setenv("SELECTION_PLATFORM_PROFILE", "demo")
    with only_ui(tmp_path / "demo"):
        assert main(["--profile", "demo", "ui"]) == 1
    assert f"Dagster is already open for {tmp_path / 'demo'}" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
def test_damaged_records_are_one_message(tmp_path, file):
    with open_instance(tmp_path) as instance:
        assert instance.get_runs() == []
    damaged = tmp_path / "dagster" / file
    for left in damaged.parent.glob(f"{damaged.name}-*"):
        left.unlink()
    damaged.write_bytes(b"not a database at all " * 100)
    found = pytest.raises(PlatformError, match=f"{tmp_path}/dagster: Dagster's records are damaged")
    with found, open_instance(tmp_path) as instance:
        instance.get_runs()
        instance.get_asset_keys()
