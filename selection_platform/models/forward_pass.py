"""Runs a batch through a model: the NLL of each wanted token and the mean hidden state of each row.

The decoder runs without its head. The head (`head.logits_of`) then computes logits only for the wanted tokens, a few
rows at a time, so that the tokens x vocabulary matrix never exists. Rows are padded on the right without an attention
mask: with causal attention no token sees later ones, so padding changes nothing, and the attention kernel keeps its
fast causal path. `check_model` verifies both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selection_platform.errors import PlatformError
from selection_platform.models.batching import batches
from selection_platform.models.head import UnsupportedModel, float32_logits, logits_of, output_head
from selection_platform.models.loading import load_model
from selection_platform.models.supported import positions

_PROBE_TOKENS = 8


@dataclass(frozen=True)
class BatchResult:
    """The result of a forward pass for each row.

    Attributes:
        nll: for each row, one float64 number per wanted token, in nats.
        unshifted_nll: the same for the same tokens, but by the logits at the token's own position, which predict the
        next
            token: how unlikely it is that the token comes twice. Do not score by it; a published script does.
        mean_hidden: float32, rows x hidden size: mean over the row's tokens of the last hidden state (after the final
            norm).
        mean_prefix_hidden: the same over each row's prefix; None if not requested.
        weighted_hidden: the same with position i, from 1, weighing i; None if not requested.
    """

    nll: list[np.ndarray]
    unshifted_nll: list[np.ndarray]
    mean_hidden: np.ndarray
    mean_prefix_hidden: np.ndarray | None = None
    weighted_hidden: np.ndarray | None = None


@torch.inference_mode()
def forward(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    first: int,
    logit_rows: int,
    prefixes: np.ndarray | None = None,
    *,
    weighted: bool = False,
) -> BatchResult:
    """Run rows of token ids through the model as one batch.

    Args:
        model: one that passes `check_model`.
        rows: token ids; each row has at least `first` tokens.
        first: index (at least 1) of the first wanted token of every row; all later ones are wanted too.
        logit_rows: most rows of logits computed at once.
        prefixes: for each row, the length of its prefix in tokens, at least one; None for no prefix mean.
        weighted: whether to give the position-weighted mean too.
    """
    lengths = np.array([len(row) for row in rows])
    tokens = pad(rows).to(model.device)
    hidden = last_hidden_state(model, tokens)
    nll, unshifted_nll = _token_nll(model, hidden, tokens, lengths, first, logit_rows)
    by_position = weighted_hidden(hidden, lengths) if weighted else None
    mean = mean_hidden(hidden, lengths)
    # Last, because it overwrites the states beyond the prefix.
    mean_prefix = None if prefixes is None else mean_hidden(hidden, prefixes)
    return BatchResult(nll, unshifted_nll, mean, mean_prefix, by_position)


def pad(rows: Sequence[np.ndarray]) -> torch.Tensor:
    """Rows of token ids as one int64 matrix, padded on the right with zeros."""
    padded = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return torch.from_numpy(padded)


def mean_hidden(hidden: torch.Tensor, lengths: np.ndarray) -> np.ndarray:
    """Mean of each row's first tokens: rows x hidden size, float32.

    Args:
        hidden: rows x width x hidden size; tokens beyond a row's length are overwritten with zeros.
        lengths: tokens of each row, at least one.
    """
    length = torch.from_numpy(lengths).to(hidden.device)
    beyond = torch.arange(hidden.shape[1], device=hidden.device) >= length[:, None]
    total = hidden.masked_fill_(beyond[:, :, None], 0).sum(dim=1, dtype=torch.float32)
    return total.cpu().numpy() / lengths[:, None].astype(np.float32)


def weighted_hidden(hidden: torch.Tensor, lengths: np.ndarray) -> np.ndarray:
    """Position-weighted mean of each row's first tokens: rows x hidden size, float32.

    Token i of n weighs i / (1 + ... + n): with causal attention a late token has seen more of the text (SGPT, arXiv
    2202.08904, which RDS+ follows).

    Args:
        hidden: rows x width x hidden size.
        lengths: tokens of each row, at least one.
    """
    total = torch.empty((len(lengths), hidden.shape[2]), dtype=torch.float32, device=hidden.device)
    for row, length in enumerate(map(int, lengths)):
        weight = torch.arange(1, length + 1, device=hidden.device, dtype=torch.float32)
        # Row by row: all rows in float32 would take twice the memory of the pass.
        total[row] = weight @ hidden[row, :length].float()
    count = lengths.astype(np.int64)
    return total.cpu().numpy() / (count * (count + 1) / 2).astype(np.float32)[:, None]


def last_hidden_state(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """Rows x width x hidden size: the decoder's output, after the final norm, before the head."""
    return model.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state


def _token_nll(
    model: PreTrainedModel,
    hidden: torch.Tensor,
    tokens: torch.Tensor,
    lengths: np.ndarray,
    first: int,
    logit_rows: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each row the NLL of its tokens from `first` on, and their unshifted NLL: float64, nats, left to right."""
    place = torch.arange(tokens.shape[1])
    # Logits predict the next token: position first - 1 gives the first NLL, and the last one only an unshifted NLL.
    read = (place >= first - 1) & (place < torch.from_numpy(lengths)[:, None])
    row, column = read.to(tokens.device).nonzero(as_tuple=True)
    following, own = torch.empty((2, len(row)), dtype=torch.float32, device=tokens.device)
    for start in range(0, len(row), logit_rows):
        chunk = slice(start, start + logit_rows)
        with float32_logits(model):
            logits = logits_of(model, hidden[row[chunk], column[chunk]]).float()
        next_column = (column[chunk] + 1).clamp(max=tokens.shape[1] - 1)
        targets = torch.stack([tokens[row[chunk], next_column], tokens[row[chunk], column[chunk]]], dim=1)
        nll = logits.logsumexp(dim=-1, keepdim=True) - logits.gather(1, targets)
        following[chunk], own[chunk] = nll.unbind(dim=1)
    ends = np.cumsum(lengths - first + 1)[:-1]
    by_row = [np.split(nll.cpu().numpy().astype(np.float64), ends) for nll in (following, own)]
    return [nll[:-1] for nll in by_row[0]], [nll[1:] for nll in by_row[1]]


def check_sizes(model: PreTrainedModel, max_length: int, tokens_per_batch: int) -> None:
    """Raise PlatformError if a sequence of `max_length` tokens does not fit the model, or a batch."""
    longest = positions(model.config)
    if longest is not None and max_length > longest:
        raise PlatformError(
            f"scoring.max_length {max_length} is more than the {longest} positions of {type(model).__name__}; lower "
            "it in the profile"
        )
    if tokens_per_batch < max_length:
        raise PlatformError(
            f"tokens_per_batch {tokens_per_batch} is less than scoring.max_length {max_length}; raise it in the profile"
        )


def load_checked(
    folder: Path, dtype: str, max_length: int, tokens_per_batch: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model for scoring, and check that it can be used.

    Args:
        folder: weights and tokenizer.
        dtype: number type of the weights.
        max_length: most tokens of a sample.
        tokens_per_batch: most padded tokens of a pass.

    Raises:
        UnsupportedModel: as `check_model` says.
        PlatformError: the sizes do not fit the model.
    """
    model, tokenizer = load_model(folder, dtype)
    check_sizes(model, max_length, tokens_per_batch)
    check_model(model)
    return model, tokenizer


def padding_share(lengths: Iterable[np.ndarray], tokens_per_batch: int) -> float:
    """Padding tokens / all tokens of the passes.

    Args:
        lengths: lengths of the rows in each shard, which is batched separately. Rows without tokens are left out.
        tokens_per_batch: most padded tokens of one pass.
    """
    text = padded = 0
    for of_shard in lengths:
        for indices in batches(of_shard, tokens_per_batch):
            text += int(of_shard[indices].sum())
            padded += len(indices) * int(of_shard[indices].max())
    return 1 - text / padded if padded else 0.0


@torch.inference_mode()
def check_model(model: PreTrainedModel) -> None:
    """Check on a few tokens that `forward` works with this model.

    Raises:
        UnsupportedModel: there is no head; or the logits are not a function of only the last hidden state; or a
            token's hidden state depends on later tokens.
    """
    name = type(model).__name__
    output_head(model)
    tokens = torch.arange(1, _PROBE_TOKENS + 1, device=model.device)[None]
    hidden = last_hidden_state(model, tokens)
    rounding = torch.finfo(hidden.dtype).eps
    logits = cast(torch.Tensor, model(input_ids=tokens, use_cache=False).logits)
    if not _close(logits_of(model, hidden[0])[None], logits, 4 * rounding):
        raise UnsupportedModel(
            f"{name}: its logits do not follow from the decoder's last hidden state, from which answers are scored; "
            "name a model of another architecture"
        )
    prefix = last_hidden_state(model, tokens[:, : _PROBE_TOKENS // 2])
    # Another width may use another kernel, which rounds differently in every layer.
    if not _close(prefix, hidden[:, : _PROBE_TOKENS // 2], 0.05):
        raise UnsupportedModel(
            f"{name}: attention is not causal, so right padding would change the results; name a causal language model"
        )


def _close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    """Whether two tensors of one shape agree, relative to the largest value.

    NaN agrees with NaN: broken weights are detected when samples are scored.
    """
    if one.shape != other.shape:
        return False
    one, other = one.float().nan_to_num(), other.float().nan_to_num()
    return bool((one - other).abs().max() <= tolerance * other.abs().max())
