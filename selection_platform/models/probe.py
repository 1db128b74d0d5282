"""Runs a model on a few tokens when it is fetched, in every way that jobs will run it, and compares the results.

There is no table of architectures: if the passes of a model agree with each other, it is accepted, and otherwise it is
refused with the reason. A model's layers repeat, so the first few are enough: for a model of 70 billion parameters, a
few gigabytes are read.
"""

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from selection_platform.errors import PlatformError
from selection_platform.models.forward_pass import check_model, forward, last_hidden_state, pad
from selection_platform.models.head import UnsupportedModel, output_head
from selection_platform.models.loading import UnreadableModel, read_config, read_model
from selection_platform.models.provenance import parameter_count

REFUSALS = (ArithmeticError, AttributeError, AssertionError, LookupError, NotImplementedError, RuntimeError, TypeError)
"""Exceptions of a model's code if it does not support a kind of pass."""

ROWS = (np.arange(1, 9), np.arange(11, 16))
"""Token ids of two rows of different length."""
CLOSE = {torch.float32: 1e-4}
"""Tolerance relative to the largest value."""
ROUNDED = 0.05
"""Of narrower types, because kernels of other shapes round differently."""
_WIDE_UP_TO = 2_000_000_000
"""Parameters of the largest model that is read whole in float32."""


def check_passes(folder: Path) -> None:
    """Check that scoring, training and evaluation see the same model.

    Raises:
        UnsupportedModel: they do not, or the model cannot do one of them.
        UnreadableModel: its weights cannot be read, or do not fit its configuration.
    """
    front = _front(read_config(folder))
    if front is not None:
        try:
            with _quiet():
                cut = read_model(folder, "float32", front)
            _check(folder, cut)
        except (*REFUSALS, ValueError):
            # Perhaps only because it was cut: some layers refer to others by number.
            gc.collect()
        else:
            return
    dtype = "float32" if parameter_count(folder) <= _WIDE_UP_TO else "bfloat16"
    try:
        _check(folder, read_model(folder, dtype))
    except (PlatformError, torch.OutOfMemoryError):
        raise
    except (*REFUSALS, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnsupportedModel(
            f"{folder}: the model cannot be run as scoring, training and evaluation do ({reason}); name a model of "
            "another architecture"
        ) from error


def _front(config: PreTrainedConfig) -> PreTrainedConfig | None:
    """The configuration of the first layers, enough to have one of each kind; None if these are all layers."""
    layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(layers, int):
        return None
    # Such as layer_types: one entry for each layer.
    lists = {
        name: value for name, value in config.to_dict().items() if isinstance(value, list) and len(value) == layers
    }
    kinds = [max(value.index(kind) for kind in value) + 1 for value in lists.values()]
    kept = max(2, *kinds, getattr(config, "first_k_dense_replace", 0) + 1)
    if kept >= layers:
        return None
    front = copy.deepcopy(config)
    for name, value in lists.items():
        setattr(front, name, value[:kept])
    front.num_hidden_layers = kept
    return front


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' list of unread weights."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


@torch.inference_mode()
def _check(folder: Path, model: PreTrainedModel) -> None:
    model.eval()
    try:
        check_model(model)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{folder}: {error}") from error
    _check_tied(folder, model)
    one, other = _before_another_end(model)
    _compare(folder, model, one, other, "a token's hidden state depends on later tokens")
    nll = [row.sum() for row in forward(model, list(ROWS), 1, 4).nll]
    alone = [forward(model, [row], 1, 100).nll[0].sum() for row in ROWS]
    _compare(folder, model, nll, alone, "a row's likelihood changes with the rows beside it")
    _compare(folder, model, _training_loss(model), sum(nll), "the loss it is trained on is not the answers' likelihood")
    _compare(folder, model, *_last_logits(model), "padding on the left, as in evaluation, changes its answers")


def _check_tied(folder: Path, model: PreTrainedModel) -> None:
    embedding: Any = model.get_input_embeddings()
    if model.config.tie_word_embeddings and output_head(model).weight is not embedding.weight:
        raise UnreadableModel(
            f"{folder}: config.json sets tie_word_embeddings, but the weights have a head that differs from the "
            "embedding; set tie_word_embeddings to false in config.json"
        )


def _before_another_end(model: PreTrainedModel) -> list[torch.Tensor]:
    """Hidden states of the same first tokens before two different endings of the same width, so that kernels match."""
    longer, shorter = map(torch.from_numpy, ROWS)
    rows = [torch.cat([longer, shorter + step])[None] for step in (0, 1)]
    return [last_hidden_state(model, row)[:, : len(longer)] for row in rows]


def _training_loss(model: PreTrainedModel) -> float:
    """The training loss, summed over the rows in nats, as `transformers.Trainer` computes it."""
    tokens = pad(ROWS)
    is_text = torch.tensor([[place < len(row) for place in range(tokens.shape[1])] for row in ROWS])
    labels = tokens.masked_fill(~is_text, -100)
    # In a mixture of experts, the load-balancing loss is separate.
    router = {"output_router_logits": False} if hasattr(model.config, "output_router_logits") else {}
    output = cast(Any, model)(
        input_ids=tokens, attention_mask=is_text.long(), labels=labels, num_items_in_batch=torch.tensor(1), **router
    )
    return float(output.loss)


def _last_logits(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits after the shorter row: padded on the left in a batch with the longer one, and alone."""
    longer, shorter = map(torch.from_numpy, ROWS)
    beside = torch.zeros(len(longer) - len(shorter), dtype=torch.long)
    tokens = torch.stack([longer, torch.cat([beside, shorter])])
    is_text = torch.stack([torch.ones_like(longer), torch.cat([beside, torch.ones_like(shorter)])])
    places = (is_text.cumsum(dim=-1) - 1).clamp(min=0)
    padded = cast(Any, model)(
        input_ids=tokens, attention_mask=is_text, position_ids=places, use_cache=False, logits_to_keep=1
    )
    return padded.logits[1, -1], cast(Any, model)(input_ids=shorter[None], use_cache=False).logits[0, -1]


def _compare(folder: Path, model: PreTrainedModel, one: Any, other: Any, fault: str) -> None:
    """Raise UnsupportedModel if two ways to compute a result differ by more than rounding."""
    one, other = (torch.as_tensor(result, dtype=torch.float64) for result in (one, other))
    tolerance = CLOSE.get(model.dtype, ROUNDED)
    # The condition is negated so that NaN counts as a difference.
    if not bool((one - other).abs().max() <= tolerance * other.abs().max()):
        raise UnsupportedModel(f"{folder}: {type(model).__name__}: {fault}; name a model of another architecture")
