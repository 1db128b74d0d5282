"""The Adam step that LESS takes along a sample's gradient."""

import pytest
import torch

from selection_platform.methods.less.adam_direction import prepare_moments, update_direction


@pytest.mark.parametrize("steps", [1, 7])
def test_the_adam_direction_is_what_torch_does_next(steps: int):
    torch.manual_seed(0)
    # Spread over orders of magnitude, down to where epsilon counts.
    scale = torch.logspace(-10, 0, 50).double()
    weight = torch.nn.Parameter(torch.zeros(50, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=1.0, weight_decay=0.0)
    for _ in range(steps):
        weight.grad = torch.randn(50, dtype=torch.float64) * scale
        optimizer.step()
    state = optimizer.state[weight]
    moments = prepare_moments(
        state["exp_avg"].clone(), state["exp_avg_sq"].clone(), steps, (0.9, 0.999), 1e-8, ["adam"]
    )
    gradient = torch.randn(50, dtype=torch.float64) * scale
    before = weight.detach().clone()
    weight.grad = gradient
    optimizer.step()
    moved = before - weight.detach()
    direction = update_direction(gradient.float()[None], moments, "adam")[0].double()
    torch.testing.assert_close(direction / direction.norm(), moved / moved.norm(), rtol=1e-4, atol=1e-6)
