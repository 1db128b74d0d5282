"""How much arithmetic this process's models have done: counted as they run, and read by whoever keeps the costs.

Only shapes are counted, as in PaLM's appendix B (https://arxiv.org/abs/2204.02311): two operations for each weight of a
matrix and each token that it meets, and attention's products of all pairs of places. The output head meets only the
tokens that logits are made for. Causal masks are not taken off. Norms and activations are left out, and so is what is
done with a model's results: distances, clusters, Adam's steps, LESS's products with its targets.

A backward pass is counted when it comes, through all layers, also those below the lowest that is trained. Where
activations are recomputed for it, that is the decoder's forward arithmetic once more, of which torch saves each layer's
last product.
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
        forward_flops: of forward passes: floating-point operations (a multiplication and an addition are two).
        backward_flops: likewise of backward passes.
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
    """Count every pass of the model into `SPENT` from now on.

    A gradient that is computed beside autograd is not seen here; whoever computes it adds it.
    """
    config = model.config.get_text_config()
    # Of grouped queries too: each query's head meets all keys. State space models have none.
    heads = getattr(config, "num_attention_heads", None) or 0
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1))
    chosen = getattr(config, "num_experts_per_tok", None)

    def count_decoder(decoder: "torch.nn.Module", args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        inputs = kwargs.get("input_ids", args[0] if args else None)
        if inputs is None:
            inputs = kwargs["inputs_embeds"][..., 0]
        cache = kwargs.get("past_key_values")
        # After the pass, the cache has this pass's places too.
        places = inputs.shape[-1] if cache is None else cache.get_seq_length()
        attention = inputs.numel() * 4 * config.num_hidden_layers * places * width
        SPENT.tokens += inputs.numel()
        _count(decoder, inputs.numel(), output[0], attention, chosen)

    def count_head(head: "torch.nn.Module", args: tuple[Any, ...], output: Any) -> None:
        _count(head, args[0].shape[:-1].numel(), output)

    model.get_decoder().register_forward_hook(count_decoder, with_kwargs=True)
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_hook(count_head)


def _count(
    module: "torch.nn.Module", tokens: int, output: "torch.Tensor", attention: float = 0.0, chosen: int | None = None
) -> None:
    """Count a forward pass of tokens through a module, and its backward pass if one comes to its output.

    `attention` is the arithmetic of the forward pass that has no weights; `chosen` as in `_weights`.
    """
    weights, trained = _weights(module, chosen)
    forward = 2 * tokens * weights + attention
    SPENT.forward_flops += forward
    if not output.requires_grad:
        return
    again = forward if module.training and getattr(module, "gradient_checkpointing", False) else 0.0

    def count_backward(_: "torch.Tensor") -> None:
        SPENT.forward_flops += again
        # Gradients of activations, and of those weights that are trained.
        SPENT.backward_flops += 2 * tokens * weights + 2 * attention + 2 * tokens * trained

    output.register_hook(count_backward)


def _weights(module: "torch.nn.Module", chosen: int | None = None) -> tuple[float, float]:
    """Weights of a module's matrices that a token meets, and how many of them are trained.

    Looking up embeddings is no arithmetic. The matrices of experts lie one behind the other in one weight, and a token
    meets as many of them as are `chosen` for it.
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
