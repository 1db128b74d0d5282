"""Finds the layers of a model that get a LoRA adapter, from its structure, before any weight is read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from selection_platform.configuration.settings import ATTENTION_PROJECTIONS, LoraSettings
from selection_platform.errors import PlatformError
from selection_platform.models.supported import skeleton

Linear = torch.nn.Linear | Conv1D
_LINEAR = (torch.nn.Linear, Conv1D)
_MOST_NAMED = 30


def lora_targets(folder: Path, lora: LoraSettings) -> list[str]:
    """Names of the linear layers that get an adapter, as peft's `target_modules` takes them.

    `auto` means the four projections of attention that most models have. In a model that lacks one of them, it means
    every linear layer inside its attention: `qkv_proj` and `o_proj` in Phi-3, `attn.c_attn` and `attn.c_proj` in GPT-2.

    Args:
        folder: folder of the model to train, which may also be an adapter of an earlier training.
        lora: settings of the adapter.

    Raises:
        PlatformError: the model has no linear layer with a name, or none in its attention; the message lists its
        layers.
        UnreadableModel: its configuration cannot be read.
    """
    model = skeleton(folder)
    layers = list(linear_layers(model))
    if lora.target_modules != "auto":
        lacking = [target for target in lora.target_modules if not _matched(target, layers)]
        if lacking:
            raise PlatformError(
                f"{folder}: no linear layer of this model is called {lacking[0]} (lora: target_modules); it has "
                f"{_listed(layers)}; name some of them, or `auto`"
            )
        return list(lora.target_modules)
    found = auto_targets(model)
    if not found:
        raise PlatformError(
            f"{folder}: this model has no linear layers in an attention (lora: target_modules: auto); it has "
            f"{_listed(layers)}; name some of them"
        )
    return found


def linear_layers(model: PreTrainedModel) -> dict[str, Linear]:
    """The layers that can have an adapter, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, _LINEAR)}


def auto_targets(model: PreTrainedModel) -> list[str]:
    """What `auto` means for a model; empty if it has no linear layers in an attention."""
    layers = linear_layers(model)
    if all(_matched(target, layers) for target in ATTENTION_PROJECTIONS):
        return list(ATTENTION_PROJECTIONS)
    inside = _inside_attention(model)
    others = [name for name in layers if name not in inside]
    return _distinct(_shortest(name, others) for name in layers if name in inside)


def _inside_attention(model: PreTrainedModel) -> set[str]:
    """Names of all modules inside a module whose class name contains "attention"."""
    attentions = [name for name, module in model.named_modules() if "attention" in type(module).__name__.lower()]
    return {f"{name}.{inner}" for name in attentions for inner, _ in model.get_submodule(name).named_modules() if inner}


def _matched(target: str, layers: Iterable[str]) -> bool:
    """Whether peft would find a layer by this name."""
    return any(name == target or name.endswith(f".{target}") for name in layers)


def _shortest(name: str, others: Sequence[str]) -> str:
    """The shortest end of a layer's name that matches no other: `attn.c_proj`, because GPT-2 also has `mlp.c_proj`."""
    parts = name.split(".")
    ends = (".".join(parts[start:]) for start in range(len(parts) - 1, 0, -1))
    return next((end for end in ends if not _matched(end, others)), name)


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _listed(layers: Sequence[str]) -> str:
    """The layers by the ends of their names, without the numbers of blocks and experts."""
    ends = _distinct(".".join(part for part in name.split(".")[-2:] if not part.isdigit()) for name in layers)
    more = f" and {len(ends) - _MOST_NAMED} more" if len(ends) > _MOST_NAMED else ""
    return ", ".join(ends[:_MOST_NAMED]) + more
