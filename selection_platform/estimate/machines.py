"""Machines by what they have: accelerators from a table, or the machine that this runs on."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from selection_platform.errors import PlatformError

GB = 10**9
UTILISATION = {"forward": 0.45, "training": 0.35}
"""Share of an accelerator's dense bfloat16 rate that a model of billions of parameters reaches: an assumption, within
40% or so. PaLM's training reached 46% (https://arxiv.org/abs/2204.02311, appendix B)."""

FLOAT32_SHARE = 0.06
"""Rate of float32 products as a share of bfloat16's, on an accelerator: H100 SXM 67 of 989 TFLOP/s."""

DECODING_STEP = 0.015
"""Seconds that an accelerator waits for Python in each step of `generate`, whatever the model: an assumption."""


@dataclass(frozen=True)
class Device:
    """What one device does.

    Attributes:
        name: as people call it.
        memory: bytes.
        forward: operations per second of forward passes, by dtype.
        training: the same of training steps.
        bandwidth: bytes per second that are read from its memory.
        step: seconds of a step of decoding beside reading the weights.
    """

    name: str
    memory: int
    forward: dict[str, float]
    training: dict[str, float]
    bandwidth: float
    step: float


@dataclass(frozen=True)
class Machine:
    """Some devices of one kind.

    Attributes:
        count: devices.
        device: what each is.
        here: whether it is the machine that this runs on, so that paces measured here count.
        is_cpu: whether its memory is the host's.
        notes: how its speed is known.
    """

    count: int
    device: Device
    here: bool
    is_cpu: bool
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Number, name and memory."""
        memory = "" if self.here else f" {self.device.memory // GB} GB"
        return self.device.name if self.is_cpu else f"{self.count} x {self.device.name}{memory}"


def _accelerator(name: str, memory: int, rate: float, bandwidth: float) -> Device:
    """A device by its data sheet: GB, dense bfloat16 TFLOP/s, and TB/s."""

    def rates(share: float) -> dict[str, float]:
        return {"bfloat16": rate * 1e12 * share, "float32": rate * 1e12 * FLOAT32_SHARE}

    forward, training = (rates(UTILISATION[kind]) for kind in ("forward", "training"))
    return Device(name, memory * GB, forward, training, bandwidth * 1e12, DECODING_STEP)


ACCELERATORS = {
    # https://www.nvidia.com/en-us/data-center/h100 and .../h200: 989 TFLOP/s without sparsity
    "h100": _accelerator("H100", 80, 989, 3.35),
    "h200": _accelerator("H200", 141, 989, 4.8),
    # https://www.nvidia.com/en-us/data-center/a100
    "a100": _accelerator("A100", 80, 312, 2.04),
    "a100-40": _accelerator("A100", 40, 312, 1.56),
    # NVIDIA's Ada architecture white paper: 165 TFLOP/s with sums in float32
    "4090": _accelerator("RTX 4090", 24, 165, 1.01),
}
"""The accelerators that can be named, by word."""

_BY_MEMORY = {80: "h100", 141: "h200", 40: "a100-40", 24: "4090"}
_MACHINE = re.compile(r"(?:(\d+)\s*x\s*)?(.+)", re.IGNORECASE)
_MEMORY = re.compile(r"(\d+)\s*GB", re.IGNORECASE)


def stated_machine(words: str) -> Machine:
    """The machine that someone names, such as `8 x 80 GB`, `1 x 24 GB` or `4 x A100`.

    Raises:
        PlatformError: no such machine is known.
    """
    match = _MACHINE.fullmatch(words.strip())
    count, named = int(match[1] or 1) if match else 0, match[2].strip().lower() if match else ""
    memory = _MEMORY.fullmatch(named)
    word = _BY_MEMORY.get(int(memory[1])) if memory else named.removesuffix(" gb").replace(" ", "-")
    device = ACCELERATORS.get(word or "")
    if device is None or count < 1:
        sizes = ", ".join(f"{size} GB" for size in sorted(_BY_MEMORY))
        raise PlatformError(
            f"--machine {words!r}: not known; write a number and the memory of each device ({sizes}), or its name "
            f"({', '.join(ACCELERATORS)}), such as '8 x 80 GB' or '4 x a100'"
        )
    note = (
        f"Speed: approximate, {device.name}'s data sheet at {UTILISATION['forward']:.0%} of its rate in forward passes "
        f"and {UTILISATION['training']:.0%} in training."
    )
    return Machine(count, device, here=False, is_cpu=False, notes=(note,))


def devices_here() -> tuple[int, str, int] | None:
    """Number, name and bytes of this machine's GPUs, without importing torch; None where there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    rows = [line.rsplit(",", 1) for line in found.stdout.splitlines() if "," in line]
    if found.returncode or not rows:
        return None
    # The smallest: each of several processes has one.
    name, memory = min(rows, key=lambda row: int(row[1]))
    return len(rows), name.strip(), int(memory) * 2**20


def host_memory() -> int | None:
    """Bytes that processes may have on this machine: what it has, or what its container is given; None if unknown."""
    limits: list[int] = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        limits.append(int(meminfo.read_text().split("MemTotal:")[1].split()[0]) * 1024)
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = Path(file).read_text().strip() if Path(file).exists() else ""
        if text.isdigit():
            limits.append(int(text))
    return min(limits, default=None)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))
