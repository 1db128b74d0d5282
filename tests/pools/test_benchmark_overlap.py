import random
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.job.folder import write_manifest
from selection_platform.job.integrity import ChangedFile
from selection_platform.pools import benchmark_overlap
from selection_platform.pools.benchmark_overlap import NEARLY_THE_SAME, OverlapFinder, write_overlaps
from selection_platform.pools.candidates import POOL_SCHEMA

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
OTHER = "A robe takes two bolts of blue fiber and half that much white fiber. How many bolts does it take?"
TEXTS = [("gsm8k", "n", QUESTION), ("gsm8k", "n", "48 / 2 = 24"), ("mmlu", "r", OTHER)]


def items(*messages, texts=TEXTS):
    return OverlapFinder(texts).items(messages)


def test_thirteen_words_in_a_row_and_not_twelve():
    words = QUESTION.split()
    # All runs of 5 words of the 13 are in the question, which has 20 words: 9 of 9 + 16 - 9 runs.
    assert items("Hi.", "So: " + " ".join(words[2:15])) == {("gsm8k", "n"): (True, pytest.approx(9 / 17))}
    assert items("So: " + " ".join(words[2:14])) == {}


def test_a_question_with_other_numbers_is_nearly_the_same():
    # One of 20 words differs, 5 of 16 runs of 5 words with it: 11 of 21 runs are shared.
    assert items(QUESTION.replace("48", "72")) == {("gsm8k", "n"): (True, pytest.approx(11 / 21))}
    # Word 10 of 20: no run of 13 words is shared, and 11 of 21 runs of five are.
    assert items(QUESTION.replace("April", "June")) == {("gsm8k", "n"): (False, pytest.approx(11 / 21))}
    # In two places: 6 of 26.
    assert items(QUESTION.replace("April", "June").replace("half", "twice")) == {}


def test_case_and_punctuation_do_not_matter_and_messages_are_compared_one_by_one():
    assert items(QUESTION.upper() + "!") == {("gsm8k", "n"): (True, 1.0)}
    words = QUESTION.split()
    assert items(" ".join(words[:10]), " ".join(words[10:])) == {}


def test_each_item_that_is_held_once_with_its_most_similar_text():
    assert items(OTHER, QUESTION) == {("mmlu", "r"): (True, 1.0), ("gsm8k", "n"): (True, 1.0)}


def test_everyday_sentences_are_not_items():
    assert items("What is the capital of France?", texts=[("mmlu", "f", "What is the capital of France?")]) == {}


def reference(messages, texts):
    """The definition, with words in place of hashes."""

    def runs(words, length):
        return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}

    held = {}
    for message in messages:
        for benchmark, item_id, text in texts:
            ours, theirs = (re.findall(r"\w+", each.lower()) for each in (message, text))
            shares = bool(runs(ours, 13) & runs(theirs, 13))
            one, other = runs(ours, 5), runs(theirs, 5)
            similarity = len(one & other) / len(one | other) if len(theirs) >= 8 and one & other else 0.0
            if shares or similarity >= NEARLY_THE_SAME:
                before = held.get((benchmark, item_id), (False, 0.0))
                held[benchmark, item_id] = (before[0] or shares, max(before[1], similarity))
    return held


def test_agrees_with_the_definition():
    numbers = random.Random(0)
    found = 0
    for _ in range(300):
        texts = [("b", str(place), " ".join(numbers.choices("ab", k=numbers.randint(5, 25)))) for place in range(6)]
        messages = [" ".join(numbers.choices("ab", k=numbers.randint(3, 25))) for _ in range(2)]
        held = reference(messages, texts)
        assert items(*messages, texts=texts) == held
        found += len(held)
    assert found > 50


def write_shard(folder, number, rows):
    filled = [dict.fromkeys(POOL_SCHEMA.names) | row for row in rows]
    pq.write_table(pa.Table.from_pylist(filled, POOL_SCHEMA), folder / f"part-{number:05d}.parquet")


def row(sample_id, text, split="pool"):
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]
    return {"sample_id": sample_id, "messages": messages, "split": split}


@pytest.fixture
def pool(tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    write_shard(folder, 0, [row("a", "Hello."), row("b", QUESTION)])
    write_shard(folder, 1, [row("c", OTHER), row("d", QUESTION, "held_out")])
    report = dict.fromkeys(["rows", "benchmark_texts", "short_benchmark_texts"], 0)
    report |= {name: {} for name in ("kept", "dropped", "trimmed", "examples")}
    write_manifest(folder, report | {"content_hash": "x", "seconds": 0.0, "form": "", "ignored": []})
    return folder


def overlaps(files):
    return [tuple(row.values()) for file in files for row in pq.read_table(file).to_pylist()]


@pytest.mark.slow
def test_the_samples_that_can_be_selected_are_compared(pool, tmp_path):
    files = write_overlaps(pool, TEXTS, tmp_path / "out")
    assert overlaps(files) == [("b", "gsm8k", "n", True, 1.0), ("c", "mmlu", "r", True, 1.0)]


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["pool", "out"])
def test_files_that_changed_are_not_used(pool, tmp_path, changed):
    write_overlaps(pool, TEXTS, tmp_path / "out")
    shard = tmp_path / changed / "part-00001.parquet"
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(ChangedFile, match=r"part-00001\.parquet: .* and was written with"):
        write_overlaps(pool, TEXTS, tmp_path / "out")


def test_goes_on_after_a_kill_and_starts_again_for_other_texts(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(
        benchmark_overlap, "map_in_processes", lambda make, arguments, items: map(make(*arguments), items)
    )
    writes, write = [], benchmark_overlap.write_table

    def killed(table, path, compression):
        if len(writes) == 1:
            raise KeyboardInterrupt
        writes.append(path.name)
        write(table, path, compression)

    monkeypatch.setattr(benchmark_overlap, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        write_overlaps(pool, TEXTS, tmp_path / "out")
    monkeypatch.setattr(benchmark_overlap, "write_table", lambda *a: (writes.append(a[1].name), write(*a)))
    assert len(overlaps(write_overlaps(pool, TEXTS, tmp_path / "out"))) == 2
    assert writes == ["part-00000.parquet", "part-00001.parquet"]
    write_overlaps(pool, TEXTS, tmp_path / "out")
    assert len(writes) == 2
    assert overlaps(write_overlaps(pool, TEXTS[2:], tmp_path / "out")) == [("c", "mmlu", "r", True, 1.0)]
