"""Run Python code that a model wrote, with nothing that it could reach or break.

The program runs in a child process in Linux namespaces of its own (`sandbox_child.py`): no network, every file
read-only except a small temporary folder that disappears with it, no other process visible, no environment variables
of ours, limits of wall time, CPU time, memory, processes and output. Only the standard library can be imported.
Where any of this cannot be had, nothing is run. What is not hidden: files that our own user may read.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from selection_platform.errors import PlatformError
from selection_platform.evaluation.sandbox_child import SETUP_FAILED

_CHILD = Path(__file__).with_name("sandbox_child.py")


class SandboxUnavailable(PlatformError):
    """This machine cannot isolate a child process, so generated code must not run here."""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        wall_seconds: time until the program and all its children are killed.
        cpu_seconds: processor time of one process.
        memory_bytes: address space of one process; the interpreter itself takes about 20 MB.
        output_bytes: size of what it prints, and of its temporary folder.
    """

    wall_seconds: float = 10.0
    cpu_seconds: int = 10
    memory_bytes: int = 1 << 30
    output_bytes: int = 1 << 20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Run:
    """How a program ended.

    Attributes:
        completed: it ran to its last line. Leaving early, even with `sys.exit(0)`, is not completing.
        timed_out: it was killed at the wall-time limit.
        output: what it printed, standard output and errors together, at most `Limits.output_bytes`.
    """

    completed: bool
    timed_out: bool
    output: str


def run_python(program: str, limits: Limits = DEFAULT_LIMITS) -> Run:
    """Run a program in the sandbox.

    Raises:
        SandboxUnavailable: the isolation cannot be had; the program has not been run.
    """
    # Only a program that reaches the line added below tells this number, unless it reads its own file to cheat: then
    # the answer counts as right that should be wrong, as with any checker that runs inside the program.
    nonce = secrets.token_hex(16)
    report_end, program_end = os.pipe()
    with (
        os.fdopen(report_end, "rb") as report,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryDirectory(prefix="sandbox-") as folder,
    ):
        text = f"{program}\n__import__('os').write({program_end}, b'{nonce}')\n"
        try:
            status, timed_out = _run_child(text, folder, program_end, output.fileno(), limits)
        finally:
            os.close(program_end)
        output.seek(0)
        printed = output.read(limits.output_bytes).decode("utf-8", "replace")
        if status == SETUP_FAILED:
            raise SandboxUnavailable(
                f"generated code cannot be isolated on this machine ({printed.strip()}); "
                "set `run_generated_code: never` in the profile's evaluation to leave HumanEval out"
            )
        return Run(report.read(len(nonce)) == nonce.encode(), timed_out, printed)


@lru_cache(maxsize=1)
def check_sandbox() -> None:
    """Raise SandboxUnavailable unless programs can be isolated on this machine."""
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable(
            "generated code can be isolated on Linux only; set `run_generated_code: never` in the profile's evaluation"
        )
    run = run_python("")
    if not run.completed:
        raise SandboxUnavailable(
            f"an empty program does not complete in the sandbox ({run.output.strip() or 'no output'}); "
            "set `run_generated_code: never` in the profile's evaluation"
        )


def _run_child(program: str, folder: str, report_fd: int, output_fd: int, limits: Limits) -> tuple[int, bool]:
    """The child's exit status, and whether it was killed at the wall-time limit."""
    arguments = [folder, limits.cpu_seconds, limits.memory_bytes, limits.output_bytes]
    # -P -s -S with an environment of ours alone is -I, but for the hash seed, which makes set order the same each time.
    process = subprocess.Popen(
        [sys.executable, "-P", "-s", "-S", str(_CHILD), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=output_fd,
        stderr=output_fd,
        pass_fds=(report_fd,),
        env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
    try:
        process.communicate(program.encode("utf-8", "replace"), timeout=limits.wall_seconds)
        return process.returncode, False
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL, True
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the child with its process group; all inside its process namespace die with it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
