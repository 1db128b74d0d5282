"""The training loss, without a matrix of tokens x vocabulary.

transformers computes the logits of all tokens at once: 2.5 billion numbers for four rows of 4,096 tokens and Qwen2's
vocabulary, and several copies of them. Here the decoder runs without its head, and logits are made only for the tokens
that are trained on, a part of them at a time. The gradients with respect to the head's inputs and weights are computed
with the logits, as Liger's fused loss does (arXiv 2410.10989), so no logits are kept or computed again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any, cast

import torch
from peft import PeftModel
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from selection_platform.models.head import logits_of, output_head
from selection_platform.training.batches import IGNORED
from selection_platform.training.sharding import averaged, whole
from selection_platform.training.sizes import LOGITS


def without_adapter(model: PreTrainedModel) -> PreTrainedModel:
    """The model that an adapter was added to, and of others itself."""
    return cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model


def has_own_loss(model: PreTrainedModel) -> bool:
    """Whether the model is a mixture of experts whose configuration asks for the load-balancing loss."""
    return getattr(model.config.get_text_config(), "output_router_logits", False)


@contextmanager
def loss_in_parts(model: PreTrainedModel) -> Iterator[bool]:
    """Let the model's forward pass return this module's loss, until the block ends.

    A model that has its own loss keeps its forward pass, which adds that.

    Yields:
        Whether the model now returns this module's loss.
    """
    plain = without_adapter(model)
    if has_own_loss(plain):
        yield False
        return
    plain.forward = MethodType(_forward, plain)
    try:
        yield True
    finally:
        del plain.forward


def _forward(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    num_items_in_batch: Any,
    packed: Sequence[int] | None = None,
    position_ids: torch.Tensor | None = None,
    **_: Any,
) -> dict[str, torch.Tensor]:
    """The forward pass: the NLL of the labels in nats, summed, divided by the number of targets in the global batch.

    Args:
        model: the model.
        input_ids: rows x tokens.
        labels: rows x tokens; `IGNORED` where a token is not trained on.
        num_items_in_batch: the divisor, by Trainer's name.
        packed: tokens of each row, if several lie end to end in one.
        position_ids: of packed rows.
    """
    rows = {} if packed is None else {"packed": packed, "position_ids": position_ids}
    hidden = model.get_decoder()(input_ids=input_ids, use_cache=False, **rows).last_hidden_state
    row, column = _before_targets(labels)
    names, weights = _head_weights(model)
    nll = _Nll.apply(model, hidden[row, column], labels[row, column + 1], names, *weights)
    return {"loss": cast(torch.Tensor, nll) / num_items_in_batch}


def _before_targets(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each position from which a target is predicted: the one before it."""
    row, column = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    return row, column


def _head_weights(model: PreTrainedModel) -> tuple[tuple[str, ...], tuple[torch.Tensor, ...]]:
    """The head's weights, and their names in the model."""
    head = output_head(model)
    path = next(name for name, module in model.named_modules() if module is head)
    names, weights = zip(*head.named_parameters(prefix=path), strict=True)
    return names, weights


class _Nll(torch.autograd.Function):
    """Sum of NLL over positions, in nats, with its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        model: PreTrainedModel,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        names: tuple[str, ...],
        *weights: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the sum and, in the same pass, the gradients.

        Args:
            ctx: keeps the gradients.
            model: a causal language model.
            hidden: positions x hidden size.
            targets: the token that follows each position.
            names: names of `weights` in the model.
            weights: the head's.
        """
        in_products = [_as_in_products(weight) for weight in weights]
        total = torch.zeros((), dtype=_at_least_float32(hidden), device=hidden.device)
        gradients = [
            torch.zeros(each.shape, dtype=dtype, device=each.device) if need else None
            for each, dtype, need in zip(
                (hidden, *weights), (hidden.dtype, *map(_at_least_float32, weights)), _needed(ctx), strict=True
            )
        ]
        rows = max(1, LOGITS // model.config.get_text_config().vocab_size)
        for start in range(0, len(targets), rows):
            part = slice(start, start + rows)
            # Apart from the weights' sums, no gradient of one part lives on while the next is computed.
            parts = [sums if number or sums is None else sums[part] for number, sums in enumerate(gradients)]
            total += _add_part(model, hidden[part], targets[part], names, in_products, parts)
        ctx.gradients = [
            sums if sums is None else averaged(sums, each).to(each.dtype)
            for sums, each in zip(gradients, (hidden, *weights), strict=True)
        ]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *of_sum: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients, times that of the sum."""
        of_hidden, *of_weights = (None if gradient is None else gradient.mul_(of_sum[0]) for gradient in ctx.gradients)
        del ctx.gradients
        return None, of_hidden, None, None, *of_weights


def _needed(ctx: Any) -> list[bool]:
    """Whether the hidden states, and each weight, need a gradient."""
    _, of_hidden, _, _, *of_weights = ctx.needs_input_grad
    return [of_hidden, *of_weights]


def _add_part(
    model: PreTrainedModel,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    names: tuple[str, ...],
    weights: list[torch.Tensor],
    gradients: list[torch.Tensor | None],
) -> torch.Tensor:
    """The NLL of some positions. Its gradients are added to `gradients`: of the hidden states, and of each weight."""
    inputs = [
        each.detach().requires_grad_(sums is not None) for each, sums in zip((hidden, *weights), gradients, strict=True)
    ]
    with torch.enable_grad():
        logits = logits_of(model, inputs[0], dict(zip(names, inputs[1:], strict=True)))
    # In place, because each copy of the logits counts.
    error = logits.detach().to(_at_least_float32(logits), copy=True)
    normaliser = error.logsumexp(dim=-1, keepdim=True)
    nll = (normaliser - error.gather(1, targets[:, None])).sum()
    error.sub_(normaliser).exp_()
    error[torch.arange(len(targets), device=targets.device), targets] -= 1
    wanted = [each for each in inputs if each.requires_grad]
    found = torch.autograd.grad(logits, wanted, error.to(logits.dtype))
    for sums, gradient in zip((sums for sums in gradients if sums is not None), found, strict=True):
        sums.add_(gradient)
    return nll


def _as_in_products(weight: torch.Tensor) -> torch.Tensor:
    """A whole weight as autocast gives it to a product, cast once for all parts."""
    device = weight.device.type
    return whole(weight, torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None)


def _at_least_float32(tensor: torch.Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
