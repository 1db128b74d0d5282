"""Every shape that public data sets have is read with `form` left out; ids of what read before stay as they were."""

import json

import pyarrow as pa
import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.forms.conversation import read_conversation
from selection_platform.pools.forms.recognise import recognise
from selection_platform.pools.forms.trees import DELETED, LOWER, UNREVIEWED, tree_rows
from selection_platform.pools.rows import to_json
from selection_platform.text.conversation import check_normal_form, sample_id
from tests.pools.forms.shapes import OASST, SHAPES

SETTINGS = PoolSettings.model_validate({"source": {"files": "x"}})
NAMED = {shape.name: shape for shape in SHAPES}


def read(row, settings=SETTINGS):
    return read_conversation(row, recognise([row], settings), settings)


@pytest.mark.parametrize("shape", [pytest.param(shape, id=shape.name) for shape in SHAPES])
def test_a_row_of_each_shape(shape):
    # As a raw pool holds it.
    row = json.loads(json.dumps(shape.row))
    conversation = read(row)
    assert recognise([row], SETTINGS).form == shape.form
    assert [(message.role, message.content) for message in conversation.messages] == shape.messages
    assert [place for place, each in enumerate(conversation.messages) if not each.trained] == list(shape.untrained)
    assert (conversation.trimmed, conversation.dropped) == (shape.trimmed, None)
    check_normal_form(conversation.messages)
    assert row == json.loads(json.dumps(shape.row)), "a reader changes no row"


@pytest.mark.parametrize("shape", [pytest.param(shape, id=shape.name) for shape in SHAPES])
def test_the_same_row_out_of_parquet(shape):
    # There every message of a pool has all the fields that any has, most of them null.
    (row,) = pa.Table.from_pylist([shape.row]).to_pylist()
    conversation = read(json.loads(to_json(row)))
    assert [(message.role, message.content) for message in conversation.messages] == shape.messages
    assert [place for place, each in enumerate(conversation.messages) if not each.trained] == list(shape.untrained)
    assert (conversation.trimmed, conversation.dropped) == (shape.trimmed, None)


def test_a_tree_is_read_along_its_best_ranked_replies():
    assert recognise(OASST, SETTINGS).form == "tree"
    rows = [{"file": "f", "row": number, "record": json.dumps(each)} for number, each in enumerate(OASST, start=1)]
    (row,) = tree_rows(rows)
    conversation = read_conversation(json.loads(row["record"]), recognise(OASST, SETTINGS), SETTINGS)
    assert [message.content for message in conversation.messages] == ["Name a prime.", "Seven.", "Why?", "No factors."]
    assert set(conversation.trimmed) == {LOWER, DELETED, UNREVIEWED}


# Computed with the commit before shapes were recognised.
PRIME, TERSE = "899217ade0a73a7ca366fe16dab516e1", "d51aa1dd8ab07187c6e3170cc2612468"
READ_BEFORE = {
    "OpenHermes-2.5": TERSE,
    **dict.fromkeys(
        (
            "WildChat-1M", "tulu-3-sft-mixture", "ultrachat_200k", "no_robots", "SlimOrca", "smoltalk",
            "OpenThoughts3-1.2M", "magpie-pro-300k", "lmsys-chat-1m", "Infinity-Instruct", "Nemotron post-training",
            "preferences with the prompt in both",
        ),
        PRIME,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), READ_BEFORE.items())
def test_ids_of_shapes_that_read_before_are_the_same(name, expected):
    assert sample_id(read(NAMED[name].row).messages) == expected


def test_what_was_lost_before_and_is_read_now_has_another_id():
    with_system = sample_id(read(NAMED["OpenThoughts-114k"].row).messages)
    assert with_system == TERSE
    assert sample_id(read({**NAMED["OpenThoughts-114k"].row, "system": None}).messages) == PRIME


@pytest.mark.parametrize(
    ("given", "row", "expected"),
    [
        (
            {"form": "alpaca"},
            {"instruction": "Which is prime?", "input": "6, 7", "output": "Seven.", "system": "Be terse."},
            "073ef64a9cd0799b5ceb1ab272213472",
        ),
        (
            {"form": "alpaca"},
            {"instruction": "Reverse this list", "input": "[]", "output": "[]"},
            "e452acce5532c637acc1e5553a0929d1",
        ),
        (
            {"out_of_turn": "cut"},
            {"messages": [*NAMED["smoltalk"].row["messages"], *NAMED["smoltalk"].row["messages"][1:]]},
            "899217ade0a73a7ca366fe16dab516e1",
        ),
        (
            {},
            {
                "messages": [
                    {"role": "SYSTEM", "content": " Be terse.\n"},
                    {"role": "user", "content": " Grüße \u2028<think>x</think>\t"},
                    {"role": "assistant", "content": "<think>\nhm\n</think>\n\n 7 \n"},
                    {"role": "user", "content": "unanswered"},
                ]
            },
            "a7016a466049919fc3a658aac6e531aa",
        ),
    ],
)
def test_ids_of_rows_that_read_before_are_the_same(given, row, expected):
    settings = PoolSettings.model_validate({"source": {"files": "x"}, **given})
    assert sample_id(read_conversation(row, recognise([row], settings), settings).messages) == expected
