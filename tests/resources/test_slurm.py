"""Jobs on a pretend Slurm: submitted, taken up again, cancelled, back in the queue, failed."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from resources.slurm import SlurmFailed, SlurmJob

pytestmark = pytest.mark.slow
PRETEND = Path(__file__).with_name("pretend_slurm.py")
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun", "sacct")
FACTS = "import json, os; open(os.environ['SELECTION_PLATFORM_FACTS'], 'w').write(json.dumps({'host': 'node'}))"
SLEEPS = "import time; print('at work', flush=True); time.sleep(60)"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of a pretend Slurm, whose commands are found."""
    home, commands = tmp_path / "slurm", tmp_path / "bin"
    home.mkdir()
    commands.mkdir()
    monkeypatch.setenv("PRETEND_SLURM", str(home))
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    for name in COMMANDS:
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -SE {PRETEND} {name} "$@"\n')
        command.chmod(0o755)
    yield home
    for group in home.glob("*/group"):
        with suppress(ProcessLookupError):
            os.killpg(int(group.read_text()), signal.SIGKILL)


class Made:
    """A job with a spec, and what was told of it."""

    def __init__(self, folder: Path, code: str, seed: int = 0, **settings):
        self.said: list[str] = []
        self.identity = {"seed": seed}
        self.job = SlurmJob([sys.executable, "-c", code], folder, settings.pop("processes", 1), **settings,
                            log=self.said.append)  # fmt: skip

    def run(self):
        return self.job.run(self.identity)


def jobs(slurm):
    return {state.parent.name: state.read_text() for state in slurm.glob("*/state")}


def until(condition):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_a_job_is_submitted_and_tells_its_facts(slurm, tmp_path):
    code = f"print('a line', flush=True); {FACTS}"
    made = Made(tmp_path / "out", code, options=["--partition=gpu"], prologue="echo loaded")
    assert made.run() == {"host": "node"}
    assert made.said[0] == "Slurm job 1: submitted"
    assert {"loaded", "a line"} <= set(made.said)
    assert "--partition=gpu" in (slurm / "1" / "options").read_text().splitlines()
    # Nothing stays beside the folder.
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("out")]


def test_each_process_knows_its_number(slurm, tmp_path):
    code = (
        "import os, sys; from selection_platform.job.processes import *; share_by_slurm(); "
        f"print(process_number(), process_count(), os.environ['MASTER_ADDR'], flush=True)\nif is_first(): {FACTS}"
    )
    made = Made(tmp_path / "out", code, processes=2)
    made.run()
    assert {"0 2 localhost", "1 2 localhost"} <= set(made.said)


def left_by_a_killed_launcher(slurm, made):
    """Submit a job from another process, which is killed."""
    before = len(jobs(slurm))
    code = (
        "import sys; from pathlib import Path; from resources.slurm import SlurmJob; "
        "SlurmJob(sys.argv[3:], Path(sys.argv[1]), 1).run({'seed': int(sys.argv[2])})"
    )
    settings = [str(made.job.folder), str(made.identity["seed"])]
    launcher = subprocess.Popen([sys.executable, "-c", code, *settings, *made.job.command])
    until(lambda: list(jobs(slurm).values()) == ["RUNNING"] * (before + 1))
    launcher.kill()
    launcher.wait()


def test_whoever_comes_after_a_killed_launcher_takes_its_job_up_again(slurm, tmp_path):
    gate = tmp_path / "gate"
    code = f"import time, pathlib\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)\n{FACTS}"
    first = Made(tmp_path / "out", code)
    left_by_a_killed_launcher(slurm, first)
    threading.Timer(1, gate.touch).start()
    assert first.run() == {"host": "node"}
    assert "Slurm job 1 does this already, so it is taken up again" in first.said
    assert list(jobs(slurm)) == ["1"]


def test_a_job_of_the_folder_by_other_inputs_is_cancelled_first(slurm, tmp_path):
    left_by_a_killed_launcher(slurm, Made(tmp_path / "out", SLEEPS, seed=0))
    left_by_a_killed_launcher(slurm, Made(tmp_path / "other", SLEEPS))
    changed = Made(tmp_path / "out", FACTS, seed=1)
    assert changed.run() == {"host": "node"}
    # The job of another folder goes on.
    assert sorted(jobs(slurm).values()) == ["CANCELLED", "COMPLETED", "RUNNING"]


def test_ctrl_c_cancels_it(slurm, tmp_path):
    made = Made(tmp_path / "out", SLEEPS)

    def interrupt():
        until(lambda: "at work" in made.said)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert jobs(slurm) == {"1": "CANCELLED"}


def test_an_error_of_the_one_who_waits_cancels_nothing(slurm, tmp_path):
    made = Made(tmp_path / "out", SLEEPS)

    def full(line):
        if line == "at work":
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        replace(made.job, log=full).run(made.identity)
    assert jobs(slurm) == {"1": "RUNNING"}


def test_a_job_that_is_completing_is_not_taken_up(slurm, tmp_path):
    left_by_a_killed_launcher(slurm, Made(tmp_path / "out", SLEEPS))
    (slurm / "1" / "state").write_text("COMPLETING")
    threading.Timer(1, (slurm / "1" / "state").write_text, ("CANCELLED",)).start()
    again = Made(tmp_path / "out", SLEEPS)
    again.job = replace(again.job, command=[sys.executable, "-c", FACTS])
    assert again.run() == {"host": "node"}
    assert jobs(slurm) == {"1": "CANCELLED", "2": "COMPLETED"}


def test_what_a_job_told_while_nobody_waited_is_read_once(slurm, tmp_path):
    made = Made(tmp_path / "out", f"import time; time.sleep(2); {FACTS}")
    left_by_a_killed_launcher(slurm, made)
    until(lambda: jobs(slurm) == {"1": "COMPLETED"})
    assert made.job.left_facts() == {"host": "node"}
    assert made.job.left_facts() is None


def test_tasks_have_the_processors_that_are_asked_for(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    made = Made(tmp_path / "out", f"import os; print('has', os.environ['SRUN_CPUS_PER_TASK'], flush=True); {FACTS}")
    made.run()
    assert "has 8" in made.said


def test_the_first_of_several_errors_is_told(slurm, tmp_path):
    code = (
        "import os, time; first = os.environ['SLURM_PROCID'] == '0'; time.sleep(0 if first else 1); "
        "print('job failed:', 'the file is broken' if first else 'connection closed', flush=True); raise SystemExit(1)"
    )
    with pytest.raises(SlurmFailed, match="the file is broken"):
        Made(tmp_path / "out", code, processes=2).run()


def test_a_job_goes_back_to_the_queue_before_its_time_limit(slurm, tmp_path):
    mark = tmp_path / "began"
    code = f"import os, time\nif os.path.exists({str(mark)!r}): {FACTS}\nelse: open({str(mark)!r}, 'w'); time.sleep(60)"
    made = Made(tmp_path / "out", code)

    def time_is_nearly_up():
        until(mark.exists)
        script = subprocess.run(["pgrep", "-f", f"^bash {tmp_path / 'out.sbatch'}"], capture_output=True, text=True)
        os.kill(int(script.stdout.split()[0]), signal.SIGUSR1)

    threading.Thread(target=time_is_nearly_up, daemon=True).start()
    assert made.run() == {"host": "node"}
    assert list(jobs(slurm)) == ["1"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('job failed: the file is broken'); raise SystemExit(1)", "the file is broken"),
        (
            "print('Bus error'); raise SystemExit(7)",
            r"Slurm job 1 ended without a result \(failed\); its last line: Bus error; run again",
        ),
    ],
)
def test_a_failed_job_fails_with_its_own_words(slurm, tmp_path, code, message):
    with pytest.raises(SlurmFailed, match=message):
        Made(tmp_path / "out", code).run()


def test_a_controller_that_is_away_for_a_while_loses_nothing(slurm, tmp_path):
    made = Made(tmp_path / "out", f"import time; print('at work', flush=True); time.sleep(2); {FACTS}")

    def away():
        until(lambda: "at work" in made.said)
        (slurm / "down").touch()
        until(lambda: any("Slurm does not answer" in line for line in made.said))
        (slurm / "down").unlink()

    threading.Thread(target=away, daemon=True).start()
    assert made.run() == {"host": "node"}


def test_without_slurm_it_says_where_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmFailed, match="there is no `squeue` here; run it on a machine that has it"):
        Made(tmp_path / "out", FACTS).run()
