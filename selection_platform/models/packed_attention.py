"""Attention over rows that lie end to end in one, each of which sees only itself: nothing is padded.

It is registered with transformers under a name of its own (`AttentionInterface`), and no mask is made. Each row is
attended to by torch's causal kernel. The rows' lengths reach it as the argument `packed` of the decoder, which models
pass on to their attention. `why_not_packed` finds models that do something else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from selection_platform.models.probe import CLOSE, REFUSALS, ROUNDED, ROWS

_NAME = "packed_rows"
_UNKNOWN = ("softcap", "s_aux", "position_bias")
"""What some models add to their attention, by transformers' names for it."""
_BY_LONGEST = {"longrope", "dynamic"}
"""Rotary positions whose frequencies transformers takes by the longest row of a pass."""


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model attend to packed rows until the block ends.

    Raises:
        NotImplementedError: its attention cannot be replaced.
    """
    if not model._can_set_attn_implementation():
        raise NotImplementedError("its attention is code of its own")
    before = model.config._attn_implementation or "eager"
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def why_not_packed(model: PreTrainedModel) -> str | None:
    """Why the model cannot be trained on packed rows; None if it can. It may run on a dozen tokens.

    Its hidden states must be those of each row alone, and no number may pass from one row into the next: there, layers
    that look back without attention, as convolutions do, would show.
    """
    if _rope_kinds(model) & _BY_LONGEST:
        return "how it sees places depends on the longest row beside"
    was_training = model.training
    model.eval()
    try:
        return _difference(model)
    except REFUSALS as error:
        return " ".join(str(error).split())
    finally:
        model.train(was_training)


def _rope_kinds(model: PreTrainedModel) -> set[Any]:
    """The kinds of rotary positions that the model has; some have one for each kind of layer."""
    given = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    return {part.get("rope_type") for part in (given, *given.values()) if isinstance(part, dict)}


@torch.no_grad()
def _difference(model: PreTrainedModel) -> str | None:
    rows = [torch.from_numpy(row).to(model.device) for row in ROWS]
    lengths = [len(row) for row in rows]
    # `forward` itself, because hooks would count arithmetic.
    run = model.get_decoder().forward
    alone = torch.cat([run(input_ids=row[None], use_cache=False).last_hidden_state[0] for row in rows])
    beside: dict[str, Any] = {
        "position_ids": places(lengths).to(model.device),
        "packed": lengths,
        "use_cache": False,
    }
    with packed_attention(model):
        together = run(input_ids=torch.cat(rows)[None], **beside).last_hidden_state[0]
        embedded = model.get_input_embeddings()(torch.cat(rows)[None]).clone()
        embedded[:, : lengths[0]] = torch.nan
        behind = run(inputs_embeds=embedded, **beside).last_hidden_state[0, lengths[0] :]
    if not bool(behind.isfinite().all()):
        return "its layers look beyond the row"
    # The condition is negated so that NaN counts as a difference.
    if not bool((together - alone).abs().max() <= CLOSE.get(model.dtype, ROUNDED) * alone.abs().max()):
        return "its hidden states are not those of each row alone"
    return None


def places(lengths: Sequence[int]) -> torch.Tensor:
    """The place of each token in its own row, from 0: 1 x tokens."""
    return torch.cat([torch.arange(length) for length in lengths])[None]


def _attend(
    _: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: int | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed: Sequence[int] | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention by transformers' interface.

    Args:
        query: 1 x heads x tokens x width; key and value may have fewer heads, each for several of the query's.
        key: as query.
        value: as query.
        attention_mask: what `_mask` gave.
        dropout: share of the weights that are set to zero.
        scaling: of the products; one over the root of the width if None.
        packed: tokens of each row.
        sliding_window: tokens that a place sees, its own among them, where it does not see all before it.
        others: unknown arguments.

    Returns:
        1 x tokens x heads x width, and no weights.

    Raises:
        NotImplementedError: the model asks for another kind of attention.
    """
    if packed is None:
        raise NotImplementedError("it does not say where rows end")
    unknown = [name for name in _UNKNOWN if others.get(name) is not None]
    if unknown:
        raise NotImplementedError(f"its attention has {unknown[0]}")
    if attention_mask is not None and attention_mask != sliding_window:
        raise NotImplementedError("its attention is neither over the whole row nor over a sliding window")
    found: list[torch.Tensor] = []
    groups = query.shape[1] // key.shape[1]
    for part in zip(*(_by_row(tensor, packed) for tensor in (query, key, value)), strict=True):
        mask = _band(part[0].shape[2], attention_mask, query.device)
        if mask is not None and groups > 1:
            # With a mask, fast kernels on a GPU take no heads that are shared.
            part = (part[0], *(each.repeat_interleave(groups, dim=1) for each in part[1:]))
        rows = scaled_dot_product_attention(
            *part, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling,
            enable_gqa=part[0].shape[1] != part[1].shape[1],
        )  # fmt: skip
        found.append(rows.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)[None], None


def _by_row(tensor: torch.Tensor, lengths: Sequence[int]) -> Sequence[torch.Tensor]:
    """The rows of 1 x heads x tokens x width, one by one.

    If all are of one length they come together, as rows x heads x tokens x width.
    """
    if len(set(lengths)) > 1:
        return tensor.split(list(lengths), dim=2)
    return [tensor[0].unflatten(1, (len(lengths), -1)).transpose(0, 1)]


def _band(tokens: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """Which places (tokens x tokens) a sliding window shows; None if it shows all before."""
    if window is None or tokens <= window:
        return None
    place = torch.arange(tokens, device=device)
    back = place[:, None] - place
    return (back >= 0) & (back < window)


def _mask(*, local_size: int | None = None, use_vmap: bool = False, **others: Any) -> int | None:
    """In place of a mask, which no kernel needs: the tokens that a place sees, None if all before it."""
    if use_vmap or "allow_is_bidirectional_skip" in others:
        raise NotImplementedError("its attention is not just causal")
    return local_size


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, _mask)
