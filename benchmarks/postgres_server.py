"""A PostgreSQL server in a temporary folder, for benchmarks and tests. Needs Debian's package `postgresql`."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROLE = "warehouse"


class NoServer(RuntimeError):
    """PostgreSQL's programs are not installed; the message says how to bring them."""


def programs() -> Path:
    """The folder of PostgreSQL's own programs, which Debian keeps out of PATH.

    Raises:
        NoServer: there is none.
    """
    on_path = shutil.which("pg_ctl")
    folders = [Path(on_path).resolve().parent] if on_path else []
    versions = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    folders += [path.parent for path in sorted(versions, key=lambda path: float(path.parents[1].name), reverse=True)]
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    raise NoServer("no PostgreSQL server is installed: `apt-get install postgresql` brings one on Debian")


@contextmanager
def running_server(*, durable: bool = True) -> Iterator[str]:
    """Start a server that listens on a socket in its folder alone, and stop it in the end.

    Args:
        durable: whether each commit waits for the disk, as on a real server.

    Yields:
        How libpq connects to it.

    Raises:
        NoServer: PostgreSQL's programs are not installed.
    """
    bin_folder = programs()
    # The server refuses to be root.
    user = "nobody" if os.geteuid() == 0 else None
    # A socket's path has at most 107 characters, so not below a folder of pytest's.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)

        def call(program: str, *arguments: str) -> None:
            command = [str(bin_folder / program), "-D", f"{folder}/data", *arguments]
            # With output into a pipe, pg_ctl's server would hold it open.
            with (Path(folder) / f"{program}.log").open("ab") as log:
                subprocess.run(command, user=user, cwd=folder, stdout=log, stderr=log, check=True)

        call("initdb", "-U", ROLE, "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8")
        options = f"-c listen_addresses='' -k {folder} -c fsync={'on' if durable else 'off'}"
        call("pg_ctl", "start", "-w", "-l", f"{folder}/server.log", "-o", options)
        try:
            yield f"dbname=postgres host={folder} user={ROLE}"
        finally:
            call("pg_ctl", "stop", "-w", "-m", "immediate")
