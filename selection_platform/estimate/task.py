"""A job of a profile, with its arithmetic, memory and disk; and what is known of pools and models before a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from selection_platform.estimate.lengths import Counts, Extra, Lengths
from selection_platform.estimate.machines import Machine
from selection_platform.estimate.memory import BYTES
from selection_platform.estimate.shape import Shape
from selection_platform.job.compute import Compute


class Known(NamedTuple):
    """What is known before a run.

    Attributes:
        shapes: of each model.
        lengths: of a pool's conversations by a model's tokenizer.
        selected: of those that an experiment selected, in order; None if it did not yet.
        drawn: of a random draw of LESS's, by pool, model, seed and number; None if the pool is not counted.
        held_out: tokens of a pool's held-out conversations by a model's tokenizer.
        extra: what jobs add to a conversation, by model.
        evaluated: the arithmetic of an evaluation of each model, where one was counted.
    """

    shapes: Mapping[str, Shape]
    lengths: Callable[[str, str], Lengths]
    selected: Callable[[str], Lengths | None]
    drawn: Callable[[str, str, str, int], Lengths | None]
    held_out: Callable[[str, str], Counts]
    extra: Callable[[str], Extra]
    evaluated: Mapping[str, Compute]


@dataclass(frozen=True)
class Task:
    """One partition of an asset that a model computes.

    Attributes:
        stage: what people call it.
        asset: name of the asset.
        partition: key of the partition.
        model: that it is computed with.
        work: gives its arithmetic.
        training: whether it runs at the rate of training.
        dtype: number type of its products.
        memory: bytes at its peak, of a device or, for all processes, of the host.
        on_host: whether the memory is the host's on every machine.
        disk: bytes that stay.
        working: more bytes on the disk while it runs.
        shared: whether several processes share it.
        steps: of decoding, each of which reads all weights.
        host_seconds: on the CPU.
    """

    stage: str
    asset: str
    partition: str
    model: str
    work: Callable[[], Compute]
    dtype: str
    memory: int
    training: bool = False
    on_host: bool = False
    disk: float = 0
    working: float = 0
    shared: bool = True
    steps: int = 0
    host_seconds: float = 0

    @cached_property
    def compute(self) -> Compute:
        """Its arithmetic, which may take a second to work out."""
        return self.work()

    def device_seconds(self, machine: Machine, shape: Shape) -> float:
        """Seconds of one device, all processes added up."""
        device = machine.device
        rates = device.training if self.training else device.forward
        weights = BYTES[self.dtype] * shape.parameters
        waits = self.steps * (device.step + (0 if machine.is_cpu else weights / device.bandwidth))
        return (self.compute.forward_flops + self.compute.backward_flops) / rates[self.dtype] + waits

    def seconds(self, machine: Machine, shape: Shape, processes: int) -> float:
        """Seconds by the clock."""
        count = processes if self.shared and not machine.is_cpu else 1
        return self.device_seconds(machine, shape) / count + self.host_seconds
