"""Dagster's web page, daemon and code server: `python -m resources.ui_server SOCKET REPORT PROFILE`, started by `ui`.

It does what `dagster dev` does, which cannot refuse requests from other pages. This process leads a process group that
ends when its standard input is closed, which means that the process that started it has ended.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
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
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from resources import DEFINITIONS
from resources.own_page import OwnPageOnly, own_hosts
from resources.read_only_home import size_and_time

_SECONDS_BETWEEN_LOOKS = 2.0


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
                threading.Thread(target=_reload, args=(context, Path(sys.argv[3])), daemon=True).start()
                app = guarded_app(context, listening.getsockname()[1], Path(sys.argv[2]))
                # A page left open holds its WebSocket, and is not waited for.
                config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
                uvicorn.Server(config).run(sockets=[listening])
        finally:
            daemon.terminate()
            daemon.wait()


def guarded_app(context: WorkspaceProcessContext, port: int, report: Path) -> ASGIApp:
    """Dagster's web application and the report in a folder, for their own pages on a port of this machine."""

    @asynccontextmanager
    async def announced(app: ASGIApp) -> AsyncIterator[None]:
        address = f"http://127.0.0.1:{port}"
        sys.stdout.write(f"{address}\n{address}/assets/verdict  the answer\n{address}/report/  the report\n")
        sys.stdout.flush()
        yield

    app = create_app_from_workspace_process_context(context, live_data_poll_rate=2000, lifespan=announced)
    report.mkdir(parents=True, exist_ok=True)
    # Before Dagster's own route of all that it does not know.
    app.router.routes.insert(0, Mount("/report", StaticFiles(directory=report, html=True)))
    return OwnPageOnly(app, own_hosts(port))


def _reload(context: WorkspaceProcessContext, profile: Path) -> None:
    """Load the definitions again when the profile changed, as *Reload definitions* does."""
    seen = size_and_time(profile)
    while True:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        now = size_and_time(profile)
        # An editor may have it away for a moment.
        if now not in (None, seen):
            seen = now
            context.reload_code_location(DEFINITIONS)


def _end_with_starter() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def _start_daemon(workspace: Path) -> subprocess.Popen[bytes]:
    """Start Dagster's daemon; where it ends before this process, this one ends too."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "--log-level", "error", "--workspace", str(workspace)]
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def watch() -> None:
        daemon.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    return daemon


if __name__ == "__main__":
    main()
