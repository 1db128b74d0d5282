"""Logits of last hidden states, as the model itself computes them, with its scales and caps.

A causal language model is a decoder and a head. In some models the head is more than a matrix: Gemma-2 caps its logits,
Cohere and Granite scale them. So the model's own code runs, with a decoder that returns the given hidden states.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch.func import functional_call
from transformers import PreTrainedModel

from selection_platform.errors import PlatformError


class UnsupportedModel(PlatformError):
    """A model that the platform cannot score or train."""


_NUMBERS_IN_FLOAT32 = 1 << 24
"""Numbers of a head in float32 at a time, where there is no kernel: 64 MB."""


def output_head(model: PreTrainedModel) -> torch.nn.Linear:
    """The matrix that turns hidden states into logits.

    Raises:
        UnsupportedModel: the model has none.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise UnsupportedModel(
            f"{type(model).__name__} has no language-model head; only causal language models can score answers"
        )
    return cast(torch.nn.Linear, head)


def logits_of(
    model: PreTrainedModel, hidden: torch.Tensor, weights: Mapping[str, torch.Tensor] | None = None
) -> torch.Tensor:
    """Logits of hidden states.

    Args:
        model: a causal language model; it is not changed.
        hidden: positions x hidden size: the decoder's output, after its final norm.
        weights: used in place of the model's own, by name.

    Returns:
        Positions x vocabulary, in the model's dtype. Gradients flow back to `hidden` and to the weights.
    """
    decoder = model.get_decoder()
    path = next((name for name, module in model.named_modules() if module is decoder), "")
    if not path:
        raise UnsupportedModel(f"{type(model).__name__} has no decoder apart from its head; it cannot score answers")
    given = _Given(decoder, hidden[None])
    # Without the decoder's hooks, which count its arithmetic.
    headed = _with_part(model, path.split("."), given)
    return functional_call(headed, dict(weights or {}), (), {"input_ids": None, "use_cache": False}).logits[0]


@contextmanager
def float32_logits(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, a model in bfloat16 or float16 has logits in float32, whatever its own code does to them.

    Products of a matrix are summed in float32 anyway, but then rounded: to three digits in bfloat16, as coarse as the
    differences that scores are made of. A model in float32 is left alone, and so is a head that is more than a matrix.
    """
    head = output_head(model)
    is_plain = type(head) is torch.nn.Linear and "forward" not in vars(head)
    if not is_plain or head.weight.dtype not in (torch.bfloat16, torch.float16):
        yield
        return
    # In the module's own dictionary, so that its hooks still run and other code finds it where it was.
    vars(head)["forward"] = partial(_in_float32, head)
    try:
        yield
    finally:
        del vars(head)["forward"]


def _in_float32(head: torch.nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    """What a linear layer gives, in float32: ... x out."""
    found = cast(torch.Tensor, _Float32Product.apply(hidden.flatten(0, -2), head.weight))
    if head.bias is not None:
        found = found + head.bias
    return found.unflatten(0, hidden.shape[:-1])


class _Float32Product(torch.autograd.Function):
    """Rows times a matrix, both of the same half-precision type, in float32. The gradient is the plain product's."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`rows` (n x in) times the transposed `weight` (out x in)."""
        ctx.save_for_backward(weight)
        if rows.is_cuda and torch.version.hip is None:
            return torch.mm(rows, weight.T, out_dtype=torch.float32)
        # Elsewhere there is no such kernel. Part by part, since the whole weight in float32 may take gigabytes.
        wide = rows.float()
        found = wide.new_empty(len(rows), len(weight))
        step = max(1, _NUMBERS_IN_FLOAT32 // weight.shape[1])
        for start in range(0, len(weight), step):
            found[:, start : start + step] = wide @ weight[start : start + step].float().T
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradient of the rows; the weight has none here."""
        (weight,) = ctx.saved_tensors
        return gradient.to(weight.dtype) @ weight, None


def _with_part(module: torch.nn.Module, path: list[str], part: torch.nn.Module) -> Any:
    """A module that shares everything with `module`, except the part at `path`, hooks, and a forward set on it."""
    name, *rest = path
    inner = getattr(module, name)
    # Not by copy.copy, which calls the constructor of modules that FSDP splits.
    shared = object.__new__(type(module))
    shared.__dict__.update(module.__dict__)
    shared.__dict__.pop("forward", None)
    shared._forward_pre_hooks, shared._forward_hooks = OrderedDict(), OrderedDict()
    shared._modules = {**module._modules, name: _with_part(inner, rest, part) if rest else part}
    return shared


class _Output:
    """A decoder's output with hidden states and nothing else."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, index: int) -> torch.Tensor:
        return (self.last_hidden_state,)[index]


class _Given(torch.nn.Module):
    """Replaces a decoder: it always returns the same hidden states, and has the decoder's other attributes."""

    def __init__(self, decoder: torch.nn.Module, hidden: torch.Tensor) -> None:
        super().__init__()
        # Not as a submodule: its weights are not this module's.
        object.__setattr__(self, "decoder", decoder)
        object.__setattr__(self, "hidden", hidden)

    def forward(self, *_: Any, **__: Any) -> _Output:
        """The hidden states."""
        return _Output(self.hidden)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "decoder"), name)
