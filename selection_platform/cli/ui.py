"""The command that opens Dagster. When it ends, it ends all of Dagster's processes."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from selection_platform.cli.shared import Commands
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError

_SECONDS_TO_END, _SECONDS_TO_BE_GONE = 2.0, 1.0
"""Time for Dagster's processes to end after a signal, and after a kill. Together less than `stopping.PATIENCE`."""


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ui",
        help="open Dagster on this machine",
        epilog="Example: selection-platform ui --port 3001",
    )
    parser.add_argument("--port", type=_port, default=3000, help="1 to 65535 (default: 3000)")
    parser.set_defaults(command=ui)


def ui(profile: Profile, options: argparse.Namespace) -> None:
    """Run Dagster's web server and daemon, reachable from this machine only."""
    from orchestration.home_owner import own_home
    from orchestration.materialize import dagster_home, end_killed_runs, limit_gpu_steps, open_instance
    from orchestration.run_lock import only_ui
    from resources import build_resources
    from resources.plain_paths import plain_paths
    from selection_platform.job.slots import slots_here, threads_of_a_slot

    own_home(profile)
    with only_ui(home(profile)), _listening(options.port) as listening:
        with open_instance(home(profile)) as instance:
            end_killed_runs(instance, of_scripts=False)
            limit_gpu_steps(instance, slots_here(profile.jobs))
        with plain_paths() as plain:
            os.environ.update(threads_of_a_slot(slots_here(profile.jobs)))
            os.environ["DAGSTER_HOME"] = plain(dagster_home(home(profile)))
            report = build_resources(home(profile)).artifacts.report()
            watched = [str(report), str(profile.file)]
            command = [sys.executable, "-m", "resources.ui_server", str(listening.fileno()), *watched]
            status = _run_group(command, listening.fileno())
    raise PlatformError(f"Dagster ended with exit status {status}; see its output above")


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket that listens on a port of this machine, so that no other process gets it.

    Raises:
        PlatformError: another process has it.
    """
    with socket.socket() as listening:
        # Connections of a UI that was just closed may still exist.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()
        except OSError as error:
            raise PlatformError(f"port {port}: {error.strerror}; name another with --port") from error
        yield listening


def _run_group(command: Sequence[str], inherited: int) -> int:
    """Run a command as the leader of a process group, and end the whole group at the end.

    The leader's standard input is a pipe that closes when this process ends, also after kill -9.

    Returns:
        The exit status of the leader, if it ends on its own.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[inherited], start_new_session=True) as leader:
        try:
            return leader.wait()
        finally:
            leader.terminate()
            try:
                leader.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                pass
            finally:
                _kill_group(leader.pid)


def _kill_group(group: int) -> None:
    """Kill what is left of a process group, and wait until it is gone."""
    deadline = time.monotonic() + _SECONDS_TO_BE_GONE
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, signal.SIGKILL)
            time.sleep(0.02)


def _port(text: str) -> int:
    """A TCP port.

    Raises:
        argparse.ArgumentTypeError: the text is not a port.
    """
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; write 1 to 65535")
    return int(text)
