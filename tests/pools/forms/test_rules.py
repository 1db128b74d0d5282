"""The rules of reading, one by one: roles, tools, thinking, weights, parts, and what is left out by name."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.filters import field_reason
from selection_platform.pools.forms.conversation import read_conversation
from selection_platform.pools.forms.parsing import parse_row
from selection_platform.pools.forms.reading import Reading, columns_reading, stated_reading
from selection_platform.pools.forms.recognise import UnknownForm, recognise
from selection_platform.text.conversation import Message, check_normal_form, sample_id
from tests.pools.forms.shapes import ADD as TOOL
from tests.pools.forms.shapes import CALL, CALLED, CHAT, GAVE, SHAREGPT, TOOLS, said, turn

USER, ANSWER = turn("user", "q"), turn("assistant", "a")


def settings(**given):
    return PoolSettings.model_validate({"source": {"files": "x"}, **given})


NAMES = [
    "messages", "role", "content", "from", "value", "input", "output", "type", "text", "tool_calls", "function", "name",
    "arguments", "weight", "system", "tools", "chat_template_kwargs", "history", "prompt", "reasoning", "images",
    "chosen", "mapping", "current_node", "message", "parent", "author", "content_type", "parts", "thoughts", "sender",
    "attachments", "extracted_content", "files", "chat_messages",
]  # fmt: skip
FORMS = [
    Reading("messages", "messages"), Reading("sharegpt", "messages"), Reading("pairs", "messages"),
    Reading("strings", "messages"), Reading("tree", "messages"), columns_reading("prompt", "output", settings()),
    Reading("chatgpt", "mapping"), Reading("messages", "messages", keys=("sender", "text")),
    Reading("messages", "messages", keys=("sender", "content")),
]  # fmt: skip


def read(row, **given):
    wanted = settings(**given)
    return read_conversation(row, stated_reading(wanted) or recognise([row], wanted), wanted)


def texts(*turns, **given):
    return [(message.role, message.content) for message in read({"messages": list(turns)}, **given).messages]


@pytest.mark.parametrize("role", ["tool", "function", "environment", "observation", "ipython", "tool_response"])
def test_results_of_tools_stand_in_the_users_turn_and_together(role):
    result = turn(role, "3")
    called = turn("assistant", "Let me see.", tool_calls=[CALL, CALL])
    assert texts(USER, called, result, result, ANSWER) == [
        ("user", "q"),
        ("assistant", f"Let me see.\n{CALLED}\n{CALLED}"),
        ("user", f"{GAVE}\n{GAVE}"),
        ("assistant", "a"),
    ]


def test_calls_in_a_role_of_their_own():
    row = {
        "conversations": [
            said("human", "q"), said("function_call", '{"name":"add"}'), said("observation", "3"), said("gpt", "a")
        ],
        "tools": f"[{'{'}\"name\": \"add\"{'}'}]",
    }  # fmt: skip
    assert [(message.role, message.content) for message in read(row).messages] == [
        ("system", '<tools>\n{"name": "add"}\n</tools>'),
        ("user", "q"),
        ("assistant", '<tool_call>\n{"name":"add"}\n</tool_call>'),
        ("user", GAVE),
        ("assistant", "a"),
    ]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"name": "f", "arguments": {"x": "é"}}, '{"name": "f", "arguments": {"x": "é"}}'),
        ({"name": "f", "arguments": "not json"}, '{"name": "f", "arguments": "not json"}'),
        ({"name": "f"}, '{"name": "f", "arguments": {}}'),
        ({"do": "it"}, '{"do": "it"}'),
        ({"id": "1", "name": "f", "parameters": {"x": 1}}, '{"id": "1", "name": "f", "parameters": {"x": 1}}'),
        ({"function": {"name": "f"}, "result": 3}, '{"function": {"name": "f"}, "result": 3}'),
    ],
)
def test_a_call_is_one_line_of_json(call, expected):
    row = {"messages": [USER, turn("assistant", "", function_call=call)]}
    assert read(row).messages[-1].content == f"<tool_call>\n{expected}\n</tool_call>"


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ANSWER], "tools": [TOOL]},
        {"messages": [USER, turn("assistant", None, tool_calls=[CALL])]},
        {"messages": [USER, turn("assistant", "x"), turn("tool", "3"), ANSWER]},
        {"messages": [turn("system", "s", functions="[{}, {\"name\": 1}]"), USER, ANSWER]},
        {"messages": [USER, turn("assistant", [{"type": "tool_use", "name": "f", "input": {}}])]},
        {"conversations": [said("human", "q"), said("function_call", '{"name": "f"}'), said("gpt", "a")]},
    ],
)  # fmt: skip
def test_rows_with_tools_can_be_dropped_by_a_reason_of_their_own(row):
    assert read(row, tools="drop_row").dropped == "has tools"
    assert read(row, out_of_turn="cut").dropped is None


@pytest.mark.parametrize("empty", [None, [], "", "[]", "null"])
def test_no_tools_are_no_tools(empty):
    row = {"messages": [USER, turn("assistant", "a", tool_calls=empty)], "tools": empty}
    assert read(row, tools="drop_row").messages == (Message("user", "q"), Message("assistant", "a"))


def test_what_has_its_tags_already_stays_as_it_is():
    row = {
        "conversations": [
            said("system", TOOLS), said("human", "q"), said("function_call", CALLED), said("tool", f"{GAVE}\n"),
            said("gpt", "a"),
        ],
        "tools": json.dumps([TOOL]),
    }  # fmt: skip
    assert [message.content for message in read(row).messages] == [TOOLS, "q", CALLED, f"{GAVE}\n", "a"]


def test_definitions_that_the_system_message_has_are_not_said_again():
    row = {"messages": [turn("system", f"s\n{TOOLS}"), USER, ANSWER], "tools": [TOOL]}
    assert read(row).messages[0].content == f"s\n{TOOLS}"


@pytest.mark.parametrize("name", ["reasoning_content", "thinking", "reasoning"])
def test_thinking_in_a_field_of_its_own(name):
    row = {"messages": [USER, turn("assistant", "a", **{name: "hm "})]}
    kept, dropped = read(row), read(row, thinking="drop")
    assert (kept.messages[-1].content, kept.trimmed) == ("<think>\nhm \n</think>\n\na", ())
    assert (dropped.messages[-1].content, dropped.trimmed) == ("a", ("thinking left out",))
    assert sample_id(kept.messages) != sample_id(dropped.messages)


def test_thinking_in_the_text_stays_as_it_is():
    text = "<think>hm</think>\n\n a "
    for thinking in ("keep", "drop"):
        assert texts(USER, turn("assistant", text), thinking=thinking)[-1] == ("assistant", text)
    parts = [{"type": "thinking", "thinking": "b"}, {"type": "text", "text": "a"}]
    assert texts(USER, turn("assistant", parts, thinking="a"))[-1] == ("assistant", "<think>\na\n\nb\n</think>\n\na")
    # Given twice, it is kept once, and nothing is left out.
    twice = {"messages": [USER, turn("assistant", text, reasoning_content="hm")]}
    assert (read(twice).messages[-1].content, read(twice, thinking="drop").trimmed) == (text, ())


@pytest.mark.parametrize(
    ("fields", "trained"),
    [({"weight": 0}, False), ({"weight": 0.0}, False), ({"train": False}, False), ({"weight": 1}, True),
     ({"weight": None}, True), ({"train": True}, True), ({"weight": 0.5}, True)],
)  # fmt: skip
def test_weights_say_what_is_trained_on(fields, trained):
    conversation = read({"messages": [USER, turn("assistant", "a", **fields), USER, ANSWER]})
    assert conversation.messages[1].trained is trained
    assert conversation.trimmed == (("weight other than 0 and 1 taken as 1",) if fields.get("weight") == 0.5 else ())


def test_a_conversation_ends_with_its_last_answer_that_is_trained_on():
    untrained = turn("assistant", "b", weight=0)
    conversation = read({"messages": [USER, ANSWER, USER, untrained, USER, untrained, USER]})
    assert [message.content for message in conversation.messages] == ["q", "a"]
    assert conversation.trimmed == ("unanswered last message removed", "what follows the last trained answer cut")
    assert read({"messages": [turn("system", "s"), USER, untrained]}).dropped == "no answer is trained on"


def test_a_weight_that_is_no_number_is_a_bad_row():
    with pytest.raises(BadRow, match=r"field messages\[1\]\.weight: is neither a number nor true or false"):
        read({"messages": [USER, turn("assistant", "a", weight="much")]})


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "image_url", "image_url": {"url": "u"}}, "has an image"),
        ({"type": "image"}, "has an image"),
        ({"type": "input_audio", "input_audio": {}}, "has audio"),
        ({"type": "video"}, "has a video"),
    ],
)
def test_rows_that_are_not_text_alone_are_dropped_by_their_own_reason(part, reason):
    assert read({"messages": [turn("user", [{"type": "text", "text": "q"}, part]), ANSWER]}).dropped == reason


def test_images_beside_the_messages_drop_the_row_too():
    assert read({"messages": [USER, ANSWER], "images": [{"path": "a.png"}]}).dropped == "has an image"
    assert read({"messages": [USER, ANSWER], "images": [], "image": None}).dropped is None


def test_parts_of_anthropics_form():
    answer = turn("assistant", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "So:"},
                                {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}])  # fmt: skip
    result = turn("user", [{"type": "tool_result", "tool_use_id": "1", "content": "3"}])
    assert texts(USER, answer, result, ANSWER)[1:3] == [
        (
            "assistant",
            '<think>\nhm\n</think>\n\nSo:\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>',
        ),
        ("user", GAVE),
    ]


def test_system_messages_before_all_others_become_one():
    opening = [turn("system", "one"), turn("developer", "two")]
    assert texts(*opening, USER, ANSWER)[0] == ("system", "one\n\ntwo")
    row = {"messages": [*opening, USER, ANSWER], "system": "zero"}
    assert read(row).messages[0].content == "zero\n\none\n\ntwo"
    # What is said twice is said once.
    assert read({**row, "system": "two"}).messages[0].content == "one\n\ntwo"


@pytest.mark.parametrize(
    ("turns", "joined", "cut"),
    [
        ([USER, USER, ANSWER], [("user", "q\n\nq"), ("assistant", "a")], None),
        ([USER, ANSWER, ANSWER], [("user", "q"), ("assistant", "a\n\na")], 1),
        ([USER, ANSWER, turn("system", "s"), USER, ANSWER], [("user", "q"), ("assistant", "a")], 1),
        ([USER, turn("assistant", "x"), turn("tool", "3"), USER, ANSWER],
         [("user", "q"), ("assistant", "x"), ("user", f"{GAVE}\n\nq"), ("assistant", "a")], 1),
        ([USER, ANSWER, turn("narrator", "x")], [("user", "q"), ("assistant", "a")], 1),
        ([USER, ANSWER, turn("assistant", "b", weight=0)], [("user", "q"), ("assistant", "a")], 1),
    ],
)  # fmt: skip
def test_messages_out_of_turn(turns, joined, cut):
    assert texts(*turns, out_of_turn="join") == joined
    with pytest.raises(BadRow):
        texts(*turns)
    if cut is None:
        with pytest.raises(BadRow, match="holds no question with an answer"):
            texts(*turns, out_of_turn="cut")
    else:
        assert len(texts(*turns, out_of_turn="cut")) == 2 * cut


def test_nothing_before_an_unknown_role_is_worth_keeping_without_an_answer():
    for out_of_turn in ("cut", "join"):
        with pytest.raises(BadRow, match="'narrator' is not a known role"):
            texts(USER, turn("narrator", "x"), ANSWER, out_of_turn=out_of_turn)


def test_a_cut_before_an_unknown_role_is_counted():
    row = {"messages": [USER, ANSWER, turn("narrator", "x")]}
    assert read(row, out_of_turn="cut").trimmed == ("cut before a message of an unknown role",)


@pytest.mark.parametrize(
    ("fields", "trimmed"),
    [
        ({"context": "c"}, ("field context left out",)),
        ({"history": [["x", "y"]]}, ("field history left out",)),
        ({"rejected": [turn("user", "q"), turn("assistant", "no")]}, ("field rejected left out",)),
        ({"prompt": "Name a prime.", "response": "Seven.", "chosen": CHAT}, ()),
        ({"prompt": "Another."}, ("field prompt left out",)),
        ({"rejected": "no", "answer": "true"}, ("field rejected left out", "field answer left out")),
        ({"context": "", "history": [], "rejected": None, "reasoning": "on", "weight": 1.0}, ()),
        ({"chat_template_kwargs": {"enable_thinking": True, "history": "h"}},
         ("field chat_template_kwargs.history left out",)),
    ],
)  # fmt: skip
def test_fields_that_carry_meaning_are_counted_by_name_where_they_are_not_read(fields, trimmed):
    assert read({"messages": CHAT, **fields}).trimmed == trimmed


def test_fields_of_messages_that_carry_meaning_are_counted_too():
    row = {"messages": [turn("user", "q", thinking="hm", name="Ann"), turn("assistant", "a", tools=[TOOL])]}
    conversation = read(row)
    assert set(conversation.trimmed) == {
        "field messages[].thinking left out",
        "field messages[].tools left out",
    }
    assert conversation.ignored == {"messages[].name"}


def test_fields_that_are_not_read_are_named():
    row = {"conversations": [{**each, "id": 1} for each in SHAREGPT], "uuid": "u", "score": 5, "input": ""}
    assert read(row).ignored == {"conversations[].id", "uuid", "score"}


def test_a_system_field_can_be_left_out_and_is_counted():
    conversation = read({"messages": CHAT, "system": "s"}, columns={"system": ""})
    assert [message.role for message in conversation.messages] == ["user", "assistant"]
    assert conversation.trimmed == ("field system left out",)
    assert read({"messages": CHAT, "rules": "s"}, columns={"system": "rules"}).messages[0] == Message("system", "s")
    # A number under a usual name is not one; under the name that was asked for it is a fault.
    assert read({"messages": CHAT, "system": 7}).ignored == {"system"}
    with pytest.raises(BadRow, match="field rules: is a number, not a string"):
        read({"messages": CHAT, "rules": 7}, columns={"system": "rules"})


def test_columns_are_named():
    row = {"ask": CHAT[:1], "reply": CHAT[1:], "sys": "s", "past": [turn("user", "x"), turn("assistant", "y")]}
    names = {"prompt": "ask", "answer": "reply", "system": "sys", "history": "past"}
    messages = read(row, columns=names).messages
    assert [message.content for message in messages] == ["s", "x", "y", "Name a prime.", "Seven."]
    row = {"ask": "q", "reply": "a", "facts": "f"}
    names = {"prompt": "ask", "answer": "reply", "context": "facts"}
    assert read(row, columns=names).messages[0] == Message("user", "q\n\nf")


@pytest.mark.parametrize(
    "value", [2**70, -(2**64), 10**19, 1.5, 1e300, '\u2028 \x7f "\\ é \ud800', [None, True, {"": ""}], float("inf")]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_values_are_those_of_pythons_own_json(value, ascii_only):
    for row in ({"a": value}, {"tools": [{"b": value}]}):
        text = json.dumps(row, ensure_ascii=ascii_only)
        assert parse_row(text) == json.loads(text)


@pytest.mark.parametrize(
    ("wanted", "value", "kept"),
    [(1, 1, True), (1, 1.0, True), (1, True, False), (True, True, True), (True, 1, False), (0, False, False),
     (None, None, True), ("1", 1, False)],
)  # fmt: skip
def test_where_tells_numbers_from_true_and_false(wanted, value, kept):
    assert (field_reason({"n": value}, settings(where={"n": wanted})) is None) == kept


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from(["", "text", "[1]", "{}", "user", "image"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), st.sampled_from(FORMS))
def test_whatever_a_row_holds_it_is_read_or_a_bad_row(row, reading):
    for wanted in ({}, {"out_of_turn": "join", "tools": "drop_row", "thinking": "drop"}):
        try:
            conversation = read_conversation(row, reading, settings(**wanted))
        except BadRow:
            continue
        assert conversation.dropped or check_normal_form(conversation.messages) is None


@pytest.mark.slow
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), max_size=4))
def test_whatever_rows_hold_their_form_is_told_or_refused(records):
    with contextlib.suppress(UnknownForm):
        recognise(records, settings())


def test_a_row_that_is_nested_too_deep_is_a_bad_row():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadRow, match="JSON that is nested too deep"):
        read({"messages": CHAT, "tools": deep}, form="messages")
    assert recognise([{"messages": CHAT}, {"messages": deep}], settings()).form == "messages"
