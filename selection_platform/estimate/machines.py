"""Machines by what they have: accelerators from a table, or the machine that this runs on."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

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


class Gpu(NamedTuple):
    """One GPU, as nvidia-smi tells of it.

    Attributes:
        uuid: its id.
        name: as its maker calls it.
        memory: bytes; None where that is not known, as where it has the host's memory, or is a part of a GPU.
    """

    uuid: str
    name: str
    memory: int | None


def devices_here(processes: int | None = None) -> tuple[int, str, int | None] | None:
    """The GPUs that torch would use on this machine, without importing it.

    Args:
        processes: that share a job, each with a GPU; as many as there are GPUs if left out.

    Returns:
        Their number, and name and bytes of the smallest that a job gets; None where there is no GPU.
    """
    if shutil.which("nvidia-smi") is None or not _torch_has_cuda():
        return None
    query = ["nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    rows = [match for match in map(_GPU.fullmatch, found.stdout.splitlines()) if match]
    if found.returncode:
        return None
    gpus = [Gpu(row[1], row[2], int(row[3]) * 2**20 if row[3].isdigit() else None) for row in rows]
    used = _visible(gpus)
    if not used:
        return None
    smallest = min(used[:processes], key=lambda gpu: gpu.memory or 0)
    return len(used), smallest.name, smallest.memory


_GPU = re.compile(r"\s*([^,]+?)\s*,\s*(.+?)\s*,\s*([^,]*?)\s*")


def _torch_has_cuda() -> bool:
    """Whether the torch that is installed is built for GPUs of NVIDIA."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    built = Path(spec.origin).with_name("version.py")
    return not built.is_file() or re.search(r"^cuda\b.*=\s*None", built.read_text("utf-8"), re.MULTILINE) is None


def _visible(gpus: Sequence[Gpu]) -> list[Gpu]:
    """Those that CUDA shows a process, in its order: https://docs.nvidia.com/cuda/cuda-c-programming-guide/#env-vars."""
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        ordered = list(gpus)
    else:
        # CUDA counts from the fastest on. Its speed is not known here; that of the largest memory most likely is.
        ordered = sorted(gpus, key=lambda gpu: -(gpu.memory or 0))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return ordered
    seen: list[Gpu] = []
    for word in map(str.strip, named.split(",")):
        if word.startswith("MIG-"):
            found = Gpu(word, "a part of a GPU", None)
        elif word.isdecimal():
            found = next(iter(ordered[int(word) :]), None)
        else:
            found = next((gpu for gpu in ordered if word.startswith("GPU-") and gpu.uuid.startswith(word)), None)
        if found is None:
            # What stands after a wrong entry is not seen.
            break
        seen.append(found)
    return seen


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
