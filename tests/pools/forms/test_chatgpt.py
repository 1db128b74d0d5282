"""ChatGPT's data export: the branch that the user ended on, and what becomes of everything else in the tree."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.conversation import read_conversation
from selection_platform.pools.forms.reading import Reading, stated_reading
from selection_platform.pools.forms.recognise import recognise
from selection_platform.text.conversation import check_normal_form
from tests.pools.forms.shapes import node

USER = ("user", "Name a prime.")
ANSWER = ("assistant", "Seven.")
HIDDEN = {"metadata": {"is_visually_hidden_from_conversation": True}}
IMAGE = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f", "width": 8}


def settings(**given):
    return PoolSettings.model_validate({"source": {"files": "x"}, **given})


def row(*messages: tuple[Any, ...]) -> dict[str, Any]:
    """A conversation of one branch; each message is a role, a text or content, and fields."""
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": []}}
    for place, (role, text, *fields) in enumerate(messages):
        parent = f"m{place - 1}" if place else "root"
        mapping |= node(f"m{place}", parent, role, text, **(fields[0] if fields else {}))
    return {"mapping": mapping, "current_node": f"m{len(messages) - 1}"}


def read(record, **given):
    wanted = settings(**given)
    return read_conversation(record, stated_reading(wanted) or recognise([record], wanted), wanted)


def texts(*messages, **given):
    return [(message.role, message.content) for message in read(row(*messages), **given).messages]


def thoughts(*said):
    return {
        "content_type": "thoughts",
        "thoughts": [dict(zip(("summary", "content"), each, strict=True)) for each in said],
    }


def test_it_is_recognised_and_said():
    reading = recognise([row(USER, ANSWER)], settings())
    assert reading == stated_reading(settings(form="chatgpt")) == Reading("chatgpt", "mapping")
    assert recognise([row(USER, ANSWER)], settings(column="mapping")) == reading
    assert str(reading) == "chatgpt: the branch of mapping that ends with current_node"
    assert reading.as_settings == "form: chatgpt"


def test_the_branch_that_the_user_ended_on_is_read():
    record = {
        "current_node": "a1",
        "mapping": {
            **node("u", None, "user", "q"), **node("a1", "u", "assistant", "first"),
            **node("a2", "u", "assistant", "second"), **node("u2", "a2", "user", "and?"),
        },
    }  # fmt: skip
    conversation = read(record)
    assert [message.content for message in conversation.messages] == ["q", "first"]
    assert conversation.trimmed == ("other branches left out",)
    # A branch without a word is no loss.
    del record["mapping"]["u2"]
    record["mapping"] |= node("a2", "u", "assistant", "")
    assert read(record).trimmed == ()


def test_without_current_node_the_newest_leaf_ends_it():
    mapping = {
        **node("u", None, "user", "q", create_time=9), **node("a1", "u", "assistant", "new", create_time=3.5),
        **node("a2", "u", "assistant", "old", create_time=2),
    }  # fmt: skip
    for record in ({"mapping": mapping}, {"mapping": mapping, "current_node": None}):
        assert [message.content for message in read(record).messages] == ["q", "new"]


def test_fields_that_are_not_read_are_named():
    record = {**row((*USER, {"weight": 1.0, "status": "done"}), ANSWER), "title": "Primes"}
    assert read(record).ignored == {
        "title", "mapping[].message.id", "mapping[].message.weight", "mapping[].message.status",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "trimmed"),
    [
        (("system", ""), ()),
        (("system", "Be terse.", HIDDEN), ("hidden messages left out",)),
        (("user", "", HIDDEN), ()),
        (("assistant", {"content_type": "text", "parts": []}), ()),
        (("user", {"content_type": "user_editable_context", "user_profile": "I am Ann."}, HIDDEN),
         ("custom instructions left out",)),
        (("assistant", {"content_type": "model_editable_context", "model_set_context": ""}), ()),
        (("tool", {"content_type": "execution_output", "text": ""}), ()),
    ],
)  # fmt: skip
def test_messages_without_text_and_hidden_ones_are_not_read(message, trimmed):
    conversation = read(row(message, USER, ANSWER))
    assert [(each.role, each.content) for each in conversation.messages] == [USER, ANSWER]
    assert conversation.trimmed == trimmed


def test_files_that_are_not_in_the_export_are_counted():
    attached = {"metadata": {"attachments": [{"id": "f", "name": "a.pdf"}]}}
    assert read(row((*USER, attached), ANSWER)).trimmed == ("attached files left out",)


def test_calls_and_results_of_tools():
    code = {"content_type": "code", "language": "unknown", "text": "print(7)"}
    messages = [
        USER,
        ("assistant", "Let me see."),
        ("assistant", code, {"recipient": "python"}),
        ("tool", {"content_type": "execution_output", "text": "7"}),
        ANSWER,
    ]
    assert texts(*messages) == [
        USER,
        ("assistant", 'Let me see.\n<tool_call>\n{"name": "python", "arguments": "print(7)"}\n</tool_call>'),
        ("user", "<tool_response>\n7\n</tool_response>"),
        ANSWER,
    ]
    assert read(row(*messages), tools="drop_row").dropped == "has tools"
    # Arguments that are JSON stay as they are written.
    code["text"] = '{"q":1}'
    assert texts(*messages)[1][1].endswith('{"name": "python", "arguments": {"q":1}}\n</tool_call>')


def test_messages_of_the_assistant_in_a_row_are_one_turn():
    call = ("assistant", "7", {"recipient": "bio"})
    called = '<tool_call>\n{"name": "bio", "arguments": "7"}\n</tool_call>'
    assert texts(USER, call, ("tool", ""), ANSWER) == [USER, ("assistant", f"{called}\nSeven.")]
    assert texts(USER, ANSWER, ("assistant", "Or two.")) == [USER, ("assistant", "Seven.\n\nOr two.")]


def test_what_a_tool_gives_may_be_of_any_type():
    browsed = {"content_type": "tether_browsing_display", "result": "L1", "summary": None}
    other = {"content_type": "computer_output", "state": 1}
    given = texts(USER, ANSWER, ("tool", browsed), ("tool", other), ("assistant", "So."))[2][1]
    assert given == (
        "<tool_response>\nL1\n</tool_response>\n"
        '<tool_response>\n{"content_type": "computer_output", "state": 1}\n</tool_response>'
    )


def test_thoughts_follow_the_setting():
    recap = {"content_type": "reasoning_recap", "content": "Thought for 5s"}
    messages = [USER, ("assistant", thoughts(("Primes", "2, 3."), ("", "7!"))), ("assistant", recap), ANSWER]
    assert texts(*messages) == [
        USER,
        ("assistant", "<think>\nPrimes\n2, 3.\n\n7!\n\nThought for 5s\n</think>\n\nSeven."),
    ]
    dropped = read(row(*messages), thinking="drop")
    assert [message.content for message in dropped.messages] == ["Name a prime.", "Seven."]
    assert dropped.trimmed == ("thinking left out",)


@pytest.mark.parametrize("after", [[("user", "Well?"), ANSWER], []])
def test_thoughts_without_an_answer_are_counted(after):
    conversation = read(row(USER, ANSWER, ("user", "Why?"), ANSWER, ("assistant", thoughts(("", "Hm."))), *after))
    assert conversation.trimmed == ("thinking left out",)
    empty = read(row(USER, ("assistant", thoughts()), ANSWER))
    assert (empty.messages[1].content, empty.trimmed) == ("Seven.", ())


def parts(*given):
    return {"content_type": "multimodal_text", "parts": list(given)}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (("user", parts(IMAGE, "What is it?")), "has an image"),
        (("tool", parts(IMAGE)), "has an image"),
        (("user", parts({"content_type": "audio_asset_pointer", "asset_pointer": "x"})), "has audio"),
        (("user", parts({"content_type": "real_time_user_audio_video_asset_pointer", "frames_asset_pointers": ["x"]})),
         "has a video"),
    ],
)  # fmt: skip
def test_rows_that_are_not_text_alone_are_dropped(message, reason):
    assert read(row(USER, ANSWER, message, ANSWER)).dropped == reason


def test_speech_is_read_as_it_was_written_down():
    spoken = parts(
        {"content_type": "audio_transcription", "text": "Name a prime.", "direction": "in"},
        {"content_type": "real_time_user_audio_video_asset_pointer", "frames_asset_pointers": []},
    )
    assert texts(("user", spoken), ANSWER) == [USER, ANSWER]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"current_node": "m9"},
         'field current_node: is "m9", which is not in mapping; export the conversation again, or remove the row'),
        ({"mapping": {**node("a", "gone", *ANSWER)}, "current_node": "a"},
         'field mapping.a.parent: is "gone", which is not in mapping; export the conversation again, or remove the '
         "row"),
        ({"mapping": {**node("a", "b", *ANSWER), **node("b", "a", *USER)}, "current_node": "a"},
         "field mapping.b.parent: leads back to the message a; repair the row"),
        ({"current_node": None},
         "field current_node: is missing, and no last message in mapping has a create_time; write the id of the last "
         "message there"),
        ({"mapping": 7}, "field mapping: is a number, not an object of messages; repair the row"),
        ({"mapping": {"m1": 7}},
         "field mapping.m1: is a number, not an object with message and parent; repair the row"),
        ({"mapping": {}, "current_node": None}, "field mapping: holds no question with an answer; remove the row"),
        ({"mapping": {"m1": {"message": {"author": None, "content": {"parts": ["x"]}}, "parent": None}}},
         "field mapping.m1.message.author: is null, not an object with role; repair the row"),
        ({"mapping": {"m1": {"message": {"author": {}, "content": {"parts": ["x"]}}, "parent": None}}},
         "field mapping.m1.message.author.role: is missing; the fields are nothing; repair the row"),
        ({"mapping": {"m1": {"message": {"author": {"role": "user"}, "content": "x"}, "parent": None}}},
         "field mapping.m1.message.content: is a string, not an object; repair the row"),
        ({"mapping": node("m1", None, "user", {"content_type": "canvas", "body": "x"})},
         "field mapping.m1.message.content: of type 'canvas' has neither parts nor text, result, content; write it as "
         "content_type text, or remove the row"),
        ({"mapping": node("m1", None, "user", parts({"content_type": "map"}))},
         "field mapping.m1.message.content.parts[0]: is an object of unknown type 'map'; write its text as "
         "a string"),
        ({"mapping": node("m1", None, "user", parts(7))},
         "field mapping.m1.message.content.parts[0]: is a number, not a text; write its text as a string"),
    ],
)  # fmt: skip
def test_what_is_broken_is_refused(change, message):
    # Recognised although it is broken, from its usual names.
    with pytest.raises(BadRow) as error:
        read({**row(USER, ANSWER), **change})
    assert str(error.value) == f"{message}, or set on_bad_row: skip for this pool"


def test_an_unknown_role_is_refused():
    with pytest.raises(BadRow, match=r"field mapping\.m2\.message\.author\.role: 'critic' is not a known role"):
        read(row(USER, ANSWER, ("critic", "No."), ANSWER))


NAMES = st.sampled_from(["a", "b", "c"])
CONTENTS = st.fixed_dictionaries(
    {"content_type": st.sampled_from(["text", "thoughts", "code", "x"])},
    optional={"parts": st.lists(st.sampled_from(["", "x", None, 7, IMAGE]), max_size=2),
              "text": st.sampled_from(["x", None, 7]), "thoughts": st.just([{"content": "x"}])},
)  # fmt: skip
MESSAGES = st.none() | st.fixed_dictionaries(
    {"author": st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "system", 7])})},
    optional={"content": CONTENTS, "recipient": st.sampled_from(["all", "python", 7]), "create_time": st.floats(),
              "metadata": st.just(HIDDEN["metadata"]) | st.just(7)},
)  # fmt: skip
NODES = st.fixed_dictionaries({"message": MESSAGES, "parent": st.none() | NAMES})


@given(st.dictionaries(NAMES, NODES), st.none() | NAMES)
def test_whatever_a_tree_holds_it_is_read_or_a_bad_row(mapping, end):
    try:
        conversation = read({"mapping": mapping, "current_node": end}, form="chatgpt", out_of_turn="cut")
    except BadRow:
        return
    assert conversation.dropped or check_normal_form(conversation.messages) is None
