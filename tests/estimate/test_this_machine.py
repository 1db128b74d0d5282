"""How fast this machine is: measured, and what it says of number types."""

import pytest

from selection_platform.estimate.machines import Device, Machine
from selection_platform.estimate.shape import shape_of
from selection_platform.estimate.this_machine import MOST_WEIGHTS, TOKENS, _Blocks, measured_machine, precision_hints

LLAMA3_8B = shape_of(
    {
        "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    }
)  # fmt: skip
SMALL = shape_of(
    {
        "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320,
    }
)  # fmt: skip


@pytest.mark.parametrize("shape", [SMALL, LLAMA3_8B], ids=["small", "8B"])
def test_blocks_are_small_enough_for_seconds(shape):
    blocks = _Blocks(shape)
    assert sum(weight.numel() for weight in blocks.weights) <= 1.2 * MOST_WEIGHTS
    assert blocks.run(blocks.weights).shape == (TOKENS, blocks.weights[0].shape[1])


@pytest.mark.slow
def test_this_machine_has_rates():
    machine = measured_machine(SMALL)
    assert machine.here
    assert machine.device.memory > 10**9
    for rates in (machine.device.forward, machine.device.training):
        assert set(rates) == {"float32", "bfloat16"}
        assert min(rates.values()) > 1e6


def machine(float32, bfloat16, **settings):
    rates = {"float32": float32, "bfloat16": bfloat16}
    return Machine(1, Device("CPU", 10**9, rates, rates, 1e9, 0.0), here=True, notes=(), **settings)


def test_the_faster_number_type_is_said_and_not_chosen():
    (hint,) = precision_hints(machine(1e11, 4e11, is_cpu=True), "float32")
    assert (
        "`dtype: bfloat16` would score and evaluate up to 4.0 times as fast here as float32, and train about 4" in hint
    )
    assert len(precision_hints(machine(1e11, 1e11 / 4, is_cpu=True), "bfloat16")) == 1
    assert precision_hints(machine(1e11, 1.4e11, is_cpu=True), "float32") == []
    assert len(precision_hints(machine(1e11, 4e11, is_cpu=False), "float32")) == 1
