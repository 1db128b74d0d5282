"""Dagster's web page, daemon and code server: `python -m resources.ui_server SOCKET`, started by the command `ui`.

It does what `dagster dev` does, which cannot refuse requests from other pages. This process leads a process group that
ends when its standard input is closed, which means that the process that started it has ended.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

import dagster as dg
import uvicorn
import yaml

# Not public: the parts of `dagster dev` and `dagster-webserver`. If they move, `ui` does not start.
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp

from resources.own_page import OwnPageOnly, own_hosts

DEFINITIONS = "selection_platform.definitions"


def main() -> None:
    """Serve on a listening socket, given by its descriptor, until a signal comes or the starting process ends."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    listening = socket(fileno=int(sys.argv[1]))
    target = ModuleTarget(DEFINITIONS, None, str(Path.cwd()), None)
    with (
        dg.DagsterInstance.get() as instance,
        ProxyServerManager(instance, target, code_server_log_level="WARNING") as code_servers,
        tempfile.TemporaryDirectory() as folder,
    ):
        workspace = Path(folder) / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": list(code_servers.get_code_server_specs())}))
        daemon = _start_daemon(workspace)
        try:
            with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)]), dg.__version__) as context:
                app = guarded_app(context, listening.getsockname()[1])
                # Do not wait for open pages, which hold their WebSockets.
                config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
                uvicorn.Server(config).run(sockets=[listening])
        finally:
            daemon.terminate()
            daemon.wait()


def guarded_app(context: WorkspaceProcessContext, port: int) -> ASGIApp:
    """Dagster's web application, restricted to its own pages on a port of this machine."""

    @asynccontextmanager
    async def announced(app: ASGIApp) -> AsyncIterator[None]:
        sys.stdout.write(f"http://127.0.0.1:{port}\n")
        sys.stdout.flush()
        yield

    app = create_app_from_workspace_process_context(context, live_data_poll_rate=2000, lifespan=announced)
    return OwnPageOnly(app, own_hosts(port))


def _end_with_starter() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def _start_daemon(workspace: Path) -> subprocess.Popen[bytes]:
    """Start Dagster's daemon. If it ends before this process, this one ends too."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "--log-level", "warning", "--workspace", str(workspace)]
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def watch() -> None:
        daemon.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    return daemon


if __name__ == "__main__":
    main()
