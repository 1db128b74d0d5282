"""Claude's data export: a list of messages, the files that they came with, and parts as a page shows them."""

from typing import Any

import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.conversation import read_conversation
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.recognise import recognise

SETTINGS = PoolSettings.model_validate({"source": {"files": "x"}})


def message(sender: str, text: str, parts: list[Any] | None = None, **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text}] if parts is None else parts
    return {"sender": sender, "text": text, "content": content, "attachments": [], "files": [], **fields}


ASKED, ANSWERED = message("human", "Name a prime."), message("assistant", "Seven.")
PASTED = {"file_name": "paste.txt", "file_type": "txt", "extracted_content": "6, 7"}


def read(*messages, **given):
    settings = PoolSettings.model_validate({"source": {"files": "x"}, **given})
    record = {"uuid": "c", "chat_messages": list(messages)}
    return read_conversation(record, recognise([record], settings), settings)


def texts(*messages, **given):
    return [each.content for each in read(*messages, **given).messages]


def test_all_versions_of_the_export_are_one_pool():
    old = {"chat_messages": [{"sender": "human", "text": "q"}, {"sender": "assistant", "text": "a"}]}
    reading = recognise([old, {"chat_messages": [ASKED, ANSWERED]}], SETTINGS)
    assert reading == Reading("messages", "chat_messages", keys=("sender", "text"))
    assert str(reading) == "messages: a list of {sender, text} in chat_messages"
    assert texts(*old["chat_messages"]) == ["q", "a"]
    without_text = [{"sender": each["sender"], "content": each["content"]} for each in (ASKED, ANSWERED)]
    assert texts(*without_text) == ["Name a prime.", "Seven."]


def test_fields_that_are_not_read_are_named_and_those_that_are_are_not():
    conversation = read({**ASKED, "uuid": "m"}, ANSWERED)
    assert (conversation.ignored, conversation.trimmed) == ({"uuid", "chat_messages[].uuid"}, ())


@pytest.mark.parametrize("content", [None, [], [{"type": "text", "text": "", "start_timestamp": "2025"}]])
def test_text_is_read_where_content_has_nothing(content):
    assert texts({**ASKED, "content": content}, ANSWERED) == ["Name a prime.", "Seven."]


def test_the_text_of_attachments_stands_before_the_message():
    other = {"file_name": "b.md", "extracted_content": "8, 9"}
    expected = "6, 7\n\n8, 9\n\nName a prime."
    for asked in (ASKED, {**ASKED, "content": []}):
        conversation = read({**asked, "attachments": [PASTED, other], "files": [{"file_name": "b.md"}]}, ANSWERED)
        assert (conversation.messages[0].content, conversation.trimmed) == (expected, ())
    # A paste may be all that there is.
    for alone in (message("human", ""), message("human", "", [])):
        assert texts({**alone, "attachments": [PASTED]}, ANSWERED)[0] == "6, 7"


@pytest.mark.parametrize(
    "fields",
    [
        {"files": [{"file_name": "a.png"}]},
        {"attachments": [{"file_name": "a.zip", "extracted_content": ""}]},
        {"attachments": [PASTED], "files": [{"file_name": "a.png"}]},
    ],
)
def test_files_without_text_are_counted(fields):
    assert read({**ASKED, **fields}, ANSWERED).trimmed == ("attached files left out",)


def test_a_message_that_is_a_file_alone_drops_the_row():
    assert (
        read({**message("human", ""), "files": [{"file_name": "a"}]}, ANSWERED).dropped == "a message is a file alone"
    )


def test_results_that_follow_each_other_are_in_one_turn():
    call, result = {"type": "tool_use", "name": "f", "input": {}}, {"type": "tool_result", "content": []}
    answer = message("assistant", "", [call, call, result, {**result, "content": "3"}, {"type": "text", "text": " "}])
    called = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert texts(ASKED, answer, message("assistant", "Seven."))[1:] == [
        f"{called}\n{called}",
        "<tool_response>\n\n</tool_response>\n<tool_response>\n3\n</tool_response>",
        "Seven.",
    ]


def test_thinking_calls_and_results_are_read_without_what_a_page_shows():
    parts = [
        {"type": "thinking", "thinking": "Hm.", "start_timestamp": "2025", "summaries": [{"summary": "x"}]},
        {"type": "tool_use", "name": "f", "input": {"x": 1}, "message": "Searching", "start_timestamp": "2025"},
        {"type": "tool_result", "name": "f", "content": [
            {"type": "knowledge", "text": "found", "title": "T"}, {"type": "table", "rows": 1},
        ]},
        {"type": "token_budget", "start_timestamp": None, "remaining": None},
        {"type": "text", "text": "Seven."},
    ]  # fmt: skip
    answer = message("assistant", "This block is not supported on your current device yet.", parts)
    assert [(each.role, each.content) for each in read(ASKED, answer).messages[1:]] == [
        ("assistant", '<think>\nHm.\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'),
        ("user", '<tool_response>\nfound{"type": "table", "rows": 1}\n</tool_response>'),
        ("assistant", "Seven."),
    ]
    assert read(ASKED, answer, tools="drop_row").dropped == "has tools"


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({**ASKED, "attachments": 7}, "field chat_messages[0].attachments: is a number, not a list; repair the row"),
        ({**ASKED, "attachments": ["a"]},
         "field chat_messages[0].attachments[0]: is a string, not an object with extracted_content; repair the row"),
        ({**ASKED, "attachments": [{"extracted_content": 7}]},
         "field chat_messages[0].attachments[0].extracted_content: is a number, not a string; write it as text"),
        ({**ASKED, "content": None, "text": 7, "attachments": [PASTED]},
         "field chat_messages[0].text: is a number, not a string; write it as text"),
        (message("human", ""), "field chat_messages[0].text: is empty; fill it in or remove the row"),
        ({**ASKED, "content": [{"type": "canvas", "body": "x"}]},
         "field chat_messages[0].text[0]: is of unknown type 'canvas'; known are text, input_text, output_text, "
         "refusal, thinking, reasoning, tool_use, tool_result; write its text as a part of type text"),
    ],
)  # fmt: skip
def test_what_is_broken_is_refused(asked, problem):
    with pytest.raises(BadRow) as error:
        read(asked, ANSWERED)
    assert str(error.value) == f"{problem}, or set on_bad_row: skip for this pool"
