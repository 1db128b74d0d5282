"""Logits of last hidden states, as the model itself makes them: with what it scales them by and caps them at.

A causal language model is a decoder and a head. The head is more than a matrix in some: Gemma-2 caps its logits, Cohere
and Granite scale them. Instead of knowing each, its own code is run with a decoder that gives back what it is handed.
"""

import copy
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from selection_platform.errors import PlatformError


class UnsupportedModel(PlatformError):
    """A model whose answers cannot be scored, or that cannot be trained, by what the platform does."""


def output_head(model: PreTrainedModel) -> torch.nn.Linear:
    """The matrix that makes logits of hidden states.

    Raises:
        UnsupportedModel: the model has none.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise UnsupportedModel(
            f"{type(model).__name__} has no language-model head; only causal language models can score answers"
        )
    return cast(torch.nn.Linear, head)


def logits_of(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """Logits of hidden states.

    Args:
        model: a causal language model; it stays as it is.
        hidden: places x hidden size: what the decoder gives, after its final norm.

    Returns:
        Places x vocabulary, in the model's dtype. Gradients go back to `hidden`.
    """
    decoder = model.get_decoder()
    path = next((name for name, module in model.named_modules() if module is decoder), "")
    if not path:
        raise UnsupportedModel(f"{type(model).__name__} has no decoder apart from its head; it cannot score answers")
    given = _Given(decoder, hidden[None])
    # Without the decoder's hooks, which count its arithmetic.
    return _with_part(model, path.split("."), given)(input_ids=None, use_cache=False).logits[0]


def _with_part(module: torch.nn.Module, path: list[str], part: torch.nn.Module) -> Any:
    """A module that shares everything with `module` but for the part at `path`."""
    name, *rest = path
    inner = getattr(module, name)
    shared = copy.copy(module)
    shared._modules = {**module._modules, name: _with_part(inner, rest, part) if rest else part}
    return shared


class _Output:
    """A decoder's output that has hidden states and nothing else."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, index: int) -> torch.Tensor:
        return (self.last_hidden_state,)[index]


class _Given(torch.nn.Module):
    """Stands for a decoder: always gives the same hidden states, and has the decoder's other attributes."""

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
