"""Trees of messages become conversations, and no message of them is lost without a word."""

import json

import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.shards import read_rows
from tests.pools.forms.shapes import OASST


def message(name, parent, text, role, **fields):
    return {"message_id": name, "parent_id": parent, "text": text, "role": role, **fields}


def ask(name, text="q", **fields):
    return message(name, None, text, "prompter", **fields)


def reply(name, parent, text="a", **fields):
    return message(name, parent, text, "assistant", **fields)


def make(tmp_path, records, **given):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = PoolSettings.model_validate({"source": {"files": str(path)}, **given})
    write_raw_pool(settings, tmp_path / "raw")
    report = write_pool(settings, tmp_path / "raw", [], tmp_path / "pool")
    assert report.rows == sum(report.kept.values()) + sum(report.dropped.values())
    assert not (tmp_path / "pool" / "trees").exists()
    rows = list(read_rows(tmp_path / "pool"))
    return report, [[each["content"] for each in row["messages"]] for row in rows]


def test_a_tree_among_others(tmp_path):
    report, texts = make(tmp_path, [reply("y", "x", "Hello"), *OASST, ask("x", "Hi")])
    assert texts == [["Name a prime.", "Seven.", "Why?", "No factors."], ["Hi", "Hello"]]
    assert report.form == "tree: messages that name the one that they reply to"
    assert report.trimmed == {
        "deleted messages": 1, "lower-ranked replies": 1, "messages that passed no review": 1,
    }  # fmt: skip
    assert {"lang", "messages[].rank", "message_id"} <= set(report.ignored)


def test_trees_that_cannot_be_read_are_counted(tmp_path):
    records = [
        *OASST,
        ask("gone", deleted=True), reply("g", "gone"),
        ask("bad", review_result=None), reply("b", "bad"),
        reply("orphan", "nowhere"), message("o2", "orphan", "x", "prompter"),
        reply("c1", "c2"), reply("c2", "c1"),
        ask("q"),
        {"message_id": 7, "parent_id": None, "text": "x", "role": "prompter"},
        ask("silent"),
    ]  # fmt: skip
    report, texts = make(tmp_path, records, on_bad_row="skip")
    assert len(texts) == 1
    assert report.dropped == {
        "deleted messages": 1,
        "messages that passed no review": 1,
        "reply to a message that is not in the pool": 1,
        "replies in a circle": 2,
        "a message_id occurs twice": 1,
        "no message of a tree": 1,
        "no question with an answer": 1,
    }


def test_a_bad_message_stops_with_its_place(tmp_path):
    with pytest.raises(BadRow, match=r"a\.jsonl, row 3, field message_id: is q, as in an earlier row; remove"):
        make(tmp_path, [ask("q"), reply("r", "q"), ask("q")])


def test_rows_of_a_tree_can_be_filtered_by_the_fields_of_its_first_message(tmp_path):
    records = [ask("e", lang="en"), reply("f", "e", "yes"), ask("g", lang="de"), reply("h", "g", "ja")]
    report, texts = make(tmp_path, records, where={"lang": "de"})
    assert texts == [["q", "ja"]]
    assert report.dropped == {"lang is not de": 1}


@pytest.mark.parametrize(
    ("ranks", "expected"), [((1, 0), "1"), ((0, 1), "0"), ((None, 3), "1"), ((None, None), "0"), ((2, 2), "0")]
)
def test_the_lowest_rank_is_the_best_and_no_rank_is_the_last(tmp_path, ranks, expected):
    replies = [reply(f"r{place}", "q", str(place), rank=rank) for place, rank in enumerate(ranks)]
    assert make(tmp_path, [ask("q"), *replies])[1] == [["q", expected]]
