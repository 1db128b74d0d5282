"""Logits of last hidden states, as the model itself computes them, with its scales and caps.

A causal language model is a decoder and a head. In some models the head is more than a matrix: Gemma-2 caps its logits,
Cohere and Granite scale them. So the model's own code runs, with a decoder that returns the given hidden states.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch.func import functional_call
from transformers import PreTrainedModel

from selection_platform.errors import PlatformError


class UnsupportedModel(PlatformError):
    """A model that the platform cannot score or train."""


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
