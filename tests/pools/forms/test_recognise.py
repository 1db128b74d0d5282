"""Which form a pool is read in: seen from rows of all its files, said, and refused where it cannot be told."""

import json
import logging

import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.conversation import read_conversation
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.recognise import SAMPLE_ROWS, UnknownForm, find_reading, recognise, sample_records
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from tests.pools.forms.shapes import CHAT, SHAREGPT, turn


def settings(**given):
    return PoolSettings.model_validate({"source": {"files": "x"}, **given})


def raw_pool(folder, **files):
    for name, records in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    given = settings(source={"files": str(folder / "*.jsonl")}, on_bad_row="skip")
    write_raw_pool(given, folder / "raw")
    return given, folder / "raw"


def numbered(count, **fields):
    return [{"messages": CHAT, "number": number, **fields} for number in range(count)]


def test_rows_of_every_file_are_looked_at_and_always_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("selection_platform.pools.shards.ROWS_PER_SHARD", 70)
    _, raw = raw_pool(tmp_path, a=numbered(250, file="a"), b=numbered(3, file="b"))
    records = sample_records(raw)
    numbers = [record["number"] for record in records if record["file"] == "a"]
    assert numbers == [number * 250 // (SAMPLE_ROWS // 2) for number in range(SAMPLE_ROWS // 2)]
    assert [record["number"] for record in records if record["file"] == "b"] == [0, 1, 2]
    assert sample_records(raw) == records


def test_the_first_row_does_not_decide(tmp_path):
    given, raw = raw_pool(tmp_path, a=[{"conversations": None, "text": "x"}, *[{"conversations": SHAREGPT}] * 20])
    assert find_reading(given, raw).form == "sharegpt"


def test_the_form_is_logged_and_reported(tmp_path, caplog):
    given, raw = raw_pool(
        tmp_path, a=[*numbered(1, context="c"), {"messages": [CHAT[0], turn("assistant", "9")], "context": "d"}]
    )
    with caplog.at_level(logging.INFO, logger="selection_platform"):
        report = write_pool(given, raw, [], tmp_path / "pool")
    assert report.form == "messages: a list of {role, content} in messages"
    assert report.ignored == ["number"]
    assert caplog.messages == [
        "pool: form recognised as messages: a list of {role, content} in messages",
        "pool: 2 lost a part: field context left out",
        "pool: fields not read: number",
    ]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [{"messages": CHAT, "conversations": SHAREGPT}],
            "form: several fit the 1 rows that were inspected; choose one, or make a separate pool for each: "
            "form: messages, column: messages (1 rows); form: sharegpt, column: conversations (1 rows)",
        ),
        (
            [{"prompt": "q", "response": "a", "answer": "b"}],
            "form: several fit the 1 rows that were inspected; choose one, or make a separate pool for each: "
            "columns: {prompt: prompt, answer: response} (1 rows); columns: {prompt: prompt, answer: answer} (1 rows)",
        ),
        (
            [{"messages": CHAT}] * 5 + [{"prompt": "q", "completion": "a"}] * 4,
            "form: several fit the 9 rows that were inspected; choose one, or make a separate pool for each: "
            "form: messages, column: messages (5 rows); columns: {prompt: prompt, answer: completion} (4 rows)",
        ),
        (
            [{"text": "a", "id": 1}],
            "form: cannot be recognised from the rows, which have the fields id, text; name the list of messages with "
            "`form` and `column`, or question and answer with `columns: {prompt: ..., answer: ...}`, or convert the "
            "rows as docs/pools.md says under 'Shapes that you must convert'",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(records, message):
    with pytest.raises(UnknownForm) as error:
        recognise(records, settings())
    assert str(error.value) == message


def talk(role, text):
    return {"talk": [{role: "user", text: "q"}, {role: "assistant", text: "a"}]}


def test_other_keys_are_said_and_asked_for_by_the_column():
    reading = recognise([talk("speaker", "utterance")], settings())
    assert reading == Reading("messages", "talk", keys=("speaker", "utterance"))
    assert str(reading) == "messages: a list of {speaker, utterance} in talk"
    assert recognise([{**talk("speaker", "utterance"), "messages": CHAT}], settings(column="talk")) == reading


def test_of_several_keys_the_first_that_every_message_has_counts():
    messages = [{"speaker": "user", "author": "x", "text": "q", "value": "y"}, {"speaker": "assistant", "text": "a"}]
    assert recognise([{"talk": messages}], settings()).keys == ("speaker", "text")
    messages[1] |= {"author": "z", "value": "b"}
    assert recognise([{"talk": messages}], settings()).keys == ("author", "value")
    with pytest.raises(UnknownForm, match="cannot be recognised from the rows, which have the fields talk"):
        recognise([{"talk": [{"speaker": "user", "text": "q"}, {"speaker": "assistant"}]}], settings())


def test_other_keys_change_nothing_where_a_form_fits():
    comments = {"comments": [{"author": "user", "text": "q"}]}
    assert recognise([{"messages": CHAT, **comments}], settings()) == Reading("messages", "messages")
    assert recognise([{"talk": SHAREGPT, **comments}], settings()) == Reading("sharegpt", "talk")
    assert recognise([{"prompt": "q", "completion": "a", **comments}], settings()).form == "columns"
    # Lists of a usual name before others.
    dialog = {"dialog": talk("speaker", "text")["talk"]}
    assert recognise([{**comments, **dialog}], settings()).column == "dialog"


def test_lists_whose_keys_differ_by_row_are_refused_as_no_setting_can_tell():
    with pytest.raises(UnknownForm) as error:
        recognise([talk("speaker", "text"), talk("speaker", "text"), talk("author", "text")], settings())
    assert str(error.value) == (
        "form: talk is a list of {speaker, text} in 2 rows and a list of {author, text} in 1 rows; rename the keys so "
        "that all rows have the same ones, or put the rows of each into separate files and make a pool for each"
    )


def test_a_message_without_the_keys_of_the_others_is_a_bad_row():
    given = settings()
    record = {"talk": [{"speaker": "user", "text": "q"}, {"author": "assistant", "text": "a"}]}
    with pytest.raises(BadRow) as error:
        read_conversation(record, recognise([talk("speaker", "text")], given), given)
    assert str(error.value) == (
        "field talk[1].speaker: is missing; the fields are author, text; rename the key, or leave form out, "
        "so that other usual keys are recognised, or set on_bad_row: skip for this pool"
    )
    with pytest.raises(BadRow, match=r"field talk\[0\]: is a string, not an object with speaker and text; write it as"):
        read_conversation({"talk": ["q"]}, recognise([talk("speaker", "text")], given), given)


def test_a_few_rows_of_another_form_are_bad_rows():
    assert recognise([{"messages": CHAT}] * 9 + [{"prompt": "q", "completion": "a"}], settings()).form == "messages"


def test_a_broken_list_under_its_usual_name_is_left_to_the_reader():
    assert recognise([{"messages": 7}], settings()) == Reading("messages", "messages")
    assert recognise([{"talk": 7}], settings(column="talk")) == Reading("messages", "talk")


def test_settings_narrow_what_is_looked_at():
    record = {"messages": CHAT, "talk": SHAREGPT}
    assert recognise([record], settings(column="talk")) == Reading("sharegpt", "talk")
    record = {"chosen": CHAT, "rejected": CHAT, "other": SHAREGPT}
    assert recognise([record], settings()) == Reading("messages", "chosen")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"form": "tree", "column": "x"}, "column: the tree form has no list of messages"),
        ({"form": "chatgpt", "column": "x"}, "column: the chatgpt form has no list of messages; leave it out"),
        ({"columns": {"prompt": "a"}}, "columns: prompt and answer go together; name both"),
        ({"columns": {"prompt": "a", "answer": "a"}}, "columns: prompt and answer must name two fields"),
        ({"form": "columns"}, "columns: the columns form needs the fields of prompt and answer"),
        ({"form": "sharegpt", "columns": {"prompt": "a", "answer": "b"}}, "are for rows without a list of messages"),
    ],
)
def test_settings_that_do_not_go_together(given, message):
    with pytest.raises(ValueError, match=message):
        settings(**given)
