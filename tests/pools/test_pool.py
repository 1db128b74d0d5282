import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.pool_settings import PoolSettings, SourceSettings
from selection_platform.configuration.profile import load_profile
from selection_platform.errors import PlatformError
from selection_platform.pools import shards
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.candidates import CandidateReader
from selection_platform.pools.pool import read_pool_report, write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.shards import read_rows
from selection_platform.pools.splits import split_at, split_of
from selection_platform.text.conversation import Message, sample_id, to_messages


def chat(question, answer="Because it is so.", **fields):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **fields}


def with_system(record, text="Be brief."):
    return {**record, "messages": [{"role": "system", "content": text}, *record["messages"]]}


def make(tmp_path, records, texts=(), name="pool", **given):
    """Write records as JSON lines, then the raw pool and the pool; the report and the rows."""
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = PoolSettings.model_validate({"source": {"files": str(path)}, **given})
    return make_from(tmp_path, settings, texts, name)


def make_from(tmp_path, settings, texts=(), name="pool"):
    write_raw_pool(settings, tmp_path / f"{name}-raw")
    report = write_pool(settings, tmp_path / f"{name}-raw", texts, tmp_path / name)
    rows = list(read_rows(tmp_path / name))
    assert report.rows == sum(report.kept.values()) + sum(report.dropped.values())
    assert sum(report.kept.values()) == len(rows)
    return report, rows


def test_a_row_of_the_pool(tmp_path):
    record = with_system(chat("Why?", "So.", origin="forum"))
    report, (row,) = make(tmp_path, [record], source_column="origin", licence="CC0-1.0")
    assert row == {
        "sample_id": sample_id(to_messages(record["messages"])),
        "source": "forum",
        "licence": "CC0-1.0",
        "messages": record["messages"],
        "turns": 1,
        "characters": len("Be brief.") + len("Why?") + len("So."),
        "split": "pool",
        "untrained": None,
        "file": str(tmp_path / "pool.jsonl"),
        "file_row": 1,
    }
    assert (report.kept, report.dropped, report.trimmed) == ({"pool": 1}, {}, {})
    assert read_pool_report(tmp_path / "pool") == report


@pytest.mark.parametrize(
    ("given", "record", "reason"),
    [
        ({"where": {"language": "English"}}, chat("b", language="German"), "language is not English"),
        ({"where": {"turn": 1}}, chat("b"), "turn is not 1"),
        ({"system": "drop_row"}, with_system(chat("b")), "has a system message"),
        ({"min_turns": 2}, chat("b"), "fewer than 2 turns"),
        ({"max_characters": 200}, chat("b" * 201), "more than 200 characters"),
        ({"min_characters": 21}, chat("b", "short"), "fewer than 21 characters"),
        ({"min_answer_characters": 6}, chat("b", "short"), "fewer than 6 characters in an answer"),
        ({"language": "en"}, chat("Wie komme ich von hier am schnellsten zum Bahnhof?"), "language is not en"),
    ],
)
def test_a_filter_drops_what_it_says_and_counts_it(tmp_path, given, record, reason):
    good = chat("How do I get to the station from here?", "By the second road.", language="English", turn=1)
    good["messages"] *= 2
    report, rows = make(tmp_path, [good, record], **given)
    assert [row["messages"] for row in rows] == [good["messages"]]
    assert report.dropped == {reason: 1}


def test_system_messages_can_be_left_out(tmp_path):
    report, rows = make(tmp_path, [chat("a"), with_system(chat("b")), with_system(chat("a"))], system="drop_message")
    assert [row["messages"] for row in rows] == [chat("a")["messages"], chat("b")["messages"]]
    assert report.trimmed == {"system message left out": 1}
    assert report.dropped == {"duplicate of an earlier row": 1}


def test_the_first_of_duplicates_is_kept(tmp_path):
    records = [chat("a", n="first"), chat("b", n="second"), chat("a", n="third")]
    report, rows = make(tmp_path, records, source_column="n")
    assert [row["source"] for row in rows] == ["first", "second"]
    assert report.dropped == {"duplicate of an earlier row": 1}


def test_near_duplicates_are_dropped_where_the_settings_ask_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    words = " ".join(f"word{number}" for number in range(100))
    records = [chat("a", words, n=0), chat("b", "c", n=1), chat("b", "c", n=2), chat("a", f"{words} more", n=3)]
    report, rows = make(tmp_path, records, source_column="n", near_duplicates=0.8)
    assert [row["source"] for row in rows] == ["0", "1"]
    assert report.dropped == {"duplicate of an earlier row": 1, "near-duplicate of an earlier row": 1}
    assert len(make(tmp_path, records, name="other")[1]) == 3


@pytest.mark.slow
def test_rows_of_several_shards_and_processes_stay_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 40)
    records = [chat(f"question {number % 90}", n=number) for number in range(100)]
    report, rows = make(tmp_path, records, source_column="n")
    assert [row["source"] for row in rows] == [str(number) for number in range(90)]
    assert report.dropped == {"duplicate of an earlier row": 10}


def test_a_bad_row_of_the_first_shard_is_told_whichever_is_read_first(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 40)
    records = [chat(str(number)) for number in range(100)]
    records[39] = records[40] = records[99] = chat("a", "")
    with pytest.raises(BadRow, match=r"pool\.jsonl, row 40, field messages"):
        make(tmp_path, records)


def test_a_pool_that_was_stopped_goes_on_after_its_last_whole_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 40)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    records = [chat(f"question {number}") for number in range(100)]
    whole, rows = make(tmp_path, records, name="whole")
    read, shards_read = CandidateReader._read, []

    def stopping(self, path):
        shards_read.append(path.name)
        if len(shards_read) == 2:
            raise KeyboardInterrupt
        return read(self, path)

    monkeypatch.setattr(CandidateReader, "_read", stopping)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, records)
    report, again = make(tmp_path, records)
    assert shards_read == [f"part-0000{number}.parquet" for number in (0, 1, 1, 2)]
    assert again == [{**row, "source": "pool.jsonl", "file": str(tmp_path / "pool.jsonl")} for row in rows]
    assert report.kept == whole.kept
    assert sorted(path.name for path in (tmp_path / "pool").iterdir()) == [
        "files.json", "job.json", "manifest.json", *(f"part-0000{number}.parquet" for number in range(3)),
    ]  # fmt: skip


def test_numbers_of_more_than_64_bits_are_compared_exactly(tmp_path):
    number = 2**64 + 1
    report, rows = make(tmp_path, [chat("a", n=number), chat("b", n=number + 1)], where={"n": number})
    assert [row["messages"][0]["content"] for row in rows] == ["a"]
    assert report.dropped == {f"n is not {number}": 1}


def test_rows_with_benchmark_text_are_dropped(tmp_path):
    item = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    records = [chat("a"), chat(f"b {item}")]
    report, rows = make(tmp_path, records, [item, "short"])
    assert len(rows) == 1
    assert report.dropped == {"shares 13 words in a row with a benchmark item": 1}
    assert (report.benchmark_texts, report.short_benchmark_texts) == (2, 1)
    report, rows = make(tmp_path, records, [item], name="other", decontaminate=False)
    assert (len(rows), report.benchmark_texts) == (2, 0)


def test_a_bad_row_stops_with_its_place_in_the_source(tmp_path):
    with pytest.raises(BadRow, match=r"pool\.jsonl, row 2, field messages\[1\]\.content: is empty; fill it in"):
        make(tmp_path, [chat("a"), chat("b", "")])


def test_bad_rows_are_counted_where_that_is_allowed(tmp_path):
    records = [chat("a"), chat("b", ""), {"text": ""}, chat("c", "")]
    report, rows = make(tmp_path, records, on_bad_row="skip")
    assert len(rows) == 1
    assert report.dropped == {"empty message": 2, "a field is missing": 1}
    assert "row 2, field messages[1].content" in report.examples["empty message"]


def test_a_missing_source_is_a_bad_row_and_an_empty_one_is_not(tmp_path):
    _, rows = make(tmp_path, [chat("a", source=None)], source_column="source")
    assert rows[0]["source"] == "not stated"
    with pytest.raises(BadRow, match="field source: is missing; name another `source_column`"):
        make(tmp_path, [chat("a")], source_column="source", name="other")


def test_trimmed_rows_are_counted(tmp_path):
    record = chat("a")
    record["messages"].append({"role": "user", "content": "And then?"})
    report, rows = make(tmp_path, [record, chat("b")])
    assert report.trimmed == {"unanswered last message removed": 1}
    assert [row["turns"] for row in rows] == [1, 1]


MANY = [chat(f"question {number}") for number in range(400)]


def test_splits_follow_the_fractions_and_never_move_a_row(tmp_path):
    report, rows = make(tmp_path, MANY, held_out=0.1, base_model=0.3)
    assert report.kept["held_out"] == pytest.approx(40, abs=18)
    assert report.kept["base_model"] == pytest.approx(120, abs=30)
    _, fewer = make(tmp_path, MANY[:100], name="fewer", held_out=0.1, base_model=0.3)
    split = {row["sample_id"]: row["split"] for row in rows}
    assert all(split[row["sample_id"]] == row["split"] for row in fewer)


@pytest.mark.parametrize(
    ("position", "split"),
    [(0.0, "pool"), (0.499, "pool"), (0.5, "base_model"), (0.749, "base_model"), (0.75, "held_out")],
)
def test_split_borders(position, split):
    settings = PoolSettings.model_validate({"source": {"files": "x"}, "held_out": 0.25, "base_model": 0.25})
    assert split_at(position, settings) == split


def test_conversations_that_start_alike_are_in_one_split():
    settings = PoolSettings.model_validate({"source": {"files": "x"}, "held_out": 0.3, "base_model": 0.3})
    splits = set()
    for question in map(str, range(40)):
        answers = [[Message("user", question), Message("assistant", answer)] for answer in ("yes", "no", "maybe")]
        assert len({split_of(messages, settings) for messages in answers}) == 1
        splits.add(split_of(answers[0], settings))
    assert splits == {"pool", "held_out", "base_model"}


@pytest.mark.slow
def test_limits_are_nested_and_leave_other_splits_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 50)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    report, everything = make(tmp_path, MANY, held_out=0.1)
    pool = [row["sample_id"] for row in everything if row["split"] == "pool"]
    held_out = [row["sample_id"] for row in everything if row["split"] == "held_out"]
    for limit in (3, 100):
        limited, rows = make(tmp_path, MANY, name=f"limit{limit}", limit=limit, held_out=0.1)
        kept = [row["sample_id"] for row in rows if row["split"] == "pool"]
        assert kept == [sample for sample in pool if sample in sorted(pool)[:limit]]
        assert [row["sample_id"] for row in rows if row["split"] == "held_out"] == held_out
        assert limited.dropped == {"beyond the pool's limit": len(pool) - limit}
    assert make(tmp_path, MANY, name="ample", limit=400, held_out=0.1)[0].kept == report.kept


def test_the_same_again_does_no_work_and_other_settings_do(tmp_path):
    first, _ = make(tmp_path, MANY, limit=5)
    again, _ = make(tmp_path, MANY, limit=5)
    assert again == first
    other, rows = make(tmp_path, MANY, limit=6)
    assert len(rows) == 6
    assert other.content_hash != first.content_hash


def test_a_pool_needs_a_finished_raw_pool(tmp_path):
    settings = PoolSettings.model_validate({"source": {"files": "x"}})
    with pytest.raises(PlatformError, match="build the raw pool first"):
        write_pool(settings, tmp_path / "raw", [], tmp_path / "pool")


def papers_settings(pool, folder):
    """The settings of the paper profile, with files in the hub's place."""
    settings = load_profile("paper").pools[pool]
    files = SourceSettings(files=str(folder / "*.parquet"))
    return settings.model_copy(update={"source": files, "held_out": 0.0})


def test_rows_laid_out_as_openhermes_2_5(tmp_path):
    turns = [
        {"from": "system", "value": "You are terse.", "weight": None},
        {"from": "human", "value": "Name a prime.", "weight": 0.0},
        {"from": "gpt", "value": "Seven.", "weight": 1.0},
    ]
    others = ("title", "custom_instruction", "language", "id", "model_name", "system_prompt", "category")
    row = {"conversations": turns, "source": "airoboros2.2", **dict.fromkeys(others)}
    pq.write_table(pa.Table.from_pylist([row, {**row, "conversations": turns[1:]}]), tmp_path / "hermes.parquet")
    _, rows = make_from(tmp_path, papers_settings("openhermes", tmp_path))
    assert [[message["role"] for message in row["messages"]] for row in rows] == [
        ["system", "user", "assistant"],
        ["user", "assistant"],
    ]
    assert {row["source"] for row in rows} == {"airoboros2.2"}


def test_rows_laid_out_as_wildchat_1m(tmp_path):
    def turn(role, content, language):
        return {
            "content": content,
            "country": "Nowhere",
            "hashed_ip": None,
            "header": {"accept-language": "en", "user-agent": "none"},
            "language": language,
            "redacted": False,
            "role": role,
            "state": None,
            "timestamp": datetime.datetime(2023, 4, 9, tzinfo=datetime.UTC),
            "toxic": False,
            "turn_identifier": 1,
        }

    def row(number, language, answer):
        return {
            "conversation_hash": str(number),
            "model": "gpt-4-0314",
            "timestamp": datetime.datetime(2023, 4, 9, tzinfo=datetime.UTC),
            "conversation": [turn("user", f"Hello {number}", language), turn("assistant", answer, language)],
            "turn": 1,
            "language": language,
            "openai_moderation": [{"flagged": False, "category_scores": {"hate": 0.1}}],
            "toxic": False,
            "redacted": False,
        }

    table = pa.Table.from_pylist([row(1, "English", "Hi."), row(2, "French", "Salut."), row(3, "English", "")])
    pq.write_table(table, tmp_path / "wild.parquet")
    report, rows = make_from(tmp_path, papers_settings("wildchat", tmp_path))
    assert [row["messages"][0]["content"] for row in rows] == ["Hello 1"]
    assert report.dropped == {"language is not English": 1, "empty message": 1}
    assert (rows[0]["source"], rows[0]["licence"]) == ("wild.parquet", "ODC-BY")


def test_a_half_made_pool_of_files_that_were_renamed_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(chat(str(number))) + "\n" for number in range(6)))
    settings = PoolSettings.model_validate({"source": {"files": str(tmp_path / "*.jsonl")}})
    write_raw_pool(settings, tmp_path / "pool-raw")
    read = CandidateReader.__call__

    def killed_at_the_third_shard(reader, shard):
        if shard.raw.stem == "part-00002":
            raise KeyboardInterrupt
        return read(reader, shard)

    monkeypatch.setattr(CandidateReader, "__call__", killed_at_the_third_shard)
    with pytest.raises(KeyboardInterrupt):
        write_pool(settings, tmp_path / "pool-raw", (), tmp_path / "pool")
    monkeypatch.setattr(CandidateReader, "__call__", read)
    (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
    _, rows = make_from(tmp_path, settings)
    assert [row["source"] for row in rows] == ["b.jsonl"] * 6
