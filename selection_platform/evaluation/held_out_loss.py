"""The held-out loss: bits per byte of a model on answers that it was not trained on. Lower is better.

All trained answers of a conversation count, each given everything before it, without the ends of turns. Dividing by
UTF-8 bytes makes models with different tokenizers comparable. A conversation that is too long is cut after the last
answer that fits in full, so that the counted bytes are exactly those of the scored tokens. If not even the first answer
fits, the conversation is left out and counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from transformers import PreTrainedModel

from selection_platform.errors import PlatformError
from selection_platform.models.forward_pass import batches, check_model, forward
from selection_platform.models.supported import positions
from selection_platform.text.conversation import Message
from selection_platform.text.renderer import Renderer
from selection_platform.text.rendering import Tokens

METRIC = "bits_per_byte"
_LOGIT_ROWS = 1024


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss on a set of conversations.

    Attributes:
        items: one row per scored conversation, in the given order: sample_id, bits, bytes, bits_per_byte.
        cut: number of conversations scored without their last answers.
        left_out: number of conversations not scored, because no answer fits or all answers are empty.
    """

    items: pa.Table
    cut: int
    left_out: int

    @property
    def bits_per_byte(self) -> float:
        """All bits divided by all bytes: long answers have more weight.

        Raises:
            PlatformError: no conversation was scored.
        """
        return ratio_and_stderr(*self._columns())[0]

    @property
    def stderr(self) -> float | None:
        """Standard error of `bits_per_byte` over draws of conversations; None for one conversation."""
        return ratio_and_stderr(*self._columns())[1]

    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        return self.items["bits"].to_numpy(), self.items["bytes"].to_numpy()


class HeldOut:
    """Held-out conversations as tokens.

    Args:
        renderer: the model's renderer.
        conversations: sample ids and messages in normal form.
        longest: longest conversation in tokens.

    Attributes:
        rows: token ids of each conversation that can be scored.
        masks: by row, whether each token is scored.
    """

    def __init__(
        self, renderer: Renderer, conversations: Sequence[tuple[str, Sequence[Message]]], longest: int
    ) -> None:
        fitted = [_fit(messages, renderer, longest) for _, messages in conversations]
        kept = [index for index, fit in enumerate(fitted) if fit.scored_bytes > 0]
        self.rows = [np.array(fitted[index].tokens.ids) for index in kept]
        self.masks = [np.array(fitted[index].tokens.is_text) for index in kept]
        self._ids = [conversations[index][0] for index in kept]
        self._bytes = np.array([fitted[index].scored_bytes for index in kept], dtype=np.int64)
        self._cut, self._left_out = sum(fitted[index].was_cut for index in kept), len(conversations) - len(kept)

    def batches(self, tokens_per_batch: int) -> list[list[int]]:
        """The rows of each batch, by their places. Padding counts."""
        lengths = np.array([len(row) for row in self.rows], dtype=np.int64)
        return [batch.tolist() for batch in batches(lengths, tokens_per_batch)]

    def loss(self, bits: np.ndarray) -> HeldOutLoss:
        """The loss, from the bits of each row.

        Raises:
            PlatformError: the loss of an answer is not finite.
        """
        if not np.isfinite(bits).all():
            broken = self._ids[int(np.argmin(np.isfinite(bits)))]
            raise PlatformError(
                f"held-out conversation {broken}: the model's loss is not finite; its weights are broken"
            )
        columns = {"bits": bits, "bytes": self._bytes, METRIC: bits / self._bytes}
        items = pa.table({"sample_id": pa.array(self._ids, pa.string()), **columns})
        return HeldOutLoss(items, self._cut, self._left_out)


def batch_bits(model: PreTrainedModel, rows: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> list[float]:
    """The bits of the scored tokens of each row of one batch. The model is one that passes `check_model`."""
    first = min(int(mask.argmax()) for mask in masks)
    nll = forward(model, rows, first, _LOGIT_ROWS).nll
    return [float(row_nll[mask[first:]].sum() / math.log(2)) for row_nll, mask in zip(nll, masks, strict=True)]


def held_out_loss(
    model: PreTrainedModel,
    renderer: Renderer,
    conversations: Sequence[tuple[str, Sequence[Message]]],
    tokens_per_batch: int,
    max_length: int,
) -> HeldOutLoss:
    """Score the answers of held-out conversations.

    Args:
        model: in evaluation mode, on its device.
        renderer: the model's renderer.
        conversations: sample ids and messages in normal form.
        tokens_per_batch: size of a batch, including padding.
        max_length: longest conversation in tokens; the model's own limit also applies.

    Raises:
        UnsupportedModel: see `forward_pass.check_model`.
        PlatformError: the loss of an answer is not finite.
    """
    check_model(model)
    held_out = HeldOut(renderer, conversations, min(max_length, positions(model.config) or max_length))
    bits = np.zeros(len(held_out.rows))
    for batch in held_out.batches(tokens_per_batch):
        bits[batch] = batch_bits(model, [held_out.rows[row] for row in batch], [held_out.masks[row] for row in batch])
    return held_out.loss(bits)


def ratio_and_stderr(bits: np.ndarray, size: np.ndarray) -> tuple[float, float | None]:
    """The ratio of two sums over items, and its standard error (linearised ratio estimator, Cochran 1977, 2.11).

    Raises:
        PlatformError: there are no items.
    """
    count = len(bits)
    if count == 0:
        raise PlatformError("no held-out conversation could be scored: none has an answer that fits the context")
    ratio = float(bits.sum() / size.sum())
    if count == 1:
        return ratio, None
    residuals = bits - ratio * size
    return ratio, float(np.sqrt(count / (count - 1) * np.square(residuals).sum()) / size.sum())


@dataclass(frozen=True)
class _Fitted:
    """A conversation, cut to fit: its tokens, the bytes of its answers, and whether it was cut."""

    tokens: Tokens
    scored_bytes: int
    was_cut: bool


def _fit(messages: Sequence[Message], renderer: Renderer, longest: int) -> _Fitted:
    kept = list(messages)
    tokens = renderer.tokenize(kept)
    while len(tokens.ids) > longest:
        # Without the last turn, so that the conversation ends with the answer before it.
        kept = kept[:-2]
        if not any(message.role == "assistant" for message in kept):
            return _Fitted(tokens, 0, was_cut=True)
        tokens = renderer.tokenize(kept)
    return _Fitted(tokens, tokens.text_bytes, len(kept) < len(messages))
