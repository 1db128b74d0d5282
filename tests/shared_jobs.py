"""Jobs that several processes share, as torchrun starts them, and their deaths."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from selection_platform.job.spec import Spec, write_spec


def start(
    job: str, spec: Spec, folder: Path, processes: int, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A job at work in a folder. Its spec is written beside that."""
    file = folder.parent / "spec.json"
    write_spec(spec, file)
    arguments = [job, str(file), str(folder), "--processes", str(processes)]
    return subprocess.Popen(
        [sys.executable, "-m", "selection_platform.job", *arguments],
        env={**os.environ, **(variables or {})},
        start_new_session=True,
    )


def kill(started: subprocess.Popen[bytes], whom: Literal["one", "all"]) -> None:
    """Kill one of the job's workers, or all its processes, and wait for the end of all."""
    if whom == "one":
        os.kill(_workers(started.pid)[-1], signal.SIGKILL)
    else:
        os.killpg(started.pid, signal.SIGKILL)
    assert started.wait(timeout=60) != 0


def _workers(process: int) -> list[int]:
    """The processes that torchrun started to do the work."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [child for child in map(int, found) if b"spec.json" in Path(f"/proc/{child}/cmdline").read_bytes()]
