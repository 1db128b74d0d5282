from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.text.conversation import Message
from selection_platform.text.rendering import tokenize
from selection_platform.training.batches import (
    EpochOrder,
    Row,
    RowDataset,
    collate,
    file_identity,
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


LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=40)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3), st.integers(1, 4))
def test_an_epoch_is_a_shuffle_with_each_global_batch_longest_first(
    lengths: list[int], global_batch: int, epoch: int, at_once: int
):
    order = EpochOrder(lengths, global_batch, seed=5, at_once=at_once)
    order.epoch = epoch
    assert len(order) == len(list(order))
    assert max(map(len, order)) <= at_once
    indices = [index for batch in order for index in batch]
    shuffled = np.random.default_rng([5, epoch]).permutation(len(lengths)).tolist()
    batches = range(0, len(lengths), global_batch)
    assert len(batches) == order.steps_in_epoch
    for start in batches:
        batch = indices[start : start + global_batch]
        assert sorted(batch) == sorted(shuffled[start : start + global_batch])
        assert [lengths[i] for i in batch] == sorted((lengths[i] for i in batch), reverse=True)


def test_an_epoch_has_no_step_with_fewer_rows_than_micro_batches():
    # Steps of four rows, in micro-batches of three and one; the last step has two rows.
    order = EpochOrder([3, 1, 2, 5, 4, 6], 4, seed=0, at_once=3)
    assert [len(batch) for batch in order] == [3, 1, 2]
    assert (order.rounds, len(order)) == (2, 3)


@given(LENGTHS, st.integers(1, 3), st.integers(2, 4), st.integers(1, 4), st.integers(0, 1))
def test_several_devices_share_the_rows_of_each_step(
    lengths: list[int], multiple: int, devices: int, at_once: int, epoch: int
):
    global_batch = multiple * devices * at_once
    order = EpochOrder(lengths, global_batch, 5, at_once, devices, epochs=2)
    alone = EpochOrder(lengths, global_batch, 5, at_once)
    order.epoch = alone.epoch = epoch
    batches, of_step = list(order), order.rounds * devices
    assert len(order) == len(batches) == of_step * order.steps_in_epoch
    assert order.rounds <= multiple
    rows = [index for batch in alone for index in batch]
    for number in range(order.steps_in_epoch):
        step = [index for batch in batches[number * of_step : (number + 1) * of_step] for index in batch]
        expected = rows[number * global_batch : (number + 1) * global_batch]
        assert sorted(index for index in step if index < len(lengths)) == sorted(expected)
    for batch in batches:
        assert batch == (len(lengths),) or len(batch) * max(lengths[index] for index in batch) <= at_once * max(lengths)


def test_devices_get_micro_batches_that_are_alike():
    # Eight rows of 1 and four of 2 are as much as one of 8: one round for three devices, and not two.
    order = EpochOrder([8, *[2] * 4, *[1] * 8], 24, 0, at_once=4, devices=3)
    assert (order.rounds, sorted(len(batch) for batch in order)) == (1, [1, 4, 8])
    # Two devices, two rounds: the largest and the smallest are of the same device.
    order = EpochOrder([9, 7, 5, 3], 4, 0, at_once=1, devices=2)
    assert [[order.lengths[index] for index in batch] for batch in order] == [[9], [7], [3], [5]]


def test_a_blank_row_is_not_trained_on():
    order = EpochOrder([3, 2], 4, 0, at_once=1, devices=2)
    assert list(order) == [(0,), (1,), (2,), (2,)][: len(order)]
    (blank,) = RowDataset([Row(np.array([7]), np.array([True]))])[(1,)]
    assert not blank.is_target.any()


def test_epochs_and_seeds_differ():
    order = EpochOrder([1] * 50, 50, seed=0, at_once=50)
    first = list(order)
    order.epoch = 1
    assert list(order) != first
    assert list(EpochOrder([1] * 50, 50, seed=1, at_once=50)) != first
