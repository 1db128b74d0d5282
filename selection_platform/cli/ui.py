"""Open Dagster."""

import argparse
import os
import subprocess
import sys

from selection_platform.cli.shared import Commands
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("ui", help="open Dagster on this machine")
    parser.add_argument("--port", type=_port, default=3000, help="1 to 65535 (default: 3000)")
    parser.set_defaults(command=ui)


def ui(profile: Profile, options: argparse.Namespace) -> None:
    """Open Dagster's web page, with its daemon, on this machine alone."""
    from orchestration.materialize import dagster_home, end_killed_runs, open_instance
    from orchestration.run_lock import only_ui
    from resources.plain_paths import plain_paths

    command = ["dagster", "dev", "-m", "selection_platform.definitions", "-h", "127.0.0.1", "-p", str(options.port)]
    with only_ui(home(profile)):
        with open_instance(home(profile)) as instance:
            end_killed_runs(instance, of_scripts=False)
        print(f"http://127.0.0.1:{options.port}", flush=True)
        with plain_paths() as plain:
            environment = {**os.environ, "DAGSTER_HOME": plain(dagster_home(home(profile)))}
            status = subprocess.run([sys.executable, "-m", *command], env=environment, check=False).returncode
    if status:
        raise PlatformError(f"Dagster ended with exit status {status}; what it printed above says why")


def _port(text: str) -> int:
    """A TCP port.

    Raises:
        argparse.ArgumentTypeError: the text is none.
    """
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to 65535")
    return int(text)
