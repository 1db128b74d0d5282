"""Each row that a pool drops has the reason by which the pool's report counts it, and a bad row its example."""

import json
from collections import Counter

import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.dropped_row import why_dropped
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.shards import read_rows
from tests.bad_input.pools import chat, turn

LONG = " ".join(f"word{number}" for number in range(60))
ITEM = " ".join(f"item{number}" for number in range(13))
ROWS = [
    chat("Why?"),
    {"messages": [turn("user", "no answer")]},
    "{",
    chat("Why?"),
    {"messages": 3},
    chat("Hi?", LONG),
    chat("Hi?", f"{LONG} more"),
    chat("a", "b", kind="other"),
    chat(ITEM),
    chat("What?", "x" * 3000),
    "",
    {"messages": [turn("user", "q"), turn("judge", "a")]},
]
SETTINGS = {"on_bad_row": "skip", "max_characters": 2000, "near_duplicates": 0.8}


def made(tmp_path, rows, **settings):
    """The pool's settings, its rows as places by id, and what its two reports count and show."""
    file = tmp_path / "a.jsonl"
    file.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows))
    given = PoolSettings.model_validate({"source": {"files": str(file)}, **SETTINGS, **settings})
    raw = write_raw_pool(given, tmp_path / "raw")
    pool = write_pool(given, tmp_path / "raw", [ITEM], tmp_path / "pool")
    kept = {row["sample_id"]: f"a.jsonl:{row['file_row']}" for row in read_rows(tmp_path / "pool")}
    return given, kept, {**raw.bad_rows, **pool.dropped}, {**raw.examples, **pool.examples}


def test_the_reasons_are_those_that_are_counted(tmp_path):
    settings, kept, counts, examples = made(tmp_path, ROWS)
    places = set(kept.values())
    assert places == {"a.jsonl:1", "a.jsonl:6", "a.jsonl:8"}
    name = str(tmp_path / "a.jsonl")
    why = {
        number: why_dropped(settings, tmp_path / "raw", [ITEM], (name, number), kept.get)
        for number, row in enumerate(ROWS, start=1)
        if row and f"a.jsonl:{number}" not in places
    }
    assert why[4] == "duplicate of an earlier row, a.jsonl:1"
    assert why[7] == "near-duplicate of an earlier row"
    assert why[9] == "shares 13 words in a row with a benchmark item"
    assert why[10] == "more than 2000 characters"
    assert {number for number, text in why.items() if "\n" in text} == {2, 3, 5, 12}
    assert Counter(text.split("\n")[0].split(", ")[0] for text in why.values()) == counts
    shown = dict(text.split("\n  ") for text in why.values() if "\n" in text)
    assert shown == examples


def test_a_limit_and_rows_that_are_not_there(tmp_path):
    settings, kept, _, _ = made(tmp_path, [chat(f"q{number}") for number in range(5)], limit=2)
    name = str(tmp_path / "a.jsonl")
    beyond = next(number for number in range(1, 6) if f"a.jsonl:{number}" not in kept.values())

    def why(number, settings=settings):
        return why_dropped(settings, tmp_path / "raw", [], (name, number), kept.get)

    assert why(beyond) == "near-duplicate of an earlier row, or beyond the pool's limit"
    assert why(beyond, settings.model_copy(update={"near_duplicates": None})) == "beyond the pool's limit"
    assert why(0) == why(6) == "the file has no such row"
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(json.dumps(chat("q5")) + "\n")
    assert why(6).startswith("it was not in the file when the pool was made")
    (tmp_path / "a.jsonl").unlink()
    assert why(6) == "the file has no such row"


def test_without_the_file_the_reasons_of_its_reading_are_named(tmp_path):
    settings, kept, _, _ = made(tmp_path, [chat("q"), "{"])
    name = str(tmp_path / "a.jsonl")
    assert why_dropped(settings, tmp_path / "raw", [], (name, 3), kept.get) == "the file has no such row"
    (tmp_path / "a.jsonl").unlink()
    why = why_dropped(settings, tmp_path / "raw", [], (name, 2), kept.get)
    assert why == "the file has no such row, or it was dropped when it was read (not JSON)"


@pytest.mark.parametrize("number", [1, 2])
def test_a_message_of_a_tree_names_no_conversation(tmp_path, number):
    message = {"message_id": "m1", "parent_id": None, "role": "prompter", "text": "Why?"}
    reply = {"message_id": "m2", "parent_id": "m1", "role": "assistant", "text": "So."}
    settings, kept, _, _ = made(tmp_path, [message, reply], form="tree")
    why = why_dropped(settings, tmp_path / "raw", [], (str(tmp_path / "a.jsonl"), number), kept.get)
    assert why == "it is one message of a tree; the row of the tree's first message names the conversation"
