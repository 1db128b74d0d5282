"""The GPUs that jobs would use here, by what nvidia-smi says and what torch would see."""

import subprocess
from types import SimpleNamespace

import pytest

from selection_platform.estimate import machines

LARGE, SMALL = "GPU-1a, NVIDIA H100, 81559", "GPU-2b, NVIDIA T4, 15360"
MIB = 2**20


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Sets what nvidia-smi prints, and what torch is built for."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)

    def tell(*lines, cuda="'12.8'"):
        (tmp_path / "version.py").write_text(f"__version__ = '2.9'\ncuda: Optional[str] = {cuda}\nhip = None\n")
        monkeypatch.setattr(machines, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
        monkeypatch.setattr(machines.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
        done = subprocess.CompletedProcess([], 0, stdout="".join(f"{line}\n" for line in lines))
        monkeypatch.setattr(machines.subprocess, "run", lambda *_, **__: done)

    return tell


def test_a_job_gets_the_first_gpus(told):
    told(SMALL, LARGE)
    assert machines.devices_here() == (2, "NVIDIA T4", 15360 * MIB)
    assert machines.devices_here(1) == (2, "NVIDIA H100", 81559 * MIB)
    assert machines.devices_here(4) == (2, "NVIDIA T4", 15360 * MIB)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("0", (1, "NVIDIA H100", 81559 * MIB)),
        ("1", (1, "NVIDIA T4", 15360 * MIB)),
        ("GPU-2", (1, "NVIDIA T4", 15360 * MIB)),
        (" 0 , 1", (2, "NVIDIA T4", 15360 * MIB)),
        ("0,-1,1", (1, "NVIDIA H100", 81559 * MIB)),
        ("MIG-3c", (1, "a part of a GPU", None)),
        ("7", None),
        ("-1", None),
        ("", None),
    ],
)
def test_only_those_that_cuda_shows_count(told, monkeypatch, visible, found):
    told(SMALL, LARGE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machines.devices_here() == found


def test_gpus_by_their_place_on_the_bus(told, monkeypatch):
    told(SMALL, LARGE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert machines.devices_here() == (1, "NVIDIA T4", 15360 * MIB)


def test_torch_without_cuda_uses_no_gpu(told):
    told(LARGE, cuda="None")
    assert machines.devices_here() is None


def test_memory_that_nvidia_smi_does_not_tell(told):
    told("GPU-1a, NVIDIA GB10, [N/A]")
    assert machines.devices_here() == (1, "NVIDIA GB10", None)
    told("No devices were found")
    assert machines.devices_here() is None
