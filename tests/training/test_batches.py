from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.text.conversation import Message
from selection_platform.text.rendering import tokenize
from selection_platform.training.batches import (
    Row,
    collate,
    file_identity,
    pack,
    read_conversations,
    tokenize_rows,
)


class Letters:
    """A tokenizer whose tokens are characters."""

    eos_token_id = 0
    bos: tuple[int, ...] = ()

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(character) for character in text]

    def tokenize(self, messages):
        return tokenize(messages, self)


TWO_TURNS = [Message("user", "q"), Message("assistant", "ab"), Message("user", "r"), Message("assistant", "c")]
RENDERED = "Human: q\nAssistant: ab\0\nHuman: r\nAssistant: c\0"


def write(path: Path, positions: list[int]) -> None:
    messages = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": str(p)}] for p in positions]
    table = {"position": positions, "sample_id": [f"id{p}" for p in positions], "messages": messages}
    pq.write_table(pa.table(table), path)


def test_every_answer_and_its_end_is_a_label():
    rows = tokenize_rows([TWO_TURNS], cast(Any, Letters()), 100, "shared")
    batch = collate(rows.kept)
    assert "".join(map(chr, batch["input_ids"][0])) == RENDERED
    prompt = len("Human: q\nAssistant: ")
    expected = [-100] * prompt + [97, 98, 0] + [-100] * (prompt + 1) + [99, 0]
    assert batch["labels"][0].tolist() == expected


def text(row: Row) -> str:
    return "".join(map(chr, row.ids))


def targets(row: Row) -> str:
    return "".join(map(chr, row.ids[row.is_target]))


def test_rows_lose_their_tail_and_those_without_an_answer_are_dropped():
    prompt = len("Human: q\nAssistant: ")
    rows = tokenize_rows([TWO_TURNS, TWO_TURNS[2:]], cast(Any, Letters()), prompt + 1, "tail")
    # Of "ab", its end, "c" and its end; and of "c" and its end.
    assert (len(rows.kept), rows.dropped, rows.truncated, rows.targets_cut) == (2, 0, 2, 4 + 1)
    assert rows.kept[0].ids.tolist()[-1] == ord("a")
    rows = tokenize_rows([TWO_TURNS], cast(Any, Letters()), prompt, "tail")
    assert (len(rows.kept), rows.dropped, rows.truncated, rows.targets_cut) == (0, 1, 0, 5)


def test_rows_share_the_limit_turn_by_turn_and_none_is_dropped():
    prompt = len("Human: q\nAssistant: ")
    rows = tokenize_rows([TWO_TURNS, TWO_TURNS[2:]], cast(Any, Letters()), prompt, "shared")
    assert (len(rows.kept), rows.dropped, rows.truncated, rows.targets_cut) == (2, 0, 2, 3 + 1)
    # 20 x 3 / 23 tokens of the answer are 2; 20 x 2 / 22 are 1.
    assert [text(row) for row in rows.kept] == ["Human: q\nAssistantab", "Human: r\nAssistant:c"]
    assert [targets(row) for row in rows.kept] == ["ab", "c"]
    # The first turn is whole, and 6 tokens are left for 21 and 2: one is of the answer.
    (row,) = tokenize_rows([TWO_TURNS], cast(Any, Letters()), prompt + 3 + 6, "shared").kept
    assert (text(row), targets(row)) == (RENDERED[: prompt + 3 + 5] + "c", "ab\0c")


def test_the_last_answer_alone_can_be_learnt():
    (row,) = tokenize_rows([TWO_TURNS], cast(Any, Letters()), 100, "shared", "last").kept
    assert (text(row), targets(row)) == (RENDERED, "c\0")
    untrained = [*TWO_TURNS[:3], TWO_TURNS[3]._replace(trained=False)]
    (row,) = tokenize_rows([untrained], cast(Any, Letters()), 100, "shared", "last").kept
    assert targets(row) == "ab\0"
    # What is cut is counted of what would be learnt.
    assert tokenize_rows([TWO_TURNS], cast(Any, Letters()), len(RENDERED) - 1, "shared", "last").targets_cut == 1


def test_padding_is_not_trained_on():
    long = Row(np.array([7, 8, 9], np.int32), np.array([False, True, True]))
    short = Row(np.array([0], np.int32), np.array([True]))
    batch = collate([long, short], mask=True)
    assert batch["input_ids"].tolist() == [[7, 8, 9], [0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 8, 9], [0, -100, -100]]
    assert collate([long, short]).keys() == {"input_ids", "labels"}


def test_packed_rows_lie_end_to_end_and_none_predicts_the_next():
    long = Row(np.array([7, 8, 9], np.int32), np.array([True, True, True]))
    short = Row(np.array([4, 5], np.int32), np.array([True, True]))
    batch = pack([short, long])
    assert batch["input_ids"].tolist() == [[4, 5, 7, 8, 9]]
    assert batch["labels"].tolist() == [[-100, 5, -100, 8, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2]]
    assert batch["packed"] == [2, 3]
    # The rows themselves are used again in the next epoch.
    assert long.is_target.all()


def test_conversations_are_read_in_order_of_position(tmp_path: Path):
    write(tmp_path / "rows.parquet", [0, 1, 2])
    answers = [messages[1].content for messages in read_conversations(tmp_path / "rows.parquet")]
    assert answers == ["0", "1", "2"]
    write(tmp_path / "rows.parquet", [1, 0])
    with pytest.raises(ValueError, match=r"rows\.parquet: rows are not in strictly rising order"):
        list(read_conversations(tmp_path / "rows.parquet"))


def test_a_files_identity_is_its_ids_in_order(tmp_path: Path):
    write(tmp_path / "a.parquet", [0, 1])
    write(tmp_path / "b.parquet", [0, 2])
    assert file_identity(tmp_path / "a.parquet") == file_identity(tmp_path / "a.parquet")
    assert file_identity(tmp_path / "a.parquet") != file_identity(tmp_path / "b.parquet")
