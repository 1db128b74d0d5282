"""How much arithmetic this process's models have done: counted as they run, and read by whoever keeps the costs.

Only shapes are counted, as in PaLM's appendix B (https://arxiv.org/abs/2204.02311): two operations for each weight of a
matrix and each token, and attention's products of all pairs of places. Norms and activations are left out, causal masks
are not taken off, and the output head counts for every token, though some passes spare part of it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass
class Compute:
    """Arithmetic done.

    Attributes:
        tokens: given to a model, padding included, once for each pass.
        forward_flops: floating-point operations (a multiplication and an addition are two).
        backward_flops: likewise of the backward passes that these forward passes were made for.
    """

    tokens: int = 0
    forward_flops: float = 0.0
    backward_flops: float = 0.0

    def __sub__(self, other: "Compute") -> "Compute":
        """What was done since."""
        return Compute(
            self.tokens - other.tokens,
            self.forward_flops - other.forward_flops,
            self.backward_flops - other.backward_flops,
        )

    def add(self, other: "Compute") -> None:
        """Count what another process did."""
        self.tokens += other.tokens
        self.forward_flops += other.forward_flops
        self.backward_flops += other.backward_flops


SPENT = Compute()
"""By this process, and by those whose counts were added to its own."""


def count_compute(model: "PreTrainedModel") -> None:
    """Count every pass of the model into `SPENT` from now on."""
    import torch

    config = model.config.get_text_config()
    # Of grouped queries too: each query's head meets all keys.
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    head = model.get_output_embeddings()

    def count(decoder: "torch.nn.Module", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = kwargs.get("input_ids", args[0] if args else None)
        if inputs is None:
            inputs = kwargs["inputs_embeds"][..., 0]
        cache = kwargs.get("past_key_values")
        places = inputs.shape[-1] + (0 if cache is None else cache.get_seq_length())
        weights, trained = _weights(decoder, *([] if head is None else [head]))
        of_attention = 4 * config.num_hidden_layers * places * width
        tokens = inputs.numel()
        SPENT.tokens += tokens
        SPENT.forward_flops += tokens * (2 * weights + of_attention)
        if torch.is_grad_enabled() and trained:
            # Gradients of activations, and of those weights that are trained.
            SPENT.backward_flops += tokens * (2 * weights + 2 * of_attention + 2 * trained)

    model.get_decoder().register_forward_pre_hook(count, with_kwargs=True)


def _weights(*parts: "torch.nn.Module") -> tuple[int, int]:
    """Weights of the parts' matrices, and how many of them are trained. Looking up embeddings is no arithmetic."""
    import torch

    matrices = [
        weight
        for part in parts
        for module in part.modules()
        if not isinstance(module, torch.nn.Embedding)
        for weight in module.parameters(recurse=False)
        if weight.ndim == 2
    ]
    return sum(each.numel() for each in matrices), sum(each.numel() for each in matrices if each.requires_grad)
