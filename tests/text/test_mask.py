"""Answers that are not trained on: what they are stored as, and that no loss is of them."""

from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.evaluation.held_out_loss import held_out_loss
from selection_platform.methods.diverse_evol.files import write_training_file
from selection_platform.models.loading import load_tokenizer
from selection_platform.text.conversation import (
    Message,
    NotNormal,
    check_normal_form,
    sample_id,
    to_messages,
    to_records,
)
from selection_platform.text.rendering import template_hash, tokenize
from selection_platform.training.batches import read_conversations, tokenize_rows
from tests.tiny import CONFIGS, paper, save_model

PLAIN = [Message("user", "q"), Message("assistant", "one"), Message("user", "r"), Message("assistant", "two")]
MASKED = [PLAIN[0], Message("assistant", "one", trained=False), *PLAIN[2:]]


class Letters:
    """A token for each character; the end of a sequence is 0."""

    eos_token_id = 0
    bos: tuple[int, ...] = ()

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [ord(letter) for letter in text]

    def tokenize(self, messages):
        return tokenize(messages, self)


def test_ids_and_template_are_those_of_version_0_1_0():
    plain = [Message("system", "Be kind."), Message("user", "Grüße"), Message("assistant", "a\n")]
    assert sample_id(plain) == "43658c63965623e1a2f27f5e780f0c9f"
    assert template_hash() == "9e7f1182044671ed"


def test_the_id_covers_which_answers_are_trained_on():
    assert sample_id(MASKED) != sample_id(PLAIN)
    swapped = [PLAIN[0], PLAIN[1], PLAIN[2], Message("assistant", "two", trained=False)]
    assert sample_id(swapped) not in {sample_id(PLAIN), sample_id(MASKED)}


def test_what_is_stored_gives_the_messages_back():
    assert to_records(PLAIN)[1] is None
    records, untrained = to_records(MASKED)
    assert untrained == [1]
    assert records[1] == {"role": "assistant", "content": "one"}
    assert to_messages(records, untrained) == MASKED
    assert to_messages(*to_records(PLAIN)) == PLAIN


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([PLAIN[0], Message("assistant", "one", trained=False)], "the last answer is not trained on"),
        (
            [Message("user", "q", trained=False), PLAIN[1]],
            "message 0 is user; only answers can be marked as not trained on",
        ),
    ],
)
def test_normal_form_ends_with_an_answer_that_is_trained_on(messages, problem):
    check_normal_form(MASKED)
    with pytest.raises(NotNormal, match=problem):
        check_normal_form(messages)


def test_the_text_is_the_same_and_the_answer_is_no_target():
    plain, masked = tokenize(PLAIN, Letters()), tokenize(MASKED, Letters())
    assert masked.ids == plain.ids
    (row,) = tokenize_rows([MASKED], cast(Any, Letters()), 1000, "shared").kept
    assert [chr(token) for token in row.ids[row.is_target]] == [*"two", "\0"]
    # A window that ends before the second answer has nothing to learn.
    assert tokenize_rows([MASKED], cast(Any, Letters()), len("Human: q\nAssistant: one") + 1, "tail").dropped == 1


def test_the_mask_comes_through_the_files_of_jobs(tmp_path):
    samples, train = tmp_path / "samples.parquet", tmp_path / "train.parquet"
    rows = {"sample_id": ["a", "b"], "messages": [to_records(PLAIN)[0], to_records(MASKED)[0]]}
    pq.write_table(pa.table({**rows, "untrained": pa.array([None, [1]], pa.list_(pa.int32()))}), samples)
    write_training_file(samples, ["b", "a"], train)
    assert list(read_conversations(train)) == [MASKED, PLAIN]
    pq.write_table(pa.table(rows), samples)
    write_training_file(samples, ["b"], train)
    assert list(read_conversations(train)) == [PLAIN]


def test_the_held_out_loss_is_of_the_answers_that_are_trained_on(tmp_path):
    model = save_model(tmp_path, CONFIGS["llama"])
    tokenizer = load_tokenizer(tmp_path)
    first = PLAIN[:2]
    losses = {
        name: held_out_loss(model, paper(tokenizer), [(name, messages)], 1000, 100).items.to_pylist()[0]
        for name, messages in {"plain": PLAIN, "masked": MASKED, "first": first}.items()
    }
    assert losses["masked"]["bytes"] == 3
    assert losses["masked"]["bits"] == pytest.approx(losses["plain"]["bits"] - losses["first"]["bits"], rel=1e-5)
