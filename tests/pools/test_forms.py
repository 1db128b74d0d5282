import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms import conversation as rows
from selection_platform.pools.forms.messages import ROLE_NAMES, Turn
from selection_platform.pools.forms.normal import CUT, EMPTY_SYSTEM, UNANSWERED, normalise
from selection_platform.pools.forms.notes import Notes
from selection_platform.pools.forms.reading import stated_reading
from selection_platform.pools.forms.recognise import recognise
from selection_platform.text.conversation import ROLES, Message, check_normal_form


def settings(**given):
    return PoolSettings.model_validate({"source": {"files": "x"}, **given})


def read_conversation(record, given):
    return rows.read_conversation(record, stated_reading(given) or recognise([record], given), given)


QUESTION, ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
NORMAL = (Message("user", "Why?"), Message("assistant", "So."))


@pytest.mark.parametrize(
    ("given", "record", "expected"),
    [
        ({}, {"messages": [QUESTION, ANSWER]}, NORMAL),
        ({"form": "messages", "column": "chat"}, {"chat": [QUESTION, ANSWER], "messages": None}, NORMAL),
        (
            {"form": "sharegpt"},
            {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
            NORMAL,
        ),
        ({"form": "alpaca"}, {"instruction": "Why?", "input": "", "output": "So."}, NORMAL),
        ({"form": "alpaca"}, {"instruction": "Why?", "output": "So."}, NORMAL),
        (
            {"form": "alpaca"},
            {"instruction": "Add", "input": "1 2", "output": "3", "system": "Be brief"},
            (Message("system", "Be brief"), Message("user", "Add\n\n1 2"), Message("assistant", "3")),
        ),
    ],
)
def test_every_form_gives_the_normal_form(given, record, expected):
    assert read_conversation(record, settings(**given)).messages == expected


@pytest.mark.parametrize(("name", "role"), ROLE_NAMES.items())
def test_role_names_in_any_case(name, role):
    turns = [{"role": "system", "content": "x"}, QUESTION, ANSWER]
    turns[ROLES.index(role)] = {"role": name.upper(), "content": "x"}
    messages = read_conversation({"messages": turns}, settings()).messages
    assert messages[ROLES.index(role)] == Message(role, "x")


def test_names_of_the_data_mean_what_the_pool_says():
    turns = [{"speaker": "Customer", "utterance": "Why?"}, {"speaker": "AGENT", "utterance": "So."}]
    given = settings(roles={"customer": "user", "Agent": "assistant"})
    assert read_conversation({"dialog": turns}, given).messages == NORMAL
    # A usual name may mean something else here.
    swapped = [{**QUESTION, "role": "assistant"}, {**ANSWER, "role": "user"}]
    given = settings(roles={"assistant": "user", "user": "assistant"})
    assert read_conversation({"messages": swapped}, given).messages == NORMAL


def test_without_names_of_its_own_a_pool_is_what_it_was():
    assert "roles" not in settings().content()
    assert settings(roles={"Agent": "assistant"}).content()["roles"] == {"agent": "assistant"}


def test_what_is_trimmed_is_said():
    turns = [{"role": "system", "content": ""}, QUESTION, ANSWER, QUESTION]
    conversation = read_conversation({"messages": turns}, settings())
    assert conversation.messages == NORMAL
    assert conversation.trimmed == (EMPTY_SYSTEM, UNANSWERED)


def test_cutting_reads_nothing_after_the_break():
    turns = [QUESTION, ANSWER, ANSWER, {"role": "agent"}]
    conversation = read_conversation({"messages": turns}, settings(out_of_turn="cut"))
    assert conversation.messages == NORMAL
    assert conversation.trimmed == (CUT,)
    with pytest.raises(BadRow, match="but it is the user's turn"):
        read_conversation({"messages": turns}, settings())


def test_nothing_is_left_of_a_conversation_that_opens_with_the_answer():
    with pytest.raises(BadRow) as error:
        read_conversation({"messages": [ANSWER, QUESTION, ANSWER]}, settings(out_of_turn="cut"))
    assert error.value.reason == "no question with an answer"


TURNS = st.builds(Turn, st.sampled_from(ROLES), st.text(min_size=1), st.just(True), st.just("there"))


@given(st.lists(TURNS), st.sampled_from(("bad_row", "cut")))
def test_what_is_not_refused_is_in_normal_form_and_a_part_of_the_row(turns, out_of_turn):
    notes = Notes()
    try:
        messages = normalise(turns, out_of_turn, notes)
    except BadRow:
        return
    check_normal_form(messages)
    # System messages at the start become one, without those that are empty.
    first = next((index for index, turn in enumerate(turns) if turn.role != "system"), len(turns))
    opening = [turn.content for turn in turns[:first] if turn.content.strip()]
    assert (EMPTY_SYSTEM in notes.trimmed) == (len(opening) < first)
    expected = [Message("system", "\n\n".join(opening))] if opening else []
    expected += [Message(turn.role, turn.content) for turn in turns[first:]]
    assert messages == expected[: len(messages)]
    assert (len(messages) < len(expected)) == bool({CUT, UNANSWERED} & notes.trimmed.keys())


@given(st.lists(TURNS))
def test_joining_loses_no_text_before_what_is_cut(turns):
    notes = Notes()
    try:
        messages = normalise(turns, "join", notes)
    except BadRow:
        return
    check_normal_form(messages)
    whole = "\n\n".join(turn.content for turn in turns if turn.role != "system" or turn.content.strip())
    kept = "\n\n".join(message.content for message in messages)
    assert whole.startswith(kept)
    assert (len(kept) < len(whole)) == bool({CUT, UNANSWERED} & notes.trimmed.keys())
