"""What a materialisation costs this machine: recorded with it, and summed by the cost ledger."""

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
    """What was spent between two moments.

    Attributes:
        wall_seconds: by the clock.
        cpu_seconds: of this process and of the child processes that it waited for, over all cores.
        gpu_seconds: by the clock, of a step that holds a GPU; 0 where there is none. Not its busy time.
        bytes_written: by this process and those children, to files; None where the system does not count it.
        tokens: see `Compute`; likewise the next two.
        forward_flops: of models' forward passes.
        backward_flops: of their backward passes.
        peak_memory_bytes: most resident memory of this process or of one child; on Linux since the first of the two
        moments where the system can forget the time before, else since the process began.
    """

    wall_seconds: float
    cpu_seconds: float
    gpu_seconds: float
    bytes_written: int | None
    tokens: int
    forward_flops: float
    backward_flops: float
    peak_memory_bytes: int


class CostMeter:
    """Measures what is spent from its making on, and from each reading to the next."""

    def __init__(self, *, on_gpu: bool) -> None:
        """Starts measuring; `on_gpu` is whether the step may use a GPU."""
        self._on_gpu = on_gpu
        self._start()

    def read(self) -> dict[str, Any]:
        """What was spent since the last reading, by the names of `Cost`."""
        wall = time.monotonic() - self._wall
        written = _bytes_written()
        compute = SPENT - self._compute
        cost = Cost(
            wall_seconds=wall,
            cpu_seconds=_cpu_seconds() - self._cpu,
            gpu_seconds=wall if self._on_gpu and _has_gpu() else 0.0,
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


def _has_gpu() -> bool:
    # A step that loaded no torch used no GPU of this process, and importing it takes seconds.
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


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
    # 5 sets the peak to what is resident now; several steps run in one process. Where a container forbids it, or the
    # system has no such file, the peak is that of the process so far.
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")
