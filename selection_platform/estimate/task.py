"""A job of a profile, with its arithmetic, memory and disk; and what is known of pools and models before a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from selection_platform.configuration.settings import FineTuningSettings
from selection_platform.estimate.arithmetic import Work
from selection_platform.estimate.lengths import Counts, Extra, Lengths
from selection_platform.estimate.machines import Machine
from selection_platform.estimate.shape import Shape


class Known(NamedTuple):
    """What is known before a run.

    Attributes:
        shapes: of each model.
        encoder: the shape of the sentence encoder; None if no arm uses it, and where it is not known.
        lengths: of a pool's conversations by a model's tokenizer, or by their characters where no model is named.
        selected: of those that an experiment selected, in order; None if it did not yet.
        drawn: of a random draw of LESS's, by pool, model, seed and number; None if the pool is not counted.
        held_out: tokens of a pool's held-out conversations by a model's tokenizer.
        extra: what jobs add to a conversation, by model.
        evaluated: the arithmetic of an evaluation of each model, where one was counted.
    """

    shapes: Mapping[str, Shape]
    encoder: Shape | None
    lengths: Callable[[str, str | None], Lengths]
    selected: Callable[[str], Lengths | None]
    drawn: Callable[[str, str | None, str, int], Lengths | None]
    held_out: Callable[[str, str], Counts]
    extra: Callable[[str], Extra]
    evaluated: Mapping[str, Work]


@dataclass(frozen=True)
class Task:
    """One partition of an asset that a model computes.

    Attributes:
        stage: what people call it.
        asset: name of the asset.
        partition: key of the partition.
        model: that it is computed with; None for the sentence encoder.
        work: gives its arithmetic.
        training: whether it runs at the rate of training.
        dtype: number type of its products.
        memory: bytes at its peak, of a device or, for all processes, of the host.
        on_host: whether the memory is the host's on every machine.
        disk: bytes that stay.
        working: more bytes on the disk while it runs.
        shared: whether several processes share it.
        recipe: of its fine-tuning; None if it has no fine-tuning.
        steps: of decoding, each of which reads all weights.
        weights: bytes of these.
        host_seconds: on the CPU.
    """

    stage: str
    asset: str
    partition: str
    model: str | None
    work: Callable[[], Work]
    dtype: str
    memory: int
    training: bool = False
    on_host: bool = False
    disk: float = 0
    working: float = 0
    shared: bool = True
    recipe: FineTuningSettings | None = None
    steps: int = 0
    weights: float = 0
    host_seconds: float = 0

    @cached_property
    def compute(self) -> Work:
        """Its arithmetic, which may take a second to work out."""
        return self.work()

    def device_seconds(self, machine: Machine) -> float:
        """Seconds of one device, all processes added up."""
        device = machine.device
        rates = device.training if self.training else device.forward
        waits = self.steps * (device.step + self.weights / device.bandwidth)
        # An accelerator gives float32 sums of bfloat16 products at no cost. A CPU has to multiply in float32.
        logits = self.compute.float32_flops if machine.is_cpu else 0.0
        rest = self.compute.forward_flops + self.compute.backward_flops - logits
        return rest / rates[self.dtype] + logits / rates["float32"] + waits

    def seconds(self, machine: Machine, processes: int) -> float:
        """Seconds by the clock."""
        count = processes if self.shared and not machine.is_cpu else 1
        return self.device_seconds(machine) / count + self.host_seconds
