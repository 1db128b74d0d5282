"""The direction in which Adam would move the weights for a sample: what LESS compares (arXiv 2402.04333).

There are two forms. "adam" is what `torch.optim.AdamW` does next, after the snapshot's t steps, without weight decay:
m' = b1 m + (1 - b1) g and v' = b2 v + (1 - b2) g^2, each divided by 1 - b^(t + 1), and then m' / (sqrt(v') + eps).
"published" is what LESS's official code computes: m' / sqrt(v' + 1e-8), without the divisions.

Only the direction counts, so both are computed up to a positive factor: m' / (1 - b1) = M + g and v' / (1 - b2) = V +
g^2 with M and V computed once, which leaves five passes over a gradient.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

import torch

Direction = Literal["adam", "published"]
DIRECTIONS: tuple[str, ...] = get_args(Direction)

_PUBLISHED_EPS = 1e-8


@dataclass(frozen=True)
class Moments:
    """Adam's state of one weight, prepared for `update_direction`.

    Attributes:
        first: b1 m / (1 - b1), flat, float32.
        second: by direction b2 v / (1 - b2), and what the direction adds under the root; flat, float32.
        eps: what "adam" adds outside the root.
    """

    first: torch.Tensor
    second: dict[Direction, torch.Tensor]
    eps: float


def prepare_moments(
    first: torch.Tensor,
    second: torch.Tensor,
    steps: int,
    betas: tuple[float, float],
    eps: float,
    directions: Collection[Direction],
) -> Moments:
    """Prepare a weight's moments for `update_direction`.

    Args:
        first: Adam's `exp_avg`.
        second: Adam's `exp_avg_sq`.
        steps: number of steps that Adam has taken.
        betas: Adam's decay rates of first and second moment.
        eps: Adam's epsilon.
        directions: the directions that will be needed.
    """
    beta1, beta2 = betas
    scaled = second.float().flatten() * (beta2 / (1 - beta2))
    under_root = {"adam": 0.0, "published": _PUBLISHED_EPS / (1 - beta2)}
    return Moments(
        first=first.float().flatten() * (beta1 / (1 - beta1)),
        second={name: scaled + under_root[name] for name in directions},
        eps=eps * math.sqrt((1 - beta2 ** (steps + 1)) / (1 - beta2)),
    )


def update_direction(gradients: torch.Tensor, moments: Moments, direction: Direction) -> torch.Tensor:
    """The update that Adam would subtract from the weight, times a positive factor that is the same for all gradients.

    Args:
        gradients: samples x elements of the weight, float32.
        moments: the moments of this weight.
        direction: "adam" or "published".

    Returns:
        Samples x elements of the weight, float32.
    """
    root = torch.addcmul(moments.second[direction], gradients, gradients).sqrt_()
    if direction == "adam":
        root.add_(moments.eps)
    return torch.add(moments.first, gradients).div_(root)
