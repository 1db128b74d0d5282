"""Gradients of single samples from one batched backward pass, passed on layer by layer and never stored.

A sample's gradient with respect to a linear layer's weight is its output gradients times its inputs, summed over
tokens (arXiv 1510.01799). Both are available when the backward pass of a whole batch reaches the layer, so they are
multiplied there, sample by sample, reduced to a few numbers, and freed. Samples share the passes, and no sample's whole
gradient ever exists.

Samples are padded on the right without an attention mask, as in `forward_pass`: with causal attention, padding does not
affect a sample's loss, so its output gradients are zero. `check_model` verifies this. The head computes logits only for
answer tokens, a few rows at a time, and its gradient has a closed form: softmax minus one at the token.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from transformers import PreTrainedModel

from selection_platform.errors import PlatformError
from selection_platform.job.compute import SPENT
from selection_platform.models.forward_pass import last_hidden_state, pad
from selection_platform.models.head import float32_logits, logits_of

Receiver = Callable[[str, torch.Tensor, torch.Tensor], None]
"""Takes a layer's name, its inputs (samples x tokens x in) and its output gradients (samples x tokens x out)."""

# Numbers of single gradients in memory at a time. On a CPU they fit the cache, because all work on them is elementwise.
_CPU_CHUNK = 1 << 18
_GPU_CHUNK = 1 << 26


class SampleGradients:
    """Runs batches through a model and passes on the factors of single samples' gradients.

    Args:
        model: one that passes `check_model`, in evaluation mode, with no parameter that requires a gradient.
        layers: the linear layers of the decoder whose weights are differentiated, by name. Each must be used once in
            a forward pass. Biases are ignored.
        logit_rows: most rows of logits computed at once.
    """

    def __init__(self, model: PreTrainedModel, layers: Mapping[str, torch.nn.Linear], logit_rows: int) -> None:
        self.model = model
        self.layers = layers
        self.logit_rows = logit_rows

    def run(self, rows: Sequence[np.ndarray], prompt_tokens: np.ndarray, receive: Receiver) -> None:
        """Run one forward and backward pass; `receive` is called for each layer, the last layers first.

        The loss of a sample is the mean NLL (nats) of its tokens from `prompt_tokens` on.

        Args:
            rows: token ids of each sample, prompt and answer.
            prompt_tokens: number of prompt tokens of each sample, at least one and fewer than all of its tokens.
            receive: called inside the backward pass, without gradient tracking.

        Raises:
            PlatformError: a layer is not used exactly once.
        """
        used: Counter[str] = Counter()

        def take(name: str, inputs: torch.Tensor, output_gradients: torch.Tensor) -> None:
            used[name] += 1
            receive(name, inputs, output_gradients)

        hooks = [layer.register_forward_hook(partial(_watch, name, take)) for name, layer in self.layers.items()]
        tokens = pad(rows).to(self.model.device)
        try:
            with torch.enable_grad():
                hidden = last_hidden_state(self.model, tokens)
        finally:
            for hook in hooks:
                hook.remove()
        answer = _answer_tokens(rows, prompt_tokens, tokens)
        hidden.backward(_hidden_gradient(self.model, hidden.detach(), tokens, answer, self.logit_rows))
        wrong = [name for name in self.layers if used[name] != 1]
        if wrong:
            raise PlatformError(f"{wrong[0]} is used {used[wrong[0]]} times in the loss, expected once")


def _watch(
    name: str, receive: Receiver, layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
) -> None:
    """Forward hook: let `receive` be called when the backward pass reaches the layer."""
    if not output.requires_grad:
        # The graph begins here: layers before the first trained one need no backward pass.
        output.requires_grad_()
    output.register_hook(partial(_receive, name, receive, inputs[0].detach()))


def _receive(name: str, receive: Receiver, inputs: torch.Tensor, output_gradients: torch.Tensor) -> None:
    with torch.no_grad():
        receive(name, inputs, output_gradients)


def _answer_tokens(rows: Sequence[np.ndarray], prompt_tokens: np.ndarray, tokens: torch.Tensor) -> torch.Tensor:
    """Which of the padded tokens count in the loss: bool, samples x width."""
    position = torch.arange(tokens.shape[1])
    lengths = torch.tensor([len(row) for row in rows])
    starts = torch.from_numpy(np.asarray(prompt_tokens, dtype=np.int64))
    return ((position >= starts[:, None]) & (position < lengths[:, None])).to(tokens.device)


@torch.no_grad()
def _hidden_gradient(
    model: PreTrainedModel, hidden: torch.Tensor, tokens: torch.Tensor, answer: torch.Tensor, logit_rows: int
) -> torch.Tensor:
    """The gradient of each sample's mean NLL with respect to its last hidden states: samples x width x hidden size."""
    gradient = torch.zeros_like(hidden)
    row, column = answer.nonzero(as_tuple=True)
    share = 1 / answer.sum(dim=1)
    for start in range(0, len(row), logit_rows):
        # A token is predicted from the position before it.
        at = (row[start : start + logit_rows], column[start : start + logit_rows] - 1)
        with torch.enable_grad(), float32_logits(model):
            places = hidden[at].requires_grad_()
            logits = logits_of(model, places)
        error = logits.detach().float().softmax(dim=-1)
        target = tokens[at[0], at[1] + 1]
        error[torch.arange(len(target), device=target.device), target] -= 1
        (of_places,) = torch.autograd.grad(logits, places, error.to(logits.dtype))
        gradient[at] = of_places * share[at[0], None].to(hidden.dtype)
    return gradient


def single_gradients(inputs: torch.Tensor, output_gradients: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Weight gradients of single samples, a few samples at a time.

    Args:
        inputs: samples x tokens x in.
        output_gradients: samples x tokens x out.

    Yields:
        Which samples, and their gradients: samples x (out * in), float32, in the order of the weight's elements.
    """
    samples, tokens, width = inputs.shape
    SPENT.backward_flops += 2 * samples * tokens * width * output_gradients.shape[2]
    chunk = _CPU_CHUNK if inputs.device.type == "cpu" else _GPU_CHUNK
    step = max(1, chunk // (width * output_gradients.shape[2]))
    for start in range(0, samples, step):
        part = slice(start, start + step)
        gradient = torch.bmm(output_gradients[part].float().transpose(1, 2), inputs[part].float())
        yield part, gradient.flatten(1)
