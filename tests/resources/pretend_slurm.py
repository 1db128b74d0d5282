"""Slurm's commands as far as the platform uses them, on one machine and without a controller.

Run as `pretend_slurm.py COMMAND ARGUMENTS`. Each job has a folder in the one that PRETEND_SLURM names, with its name,
log, process group and state. A test may put a file `down` there, and the controller does not answer.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

HOME = Path(os.environ["PRETEND_SLURM"])


def option(arguments: list[str], name: str) -> str:
    return next(each.split("=", 1)[1] for each in arguments if each.startswith(f"--{name}="))


def sbatch(arguments: list[str]) -> None:
    number = str(len(list(HOME.glob("[0-9]*"))) + 1)
    job = HOME / number
    job.mkdir()
    (job / "options").write_text("\n".join(arguments))
    for name in ("job-name", "output", "ntasks"):
        (job / name).write_text(option(arguments, name))
    (job / "script").write_text(arguments[-1])
    begin(job)
    sys.stdout.write(f"{number}\n")


def begin(job: Path) -> None:
    """Run a job's script in a group of its own, and note how it ends."""
    (job / "state").write_text("RUNNING")
    with Path((job / "output").read_text()).open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-SE", __file__, "watched", job.name], stdout=output, stderr=output, start_new_session=True
        )
    (job / "group").write_text(str(process.pid))


def watched(arguments: list[str]) -> None:
    job = HOME / arguments[0]
    environment = {"SLURM_JOB_ID": job.name, "SLURM_NTASKS": (job / "ntasks").read_text(), "SLURM_JOB_NODELIST": "here"}
    status = subprocess.call(["bash", (job / "script").read_text()], env={**os.environ, **environment})
    (job / "state").write_text("COMPLETED" if status == 0 else "FAILED")


def squeue(arguments: list[str]) -> None:
    if (HOME / "down").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    if "--me" in arguments:
        for job in sorted(HOME.glob("[0-9]*")):
            state = (job / "state").read_text()
            if state in ("RUNNING", "PENDING", "COMPLETING"):
                sys.stdout.write(f"{job.name} {state} {(job / 'job-name').read_text()}\n")
        return
    job = HOME / option(arguments, "jobs")
    if not job.exists():
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    sys.stdout.write(f"{(job / 'state').read_text()}\n")


def scancel(arguments: list[str]) -> None:
    job = HOME / arguments[0]
    (job / "state").write_text("CANCELLED")
    end(job)


def end(job: Path) -> None:
    with suppress(ProcessLookupError):
        os.killpg(int((job / "group").read_text()), signal.SIGKILL)


def scontrol(arguments: list[str]) -> None:
    if arguments[:2] == ["show", "hostnames"]:
        sys.stdout.write("localhost\n")
        return
    assert arguments[0] == "requeue"
    # Not from inside the group that it kills.
    subprocess.Popen([sys.executable, "-SE", __file__, "requeue", arguments[1]], start_new_session=True)


def requeue(arguments: list[str]) -> None:
    job = HOME / arguments[0]
    end(job)
    (job / "state").write_text("PENDING")
    time.sleep(0.3)
    begin(job)


def srun(arguments: list[str]) -> None:
    command = [each for each in arguments if not each.startswith("--kill-on-bad-exit")]
    ranks = range(int(os.environ["SLURM_NTASKS"]))
    processes = [
        subprocess.Popen(command, env={**os.environ, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)})
        for rank in ranks
    ]
    sys.exit(max(abs(process.wait()) for process in processes))


def sacct(arguments: list[str]) -> None:
    sys.exit("sacct: error: Slurm accounting storage is disabled")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
