"""Runs jobs on a Slurm cluster by its own commands, and takes up again those that a killed process left there.

This process runs where `sbatch` does, and sees the same home folder as the compute nodes. A Slurm job is known by its
name, which has a hash of the job's folder and one of its identity. So whoever comes next finds it, whatever became of
the process that submitted it, and no job is in the queue twice. See `docs/decisions/0013-slurm-by-its-commands.md`.
"""

import hashlib
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file
from selection_platform.job.run import FACTS_VARIABLE, first_error

FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0
"""Seconds between two looks at the queue: twice as many each time, until something happens."""

LATE_FILES = 60.0
"""Most seconds until a file that a compute node wrote is seen here; network file systems remember what is missing."""

UNREACHABLE = 3600.0
"""Seconds without an answer of Slurm's controller after which the step fails. The Slurm job goes on."""

STARTED = "selection-platform: the job starts"
"""What the script prints first. A log has it again after each return to the queue."""

NOTICE = 120
"""Seconds before a job's time limit at which Slurm sends a signal, and the job goes back to the queue."""

ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
}  # fmt: skip
"""States of a job that does not go on: https://slurm.schedmd.com/job_state_codes.html"""

Log = Callable[[str], None]


class SlurmFailed(PlatformError):
    """A Slurm job ended without a result, or Slurm did not take it."""


@dataclass(frozen=True)
class SlurmJob:
    """A job of ours in the queue.

    Attributes:
        command: what each of its processes runs.
        folder: the job's folder. Script, log and facts lie beside it.
        processes: how many processes share it.
        options: more options of `sbatch`.
        prologue: shell lines that run before it.
        log: told each line that it prints, and what becomes of it.
    """

    command: Sequence[str]
    folder: Path
    processes: int
    options: Sequence[str] = ()
    prologue: str = ""
    log: Log = field(default=print)

    def run(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Submit it, or take up one that is in the queue, and wait for its end.

        If this process is told to stop, the Slurm job is cancelled. If this process is killed or fails, it goes on.

        Args:
            identity: what the job's result depends on, with the content of its inputs. A Slurm job of another identity
                is not taken up.

        Returns:
            The facts that the job told about itself; see `run_job`.

        Raises:
            SlurmFailed: it ended without a result. The message is the job's own, if it printed one.
        """
        number = self._taken_up_or_submitted(self._name(identity))
        with _cancelled_if_stopped(number):
            self._wait_for(number)
        return self._facts(number)

    def left_facts(self) -> dict[str, Any] | None:
        """The facts of a job that ended while no `run` waited for it, if there are any. Its files are then removed."""
        file = self._beside("facts.json")
        if not file.exists():
            return None
        facts = json.loads(file.read_text(encoding="utf-8"))
        for suffix in ("facts.json", "slurm.log", "sbatch"):
            self._beside(suffix).unlink(missing_ok=True)
        return facts

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

    def _name(self, identity: Mapping[str, Any]) -> str:
        what = json.dumps([identity, self.processes, *self.options, self.prologue], sort_keys=True, default=str)
        return f"{self._prefix}{_short_hash(what)}"

    @property
    def _prefix(self) -> str:
        return f"selection-platform-{_short_hash(str(self.folder.resolve()))}-"

    def _taken_up_or_submitted(self, name: str) -> str:
        """The number of the Slurm job that does this job now. Jobs of the same folder by another identity are ended."""
        cancelled: set[str] = set()
        while queued := [job for job in _queue() if job.name.startswith(self._prefix)]:
            # Where a job is completing, it still writes into the folder, and ends or goes back to the queue.
            if not any(job.state == "COMPLETING" for job in queued):
                for job in queued:
                    if job.name == name and job.number not in cancelled:
                        self.log(f"Slurm job {job.number} does this already, so it is taken up again")
                        return job.number
                for job in queued:
                    if job.number not in cancelled:
                        self.log(f"Slurm job {job.number} works in this folder by other inputs, so it is cancelled")
                        _slurm("scancel", job.number)
                        cancelled.add(job.number)
            time.sleep(FIRST_WAIT)
        return self._submitted(name)

    def _submitted(self, name: str) -> str:
        for left in (self._beside("slurm.log"), self._beside("facts.json")):
            left.unlink(missing_ok=True)
        script = self._beside("sbatch")
        with whole_file(script) as temporary:
            temporary.write_text(self._script(), encoding="utf-8")
        options = [
            "--parsable",
            f"--job-name={name}",
            f"--output={self._beside('slurm.log')}",
            # A job that was preempted, or whose node failed, goes on from its folder.
            "--requeue",
            "--open-mode=append",
            f"--signal=B:USR1@{NOTICE}",
            f"--ntasks={self.processes}",
        ]
        # A cluster's name may follow the number.
        number = _slurm("sbatch", *options, *self.options, str(script)).strip().split(";")[0]
        self.log(f"Slurm job {number}: submitted")
        return number

    def _script(self) -> str:
        facts = shlex.quote(str(self._beside("facts.json")))
        return "\n".join(
            [
                "#!/bin/bash",
                "# Sent before the time limit: the job goes back to the queue, and later on from its folder.",
                """trap 'scontrol requeue "$SLURM_JOB_ID"; wait' USR1""",
                f'echo "{STARTED}"',
                "# Since 22.05, srun does not take this over from sbatch.",
                '[ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"',
                'export MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"',
                'export MASTER_PORT="$((20000 + SLURM_JOB_ID % 20000))"',
                f"export {FACTS_VARIABLE}={facts}",
                self.prologue,
                f"srun --kill-on-bad-exit=1 {shlex.join([*self.command, '--on-slurm'])} &",
                "wait $!",
                "",
            ]
        )

    def _wait_for(self, number: str) -> None:
        """Wait until a job has left the queue, and pass on what it prints."""
        state, wait, answered = "", FIRST_WAIT, time.monotonic()
        lines = _new_lines(self._beside("slurm.log"))
        while True:
            new = next(lines)
            for line in new:
                self.log(line)
            try:
                now = _state(number)
                answered = time.monotonic()
            except SlurmFailed as error:
                # The controller may be restarting.
                if time.monotonic() - answered > UNREACHABLE:
                    raise
                self.log(f"Slurm does not answer ({error}); asking again")
                now = state
            if now is None:
                break
            if now != state:
                self.log(f"Slurm job {number}: {now.lower().replace('_', ' ')}")
            wait = FIRST_WAIT if new or now != state else min(2 * wait, LONGEST_WAIT)
            state = now
            time.sleep(wait)
        for line in next(lines):
            self.log(line)

    def _facts(self, number: str) -> dict[str, Any]:
        until = time.monotonic() + (LATE_FILES if _ended_well(number) else 0)
        while (facts := self.left_facts()) is None:
            if time.monotonic() > until:
                raise SlurmFailed(self._why(number, self._beside("slurm.log")))
            time.sleep(FIRST_WAIT)
        return facts

    def _why(self, number: str, log: Path) -> str:
        """Why a job ended without a result: its own error, else how Slurm says that it ended."""
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        lines = text.rpartition(STARTED)[2].splitlines()
        if own := first_error(lines):
            return own
        last = next((f"; its last line: {line.strip()}" for line in reversed(lines) if line.strip()), "")
        end = _end(number).lower().replace("_", " ") or "no longer known to Slurm"
        return f"Slurm job {number} ended without a result ({end}){last}; run again to go on. Its log: {log}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _cancelled_if_stopped(number: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # Ctrl-C, and what Dagster makes of it. An error need not end a training of a day: the next run takes it up.
        if not isinstance(error, Exception):
            subprocess.run(["scancel", number], check=False, capture_output=True)
        raise


def _new_lines(file: Path) -> Iterator[list[str]]:
    """Yields, again and again, the whole lines that were added to a file since the last time."""
    place, rest = 0, ""
    while True:
        text = ""
        if file.exists():
            with file.open(encoding="utf-8", errors="replace") as log:
                log.seek(place)
                text = log.read()
                place = log.tell()
        *lines, rest = (rest + text).split("\n")
        yield lines


class _Queued(NamedTuple):
    """A job in the queue."""

    number: str
    state: str
    name: str


def _queue() -> list[_Queued]:
    """This user's jobs that have not ended."""
    lines = _slurm("squeue", "--me", "--noheader", "--format=%A %T %j").splitlines()
    queued = [_Queued(*line.split(" ", 2)) for line in lines if line.count(" ") >= 2]
    return [job for job in queued if job.state not in ENDED]


def _state(number: str) -> str | None:
    """The state of a job in the queue; None once it has left it."""
    try:
        state = _slurm("squeue", "--noheader", f"--jobs={number}", "--states=all", "--format=%T").strip()
    except SlurmFailed as error:
        # It ended some minutes ago.
        if "Invalid job id" in str(error):
            return None
        raise
    return None if not state or state.split("\n")[0] in ENDED else state.split("\n")[0]


def _end(number: str) -> str:
    """How a job ended, as far as Slurm still knows; empty if it does not."""
    for command in (
        ["squeue", "--noheader", f"--jobs={number}", "--states=all", "--format=%T"],
        # Where the cluster keeps accounts.
        ["sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={number}", "--format=State"],
    ):
        try:
            if said := _slurm(*command).strip():
                return said.splitlines()[0]
        except SlurmFailed:
            continue
    return ""


def _ended_well(number: str) -> bool:
    """Whether a job ended without an error, or Slurm no longer knows."""
    return _end(number) in ("COMPLETED", "")


def _slurm(*command: str) -> str:
    """What a command of Slurm prints.

    Raises:
        SlurmFailed: it failed, or is not installed.
    """
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise SlurmFailed(
            f"jobs.run is slurm, and there is no `{command[0]}` here; run it on a machine that has it"
        ) from error
    except subprocess.CalledProcessError as error:
        raise SlurmFailed(f"{command[0]}: {' '.join(error.stderr.split())}") from error
