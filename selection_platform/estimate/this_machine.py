"""How fast the machine that this runs on multiplies: measured in seconds, in float32 and bfloat16."""

import time
from collections.abc import Callable
from typing import Any

import torch

from selection_platform.estimate.machines import (
    ACCELERATORS,
    DECODING_STEP,
    UTILISATION,
    Device,
    Machine,
    cores,
    devices_here,
    host_memory,
)
from selection_platform.estimate.shape import Shape

TOKENS = 512
"""Of a pass that is timed. With fewer, a training step mostly casts weights, as no step of a job does."""
MOST_WEIGHTS = 15_000_000
"""Numbers in the blocks that are timed: enough that they leave the caches, few enough for seconds."""
TIMED = 0.1
"""Seconds that each measurement repeats for."""
LAYER = 0.02 / 30
"""Seconds that a step of decoding takes for each layer in Python, whatever its width: 30 took 0.026 on a busy core."""
SLOW = 0.5
"""Share of float32's rate below which bfloat16 is not timed on whole blocks."""
WORTH = 1.5
"""How much faster bfloat16 must be before it is worth naming in a profile."""


def measured_machine(shape: Shape) -> Machine:
    """This machine, with the rates that blocks of a model's shape reach on it.

    Args:
        shape: of the model that most work is done with.
    """
    found = devices_here()
    if found is not None and torch.cuda.is_available():
        return _accelerated(*found)
    forward, training = _rates(shape)
    bandwidth = _bandwidth()
    device = Device(
        f"CPU with {cores()} cores", host_memory() or 0, forward, training, bandwidth, step=LAYER * shape.layers
    )
    return Machine(1, device, here=True, is_cpu=True, notes=(_rates_in_words(forward, training),))


def unmeasured_machine() -> Machine:
    """This machine for a profile without models, whose steps no model computes."""
    rates = {"float32": 1.0, "bfloat16": 1.0}
    device = Device(f"CPU with {cores()} cores", host_memory() or 0, rates, rates, bandwidth=1.0, step=0.0)
    return Machine(1, device, here=True, is_cpu=True, notes=())


def _accelerated(count: int, name: str, memory: int | None) -> Machine:
    """GPUs, by a matrix product and the usual share of it."""
    rates = {dtype: _product(getattr(torch, dtype), "cuda", 8192) for dtype in ("float32", "bfloat16")}
    known = next((device for word, device in ACCELERATORS.items() if word in name.lower().replace(" ", "-")), None)
    shares = [{dtype: rate * UTILISATION[kind] for dtype, rate in rates.items()} for kind in ("forward", "training")]
    size = torch.cuda.get_device_properties(0).total_memory if memory is None else memory
    device = Device(name, size, *shares, bandwidth=known.bandwidth if known else 1e12, step=DECODING_STEP)
    note = (
        f"Speed: approximate, {UTILISATION['forward']:.0%} and {UTILISATION['training']:.0%} of a measured matrix "
        f"product of {rates['bfloat16'] / 1e12:,.0f} TFLOP/s in bfloat16."
    )
    return Machine(count, device, here=True, is_cpu=False, notes=(note,))


def _rates_in_words(forward: dict[str, float], training: dict[str, float]) -> str:
    def of(rates: dict[str, float]) -> str:
        return " and ".join(f"{rate / 1e9:,.0f} in {dtype}" for dtype, rate in rates.items())

    return f"Speed: approximate, measured just now, in GFLOP/s: scoring {of(forward)}, training {of(training)}."


def is_slow_at_bfloat16() -> bool:
    """Whether this machine multiplies in bfloat16 much slower than in float32, as many CPUs do; in about a second."""
    return not torch.cuda.is_available() and _cpu_share() < SLOW


def _cpu_share() -> float:
    """The rate of bfloat16's products on this machine's CPU, as a share of float32's."""
    return _product(torch.bfloat16, "cpu", 128) / _product(torch.float32, "cpu", 128)


def precision_hints(machine: Machine, dtype: str) -> list[str]:
    """Which number type is much faster here than the one that a profile names; precision is never chosen for it."""
    other = {"float32": "bfloat16", "bfloat16": "float32"}[dtype]
    scoring, training = (rates[other] / rates[dtype] for rates in (machine.device.forward, machine.device.training))
    if max(scoring, training) < WORTH:
        return []
    return [
        f"`dtype: {other}` would score and evaluate up to {scoring:.1f} times as fast here as {dtype}, and train about "
        f"{training:.1f} times as fast. It makes scores, checkpoints and results due again."
    ]


def _rates(shape: Shape) -> tuple[dict[str, float], dict[str, float]]:
    """Operations per second of a forward pass and of a training step of some blocks, by number type."""
    forward: dict[str, float] = {}
    training: dict[str, float] = {}
    share = _cpu_share()
    blocks = _Blocks(shape)
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        if share < SLOW and dtype is torch.bfloat16:
            # Whole blocks would take seconds; matrices tell enough.
            forward[name], training[name] = (rates["float32"] * share for rates in (forward, training))
            continue
        cast = [weight.detach().to(dtype) for weight in blocks.weights]
        with torch.inference_mode():
            forward[name] = blocks.flops / _seconds(lambda cast=cast: blocks.run(cast))

        def step(dtype: torch.dtype = dtype) -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
                loss = blocks.run(blocks.weights).float().square().mean()
            torch.autograd.grad(loss, blocks.weights)

        training[name] = 3 * blocks.flops / _seconds(step)
    return forward, training


class _Blocks:
    """The matrices of a few blocks, and a pass of tokens through them.

    Attributes:
        weights: seven matrices of each block.
        flops: operations of a pass.
    """

    def __init__(self, shape: Shape) -> None:
        hidden, attention, keys, inner = _narrowed(shape)
        sizes = [
            (attention, hidden), (keys, hidden), (keys, hidden), (hidden, attention),
            (inner, hidden), (inner, hidden), (hidden, inner),
        ]  # fmt: skip
        each = sum(rows * columns for rows, columns in sizes)
        count = max(1, min(shape.layers, MOST_WEIGHTS // each))
        generator = torch.Generator().manual_seed(0)
        self.weights = [
            torch.randn(size, generator=generator).mul_(size[1] ** -0.5).requires_grad_()
            for _ in range(count)
            for size in sizes
        ]
        self._heads = max(1, attention // max(1, min(64, keys)))
        self._tokens = torch.randn(TOKENS, hidden, generator=generator)
        self.flops = 2.0 * TOKENS * each * count + 4.0 * count * attention * TOKENS**2

    def run(self, weights: list[torch.Tensor]) -> torch.Tensor:
        from torch.nn import functional as f

        stream = self._tokens.to(weights[0].dtype)
        for start in range(0, len(weights), 7):
            q, k, v, o, gate, up, down = weights[start : start + 7]
            inputs = f.rms_norm(stream, stream.shape[-1:])
            groups = q.shape[0] // k.shape[0]
            query, key, value = (f.linear(inputs, part) for part in (q, k, v))
            heads = (query, key.repeat(1, groups), value.repeat(1, groups))
            query, key, value = (part.view(TOKENS, self._heads, -1).transpose(0, 1)[None] for part in heads)
            mixed = (
                f.scaled_dot_product_attention(query, key, value, is_causal=True)[0].transpose(0, 1).reshape(TOKENS, -1)
            )
            stream = stream + f.linear(mixed, o)
            inputs = f.rms_norm(stream, stream.shape[-1:])
            stream = stream + f.linear(f.silu(f.linear(inputs, gate)) * f.linear(inputs, up), down)
        return stream


def _narrowed(shape: Shape) -> tuple[int, int, int, int]:
    """Widths of a block: hidden, queries, keys, inner. A block that would take seconds is narrower in all of them."""
    weights = shape.passed / shape.layers
    scale = min(1.0, (MOST_WEIGHTS / weights) ** 0.5)
    if scale == 1.0:
        return shape.hidden, shape.attention, shape.keys, shape.intermediate
    wide = (shape.hidden, shape.keys, shape.intermediate)
    hidden, keys, inner = (max(64, int(width * scale) // 64 * 64) for width in wide)
    return hidden, keys * (shape.attention // shape.keys), keys, inner


def _product(dtype: torch.dtype, device: str, size: int) -> float:
    """Operations per second of a square matrix product."""
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    wait: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None

    def multiply() -> None:
        torch.mm(left, right)
        wait()

    return 2.0 * size**3 / _seconds(multiply)


def _bandwidth() -> float:
    """Bytes per second that are read from memory."""
    numbers = torch.ones(16_000_000)
    return 4.0 * len(numbers) / _seconds(numbers.sum)


def _seconds(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of some repetitions, after a first one that warms up."""
    work()
    fastest, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < TIMED:
        before = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - before)
    return fastest
