import json
import re
from pathlib import Path

import pytest

from selection_platform.evaluation.benchmark_data import (
    BBH_FOLDER,
    MissingData,
    benchmark_texts,
    mmlu_row,
    prepare,
    read_items,
)


def test_mmlu_options_are_parsed():
    row = {"question": "Q?", "options": "A. one\nB. two\nlines\nC. three\nD. four", "answer": "B. two\nlines"}
    assert mmlu_row(row) == {"question": "Q?", "choices": ["one", "two\nlines", "three", "four"], "answer": 1}
    with pytest.raises(ValueError, match="not four choices"):
        mmlu_row(row | {"options": "A. one"})
    with pytest.raises(ValueError, match="not four choices"):
        mmlu_row(row | {"answer": ""})


def test_unprepared_folder(tmp_path):
    with pytest.raises(MissingData, match="prepare them first"):
        read_items(tmp_path, "gsm8k")


@pytest.mark.parametrize("path", sorted(BBH_FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_bbh_answers_are_among_the_options(path: Path):
    rows = [json.loads(line) for line in path.read_text().split("\n") if line]
    assert 0 < len(rows) <= 250
    for row in rows:
        options = re.findall(r"\n(?:(\([A-Z]\)) |- (\w+))", row["input"])
        assert not options or row["target"] in {letter or word for letter, word in options}
        assert row["target"]


@pytest.mark.data
def test_all_items_are_there(tmp_path):
    report = prepare(tmp_path)
    assert {name: facts["rows"] for name, facts in report.items()} == {
        "gsm8k": 1319,
        "humaneval": 164,
        "ifeval": 541,
        "mmlu": 2850,
        "bbh": 5761,
    }
    assert len(read_items(tmp_path, "bbh")) == report["bbh"]["subsets"] == 24
    texts = list(benchmark_texts(tmp_path))
    # GSM8K and BBH: question and answer; HumanEval: prompt and solution; IFEval: prompt; MMLU: question, and
    # question with choices.
    assert len(texts) == 2 * (1319 + 5761 + 164) + 541 + 2 * 2850
    assert any("ducks lay 16 eggs" in text for text in texts)
    assert any("#### 18" in text for text in texts)
    before = (tmp_path / "gsm8k.jsonl").stat().st_mtime_ns
    assert prepare(tmp_path) == report
    assert (tmp_path / "gsm8k.jsonl").stat().st_mtime_ns == before
