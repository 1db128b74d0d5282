"""What the checks of `gpu_first_run` share: where they run, the lines that they give, and a model of 7B's size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config

from benchmarks.k_center import measure
from benchmarks.shared_pass import matmul_rate
from selection_platform.estimate.known_sizes import CONFIGURATIONS
from selection_platform.estimate.memory import Place
from selection_platform.estimate.shape import Shape, shape_of

QWEN2_7B = CONFIGURATIONS["Qwen/Qwen2-7B"]
TOY: dict[str, Any] = QWEN2_7B | {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
GPU = Place(is_cpu=False, training="bfloat16")


@dataclass(frozen=True)
class Line:
    """One line of the output.

    Attributes:
        name: what was checked.
        expected: what should have come out.
        measured: what did.
        is_good: whether it did; None where nothing is expected here.
    """

    name: str
    expected: str
    measured: str
    is_good: bool | None = None

    def __str__(self) -> str:
        """As it is printed."""
        verdict = "not judged" if self.is_good is None else "ok" if self.is_good else "LOOK"
        return f"{self.name} | {self.expected} | {self.measured} | {verdict}"


@dataclass
class Trial:
    """Where the checks run.

    Attributes:
        tiny: toy sizes on a CPU, where rates and peaks of memory are not judged.
        folder: for what they write.
    """

    tiny: bool
    folder: Path

    @property
    def device(self) -> str:
        """The GPU, or the CPU that stands for it."""
        return "cpu" if self.tiny else "cuda"

    @cached_property
    def ceiling(self) -> float:
        """Measured bfloat16 FLOP/s of a large matrix product, to which other rates are compared."""
        return matmul_rate(self.device, 256 if self.tiny else 8192)

    def on_gpu(self, is_good: bool) -> bool | None:
        """A verdict on what only a GPU can show."""
        return None if self.tiny else is_good

    def shape(self) -> Shape:
        """The sizes of `model`, from which memory is estimated."""
        return shape_of(Qwen2Config(**(TOY if self.tiny else QWEN2_7B)).to_dict())

    def model(self, dtype: torch.dtype = torch.bfloat16, **changes: Any) -> PreTrainedModel:
        """Random weights in Qwen2-7B's shape, made on the device; a toy where all is tiny."""
        config = Qwen2Config(**((TOY if self.tiny else QWEN2_7B) | changes))
        torch.manual_seed(0)
        with torch.device(self.device):
            made = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
        # Where peft and Trainer look for the configuration; without it they would ask the hub.
        folder = self.folder / "config"
        config.save_pretrained(folder)
        made.name_or_path = made.config._name_or_path = str(folder)
        return made.eval()

    def peak(self, name: str, estimate: float, work: Callable[[], object]) -> Iterator[Line]:
        """Run some work, and compare its peak of memory on the GPU with `estimate` (bytes)."""
        _, cost = measure(work)
        measured = "-" if self.tiny else f"{cost.peak_bytes / 1e9:.1f} GB"
        is_near = abs(cost.peak_bytes / estimate - 1) <= 0.1
        yield Line(f"{name}: peak", f"{estimate / 1e9:.1f} GB within 10%", measured, self.on_gpu(is_near))
