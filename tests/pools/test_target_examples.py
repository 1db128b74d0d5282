"""A user's own examples as targets, and targets that are items of a benchmark."""

import json

import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.evaluation.worked_examples import write_targets
from selection_platform.pools.target_examples import check_apart, draw_apart, write_examples
from selection_platform.text.conversation import Message

ITEM = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
SHORT = "What is 2 + 2?"


def pair(question, answer="So."):
    return [Message("user", question), Message("assistant", answer)]


def examples(tmp_path, rows, **settings):
    (tmp_path / "wanted.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = PoolSettings.model_validate({"source": {"files": str(tmp_path / "wanted.jsonl")}, **settings})
    report = write_examples(given, [ITEM, SHORT], tmp_path / "work", "mine", tmp_path / "targets.parquet")
    return report, pq.read_table(tmp_path / "targets.parquet").to_pylist()


def row(question, **fields):
    return {"question": question, "answer": "So.", **fields}


def test_examples_are_read_as_pools_are(tmp_path):
    rows = [row("Why?", kind="b"), row("How?", kind="a"), row("Why?", kind="b")]
    report, written = examples(tmp_path, rows)
    assert {each["target"] for each in written} == {"mine"}
    assert [each["messages"][0]["content"] for each in written] == ["Why?", "How?"]
    assert report.dropped == {"duplicate of an earlier row": 1}
    _, written = examples(tmp_path, rows, source_column="kind")
    assert [(each["target"], each["messages"][0]["content"]) for each in written] == [("a", "How?"), ("b", "Why?")]


def test_examples_that_overlap_a_benchmark(tmp_path):
    with pytest.raises(PlatformError) as caught:
        examples(tmp_path, [row("Why?"), row(f"Please: {ITEM}")])
    assert str(caught.value) == (
        "targets.mine: 1 of 2 examples share 13 words in a row with a benchmark's item; leave them out, since to "
        "select for them is to select for the test"
    )


NEAR = "Which of these two rivers is the longer"


@pytest.mark.parametrize(
    ("question", "worked", "overlaps"),
    [
        (f"Please: {ITEM}", False, True),
        (f"Please: {ITEM}", True, False),
        (ITEM, True, True),
        (NEAR.upper(), False, True),
        (NEAR.upper(), True, False),
        # Items have short answers, which are everyday words, and brackets, which have no words.
        ("Yes.", False, False),
        ("...", False, False),
        ("what is 2 2", False, False),
    ],
)
def test_targets_that_are_items(tmp_path, question, worked, overlaps):
    items = [ITEM, SHORT, f"{NEAR}?", "yes", "( )", ""]
    messages = [Message("system", ""), *pair("Why?"), *pair(question)]
    write_targets({"mine": [pair("Why?"), messages]}, tmp_path / "targets.parquet")
    if not overlaps:
        check_apart(tmp_path / "targets.parquet", items, "mine", worked=worked)
        return
    with pytest.raises(PlatformError) as caught:
        check_apart(tmp_path / "targets.parquet", items, "mine", worked=worked)
    assert str(caught.value) == (
        f"targets.mine: 1 of 2 targets overlap items of the benchmarks, the first with {question[:80]!r}; leave them "
        "out, since to select for them is to select for the test"
    )


@pytest.mark.parametrize(
    ("limit", "drawn", "left_out"), [(1, "a", 0), (2, "ad", 2), (3, "adf", 3), (4, "adf", 3), (9, "adf", 3)]
)
def test_a_draw_goes_around_items(tmp_path, limit, drawn, left_out):
    pool = {"a": "Why?", "b": ITEM, "c": ITEM, "d": "How?", "e": NEAR, "f": "yes"}
    file = tmp_path / "targets.parquet"

    def draw(count):
        write_targets({name: [pair(text)] for name, text in list(pool.items())[:count]}, file)

    assert draw_apart(draw, file, limit, [ITEM, NEAR, "yes"], "mine") == left_out
    assert "".join(pq.read_table(file)["target"].to_pylist()) == drawn


def test_a_draw_from_nothing_but_items(tmp_path):
    file = tmp_path / "targets.parquet"
    with pytest.raises(PlatformError, match=r"targets\.mine: all samples of the pool overlap items of the benchmarks"):
        draw_apart(lambda _: write_targets({"a": [pair(ITEM)]}, file), file, 2, [ITEM], "mine")
