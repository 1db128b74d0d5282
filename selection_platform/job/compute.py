"""Counts the arithmetic of this process's models as they run, and the time on a GPU. The cost ledger reads the counts.

Counts come from shapes alone, as in PaLM's appendix B (https://arxiv.org/abs/2204.02311): two operations per weight of
a matrix and token that passes through it, plus attention's products of all pairs of positions. Only tokens whose logits
are computed pass through the output head. Causal masks are not subtracted. Norms and activations are not counted, and
neither is work on a model's results: distances, clusters, Adam's steps, LESS's products with its targets.

A backward pass is counted when it runs, through all layers, including those below the lowest trained one. If it
recomputes activations, the decoder's forward arithmetic counts once more, although torch saves each layer's last
product.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass
class Compute:
    """An amount of arithmetic, and the time that it had a GPU.

    Attributes:
        tokens: tokens given to a model, padding included, once per pass.
        forward_flops: floating-point operations of forward passes (a multiplication and an addition are two).
        backward_flops: floating-point operations of backward passes.
        gpu_seconds: wall time of jobs that had a GPU, of all their processes together. It is not the GPUs' busy time.
    """

    tokens: int = 0
    forward_flops: float = 0.0
    backward_flops: float = 0.0
    gpu_seconds: float = 0.0

    def __sub__(self, other: "Compute") -> "Compute":
        """The arithmetic since an earlier count."""
        return Compute(
            self.tokens - other.tokens,
            self.forward_flops - other.forward_flops,
            self.backward_flops - other.backward_flops,
            self.gpu_seconds - other.gpu_seconds,
        )

    def add(self, other: "Compute") -> None:
        """Add the count of another process."""
        self.tokens += other.tokens
        self.forward_flops += other.forward_flops
        self.backward_flops += other.backward_flops
        self.gpu_seconds += other.gpu_seconds


SPENT = Compute()
"""What this process spent, and those whose counts were added to it."""


@contextmanager
def gpu_time_counted() -> Iterator[None]:
    """Count the time of a job in this process into `SPENT`, if this process has a GPU."""
    started = time.monotonic()
    try:
        yield
    finally:
        # Without torch loaded, this process used no GPU. Importing torch takes seconds.
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            SPENT.gpu_seconds += time.monotonic() - started


def count_compute(model: "PreTrainedModel") -> None:
    """Count every pass of the model into `SPENT` from now on.

    Gradients that are computed without autograd are not seen here; the code that computes them adds them.
    """
    each_pair, chosen = 4 * _attention(model), _chosen(model)

    def count_decoder(decoder: "torch.nn.Module", args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        inputs = kwargs.get("input_ids", args[0] if args else None)
        if inputs is None:
            inputs = kwargs["inputs_embeds"][..., 0]
        cache = kwargs.get("past_key_values")
        # After the pass, the cache includes this pass's positions.
        positions = inputs.shape[-1] if cache is None else cache.get_seq_length()
        packed = kwargs.get("packed")
        pairs = inputs.numel() * positions if packed is None else sum(length**2 for length in packed)
        SPENT.tokens += inputs.numel()
        _count(decoder, inputs.numel(), output[0], each_pair * pairs, chosen)

    def count_head(head: "torch.nn.Module", args: tuple[Any, ...], output: Any) -> None:
        _count(head, args[0].shape[:-1].numel(), output)

    model.get_decoder().register_forward_hook(count_decoder, with_kwargs=True)
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_hook(count_head)


def cost_of_pairs(model: "PreTrainedModel") -> float:
    """How much attention adds: a row of n tokens takes the arithmetic of n + n^2 times this without attention.

    Of the pairs of tokens, those with a later one are left out: a causal kernel skips them.
    """
    weights, _ = matrix_weights(model.get_decoder(), _chosen(model))
    return _attention(model) / max(weights, 1.0)


def _attention(model: "PreTrainedModel") -> int:
    """The width of attention, of all layers together."""
    config = model.config.get_text_config()
    # With grouped queries too, each query head meets all keys. State space models have no heads.
    heads = getattr(config, "num_attention_heads", None) or 0
    return config.num_hidden_layers * heads * (getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1))


def _chosen(model: "PreTrainedModel") -> int | None:
    """How many experts a token passes through; None if the model has no experts."""
    return getattr(model.config.get_text_config(), "num_experts_per_tok", None)


def _count(
    module: "torch.nn.Module", tokens: int, output: "torch.Tensor", attention: float = 0.0, chosen: int | None = None
) -> None:
    """Count a forward pass of tokens through a module, and its backward pass if there is one.

    `attention` is the part of the forward arithmetic that involves no weights; `chosen` is as in `matrix_weights`.
    """
    weights, trained = matrix_weights(module, chosen)
    forward = 2 * tokens * weights + attention
    SPENT.forward_flops += forward
    if not output.requires_grad:
        return
    recomputed = forward if module.training and getattr(module, "gradient_checkpointing", False) else 0.0

    def count_backward(_: "torch.Tensor") -> None:
        SPENT.forward_flops += recomputed
        # Gradients of activations and of trained weights.
        SPENT.backward_flops += 2 * tokens * weights + 2 * attention + 2 * tokens * trained

    output.register_hook(count_backward)


def matrix_weights(module: "torch.nn.Module", chosen: int | None = None) -> tuple[float, float]:
    """How many weights of a module's matrices a token passes through, and how many of them are trained.

    An embedding lookup is not arithmetic. The matrices of experts are stacked in one weight, and a token passes through
    `chosen` of them.
    """
    import torch

    matrices = [
        (weight.numel() * (1.0 if weight.ndim == 2 else (chosen or 0) / len(weight)), weight.requires_grad)
        for part in module.modules()
        if not isinstance(part, torch.nn.Embedding)
        for weight in part.parameters(recurse=False)
        if weight.ndim == 2 or (weight.ndim == 3 and chosen)
    ]
    return sum(numbers for numbers, _ in matrices), sum(numbers for numbers, is_trained in matrices if is_trained)
