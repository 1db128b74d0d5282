"""The cost of a materialisation on this machine. It is recorded, and the cost ledger sums it."""

import os
import resource
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from selection_platform.job.compute import SPENT

COST = "cost"

_PROCESS = Path("/proc/self")


class Cost(NamedTuple):
    """The cost between two moments.

    Attributes:
        wall_seconds: wall time.
        cpu_seconds: CPU time of this process and the child processes that it waited for, over all cores.
        bytes_written: bytes that this process and these children wrote to files; None if they are not counted.
        tokens: tokens of forward and backward passes; see `Compute`.
        forward_flops: arithmetic of models' forward passes; see `Compute`.
        backward_flops: arithmetic of their backward passes; see `Compute`.
        gpu_seconds: wall time of the step's jobs on GPUs, times their processes; see `Compute`.
        peak_memory_bytes: peak resident memory of this process or of one child. On Linux it is since the first moment,
            if the system can reset the peak; otherwise since the process started.
    """

    wall_seconds: float
    cpu_seconds: float
    bytes_written: int | None
    tokens: int
    forward_flops: float
    backward_flops: float
    gpu_seconds: float
    peak_memory_bytes: int


class CostMeter:
    """Measures the cost from its start to the first reading, and from each reading to the next."""

    def __init__(self) -> None:
        """Start measuring."""
        self._start()

    def read(self) -> dict[str, Any]:
        """The cost since the last reading, by the names of `Cost`."""
        wall = time.monotonic() - self._wall
        written = _bytes_written()
        compute = SPENT - self._compute
        cost = Cost(
            wall_seconds=wall,
            cpu_seconds=_cpu_seconds() - self._cpu,
            bytes_written=None if written is None or self._written is None else written - self._written,
            **asdict(compute),
            peak_memory_bytes=_peak_memory_bytes(),
        )
        self._start()
        return cost._asdict()

    def _start(self) -> None:
        _forget_peak_memory()
        self._wall, self._cpu, self._written = time.monotonic(), _cpu_seconds(), _bytes_written()
        self._compute = replace(SPENT)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _bytes_written() -> int | None:
    counts = _PROCESS / "io"
    if not counts.exists():
        return None
    return int(dict(line.split(": ") for line in counts.read_text().splitlines())["wchar"])


def _peak_memory_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    status = _PROCESS / "status"
    if not status.exists():
        return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, children)
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return max(int(lines["VmHWM"].split()[0]) * 1024, children)


def _forget_peak_memory() -> None:
    # Several steps run in one process. Writing 5 resets the peak to the current memory. If a container forbids this, or
    # the system has no such file, the peak is that of the process so far.
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")
