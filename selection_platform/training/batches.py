"""Training rows: tokens and targets of conversations, and how some of them become one batch."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from selection_platform.errors import PlatformError
from selection_platform.job.folder import content_hash
from selection_platform.models.packed_attention import places
from selection_platform.text.conversation import Message, to_messages
from selection_platform.text.cuts import TrainingCut
from selection_platform.text.cutting import kept_in_training
from selection_platform.text.renderer import Renderer

IGNORED = -100
"""The label that transformers ignores in the loss."""


class Row(NamedTuple):
    """One training sequence.

    Attributes:
        ids: token ids, shape (tokens,).
        is_target: whether the token is trained on, shape (tokens,).
    """

    ids: NDArray[np.int32]
    is_target: NDArray[np.bool_]


BLANK = Row(np.zeros(1, np.int32), np.zeros(1, np.bool_))
"""A row without targets, which has no weight in a step's mean."""


class RowDataset(Dataset[list[Row]]):
    """Micro-batches for torch's data loader, by the numbers of their rows. The number after the last is a blank row."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: tuple[int, ...]) -> list[Row]:
        return [BLANK if each == len(self.rows) else self.rows[each] for each in index]


class Rows(NamedTuple):
    """The training sequences of a file.

    Attributes:
        kept: rows with at least one target.
        dropped: number of conversations without any target left.
        truncated: number of kept rows that were cut.
        targets_cut: number of target tokens lost by cutting, also in dropped conversations.
    """

    kept: list[Row]
    dropped: int
    truncated: int
    targets_cut: int


def file_identity(train_file: Path) -> str:
    """Hash of the file's sample ids in order of position; the ids are content hashes, so this covers the text too."""
    table = pq.read_table(train_file, columns=["position", "sample_id"]).sort_by("position")
    return content_hash(table["sample_id"].to_pylist())


def read_conversations(train_file: Path) -> Iterator[list[Message]]:
    """Conversations of a Parquet file, by position, in bounded memory.

    Args:
        train_file: columns `position`, `messages` and, if some answers are not trained on, `untrained`.
    """
    positions = pq.read_table(train_file, columns=["position"])["position"].to_numpy()
    if np.any(np.diff(positions) <= 0):
        raise PlatformError(
            f"{train_file}: rows are not in strictly rising order of position; sort them before writing"
        )
    file = pq.ParquetFile(train_file)
    columns = [name for name in ("messages", "untrained") if name in file.schema_arrow.names]
    for batch in file.iter_batches(batch_size=1024, columns=columns):
        yield from (to_messages(row["messages"], row.get("untrained")) for row in batch.to_pylist())


def tokenize_rows(
    conversations: Iterable[Sequence[Message]],
    renderer: Renderer,
    max_length: int,
    cut: TrainingCut,
    answers: Literal["all", "last"] = "all",
) -> Rows:
    """Render conversations and cut them to `max_length` tokens.

    The targets are the tokens of every answer that is trained on, with the end of its turn; with `answers` "last", only
    those of the last such answer. The beginning-of-sequence token is never cut.
    """
    kept: list[Row] = []
    dropped = truncated = targets_cut = 0
    for messages in conversations:
        tokens = renderer.tokenize(messages)
        ids, is_target = np.array(tokens.ids, dtype=np.int32), np.array(tokens.is_answer, dtype=np.bool_)
        if answers == "last":
            is_target = _last_run(is_target)
        stays = kept_in_training(is_target, max_length, cut, len(renderer.bos))
        row = Row(ids[stays], is_target[stays])
        targets_cut += int(is_target.sum() - row.is_target.sum())
        if not row.is_target.any():
            dropped += 1
            continue
        truncated += len(row.ids) < len(ids)
        kept.append(row)
    return Rows(kept, dropped, truncated, targets_cut)


def _last_run(is_target: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Only the last run of targets, shape (tokens,)."""
    if not is_target.any():
        return is_target
    end = len(is_target) - int(np.argmax(is_target[::-1]))
    before = np.flatnonzero(~is_target[:end])
    last = np.zeros_like(is_target)
    last[(before[-1] + 1 if len(before) else 0) : end] = True
    return last


def collate(rows: Sequence[Row], *, mask: bool = False) -> dict[str, torch.Tensor]:
    """Rows padded on the right to the longest; all tensors have shape (rows, tokens).

    Padding has token id 0 and no label, so that no tokenizer's choice of padding token matters. With causal attention
    no token sees later ones, so padding on the right needs no attention mask, which would cost the kernel its fast
    path. `models.probe` checks this of every model.

    Args:
        rows: what to pad.
        mask: whether to give an attention mask too, which is 0 at padding.
    """
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED, dtype=torch.long)
    for index, row in enumerate(rows):
        length = len(row.ids)
        ids[index, :length] = torch.from_numpy(row.ids)
        labels[index, :length] = torch.from_numpy(np.where(row.is_target, row.ids, IGNORED))
    if not mask:
        return {"input_ids": ids, "labels": labels}
    lengths = torch.tensor([len(row.ids) for row in rows])
    return {"input_ids": ids, "labels": labels, "attention_mask": (torch.arange(shape[1]) < lengths[:, None]).long()}


def pack(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows end to end in one; all tensors have shape (1, tokens). `packed` says how many tokens each row has.

    The first token of a row has no label: what comes before it is another row.
    """
    lengths = [len(row.ids) for row in rows]
    ids = np.concatenate([row.ids for row in rows]).astype(np.int64)
    is_target = np.concatenate([row.is_target for row in rows])
    is_target[np.cumsum([0, *lengths[:-1]])] = False
    return {
        "input_ids": torch.from_numpy(ids)[None],
        "labels": torch.from_numpy(np.where(is_target, ids, IGNORED))[None],
        "position_ids": places(lengths),
        "packed": lengths,
    }
