"""Rows that hold no conversation: what is said of them, and that they are counted where they may be skipped."""

import pytest

from tests.bad_input.pools import FIRST, chat, lines, outcome, turn

ROLES_KNOWN = (
    "user, human, prompter, assistant, gpt, chatgpt, bing, bard, model, system, developer, tool, function, "
    "environment, observation, ipython, tool_response, function_call, tool_call"
)
QUESTION, ANSWER = turn("user", "Why?"), turn("assistant", "So.")
MESSAGES, SHAREGPT, ALPACA = {"form": "messages"}, {"form": "sharegpt"}, {"form": "alpaca"}
RECORDS = [
    (
        "missing column", MESSAGES, {"id": 1, "text": "a"},
        "a field is missing | field messages: is missing; the fields are id, text; set the pool's form, column or "
        "columns to match the data, or leave form out to have it recognised",
    ),
    (
        "half a surrogate in a key", MESSAGES, {"\ud800": 1},
        r"a field is missing | field messages: is missing; the fields are \ud800; set the pool's form, column or "
        r"columns to match the data, or leave form out to have it recognised",
    ),
    (
        "text for messages", {}, {"messages": "Why?"},
        "the messages are not a list | field messages: is a string, not a list of messages; name another `column`",
    ),
    (
        "null for a message", {}, {"messages": [None]},
        "a message is not an object | field messages[0]: is null, not an object with role and content; write it as "
        "an object",
    ),
    (
        "unknown role", {}, {"messages": [turn("narrator", "x"), ANSWER]},
        f"unknown role | field messages[0].role: 'narrator' is not a known role ({ROLES_KNOWN}); "
        "say in the pool's `roles` what it means, such as roles: {customer: user, agent: assistant}, "
        "or set out_of_turn: cut to end conversations there",
    ),
    (
        "no content", {}, {"messages": [QUESTION, {"role": "assistant"}]},
        "a field is missing | field messages[1].content: is missing; the fields are role; rename the key, or "
        "leave form out, so that other usual keys are recognised",
    ),
    (
        "null content", {}, chat(None),
        "a text is not a string | field messages[0].content: is null, not a string; write it as text",
    ),
    (
        "content of unknown parts", {}, chat([{"type": "smell", "text": "x"}]),
        "a part of a message is unknown | field messages[0].content[0]: is of unknown type 'smell'; known are text, "
        "input_text, output_text, refusal, thinking, reasoning, tool_use, tool_result; write its text as a part of "
        "type text",
    ),
    (
        "number for text", SHAREGPT, {"conversations": [{"from": "human", "value": 7}]},
        "a text is not a string | field conversations[0].value: is a number, not a string; write it as text",
    ),
    (
        "empty answer", {}, chat("a", " \n"),
        "empty message | field messages[1].content: is empty; fill it in or remove the row",
    ),
    (
        "half a surrogate", {}, chat("a\ud800"),
        r"broken Unicode | field messages[0].content: holds half of a surrogate pair (\ud800 to \udfff); replace that "
        "character",
    ),
    (
        "half a surrogate in the source", {"source_column": "from"}, chat(**{"from": "\ud800"}),
        r"broken Unicode | field from: holds half of a surrogate pair (\ud800 to \udfff); replace that character",
    ),
    (
        "no source", {"source_column": "from"}, chat(),
        "a field is missing | field from: is missing; name another `source_column`",
    ),
    (
        "roles out of turn", {}, {"messages": [QUESTION, QUESTION, ANSWER]},
        "roles do not alternate | field messages[1]: has the role user, but it is the assistant's turn; repair the "
        "row, or set out_of_turn: join to join messages of one role, or cut to end conversations there",
    ),
    (
        "no answer", {}, {"messages": [QUESTION]},
        "no question with an answer | field messages: holds no question with an answer; remove the row",
    ),
    (
        "a system message alone", {}, {"messages": [turn("system", "x")]},
        "no question with an answer | field messages: holds no question with an answer; remove the row",
    ),
    (
        "no messages", {}, {"messages": []},
        "no question with an answer | field messages: holds no question with an answer; remove the row",
    ),
    (
        "empty output", ALPACA, {"instruction": "Why?", "output": ""},
        "empty message | field output: is empty; fill it in or remove the row",
    ),
    (
        "list for input", ALPACA, {"instruction": "Why?", "input": ["a"], "output": "So."},
        "a text is not a string | field input: is a list, not a string; write it as text",
    ),
    (
        "0 for input", ALPACA, {"instruction": "Double", "input": 0, "output": "0"},
        "a text is not a string | field input: is a number, not a string; write it as text",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "record", "message"), [pytest.param(*case, id=id) for id, *case in RECORDS])
def test_rows_that_hold_no_conversation(tmp_path, given, record, message):
    reason, text = message.split(" | ")
    assert outcome(tmp_path, "a.jsonl", lines(record), given) == f"{reason} | {FIRST}, {text}"
    # Skipped, it is counted by its reason; the example is written to a file, whatever is in it.
    good = {
        "alpaca": {"instruction": "a", "output": "b"},
        "sharegpt": {"conversations": [{"from": "user", "value": "a"}, {"from": "gpt", "value": "b"}]},
    }.get(given.get("form"), chat("a", "b"))
    rest = lines({**good, **({"from": "x"} if "source_column" in given else {})}, record)
    assert outcome(tmp_path, "a.jsonl", rest, {**given, "on_bad_row": "skip"}) == f"kept: 1, {reason}: 1"


def test_nothing_is_left_when_every_row_is_filtered(tmp_path):
    settings = {"where": {"lang": "en"}, "min_turns": 2}
    assert outcome(tmp_path, "a.jsonl", lines(chat(), chat("b", lang="en")), settings) == (
        "none of 2 rows is left to select from (lang is not en: 1, fewer than 2 turns: 1); loosen the pool's filters"
    )


def test_nothing_is_left_when_no_row_can_be_read(tmp_path):
    talk = {"messages": [{"role": "customer", "content": "a"}, {"role": "agent", "content": "b"}]}
    found = outcome(tmp_path, "a.jsonl", lines({"messages": []}, talk, talk), {"on_bad_row": "skip"})
    assert found.startswith(
        "none of 3 rows is left to select from (unknown role: 2, no question with an answer: 1); "
        "for example, @/a.jsonl, row 2, field messages[0].role: 'customer' is not a known role (user, "
    )
    # The row was skipped already, so that is not the advice.
    assert found.endswith("}, or set out_of_turn: cut to end conversations there")
