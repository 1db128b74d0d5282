import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selection_platform.evaluation.benchmark_data import BBH_FOLDER
from selection_platform.evaluation.task_yaml import read_yaml
from selection_platform.evaluation.worked_examples import WORKED_EXAMPLES, worked_examples, write_targets
from selection_platform.text.conversation import Message, check_normal_form, sample_id
from tools.rebuild_bbh import essence


def test_gsm8k_is_one_group_of_eight():
    groups = worked_examples("gsm8k")
    assert list(groups) == ["gsm8k"]
    assert len(groups["gsm8k"]) == 8
    question, answer = groups["gsm8k"][0]
    assert question.content.startswith("There are 15 trees in the grove.")
    assert answer.content.endswith("The answer is 6.")


def test_bbh_has_a_group_of_three_for_each_subset():
    groups = worked_examples("bbh")
    assert len(groups) == 27
    assert {len(group) for group in groups.values()} == {3}
    assert next(iter(groups)) == "bbh/boolean_expressions"
    question, answer = groups["bbh/boolean_expressions"][0]
    assert question == Message("user", "not ( ( not not True ) ) is")
    assert answer.content.endswith("So the answer is False.")


def test_mmlu_has_a_group_for_each_subject():
    groups = worked_examples("mmlu")
    assert len(groups) == 57
    # lm-eval ships four for three subjects, and one of college physics twice.
    assert {name for name, group in groups.items() if len(group) != 5} == {
        "mmlu/college_chemistry",
        "mmlu/college_physics",
        "mmlu/formal_logic",
        "mmlu/human_aging",
    }
    assert {len(group) for group in groups.values()} == {4, 5}
    question, answer = groups["mmlu/anatomy"][0]
    assert question.content.endswith("(A) Abdominal (B) Cranial (C) Pleural (D) Spinal")
    assert answer.content.endswith("The answer is (B).")


@pytest.mark.parametrize("benchmark", WORKED_EXAMPLES)
def test_every_example_is_a_question_with_an_answer(benchmark: str):
    for name, group in worked_examples(benchmark).items():
        assert name.split("/")[0] == benchmark
        for messages in group:
            check_normal_form(messages)
            assert all(message.content for message in messages)


@pytest.mark.slow
def test_no_worked_example_of_bbh_is_asked():
    for path in sorted(BBH_FOLDER.glob("*.jsonl")):
        asked = {essence(json.loads(line)["input"]) for line in path.read_text().split("\n") if line}
        shown = {essence(question.content) for question, _ in worked_examples("bbh")[f"bbh/{path.stem}"]}
        assert len(shown) == 3
        assert not asked & shown


def test_other_benchmarks_have_none():
    with pytest.raises(ValueError, match=r"'ifeval': lm-eval ships no worked examples .* only for gsm8k, bbh, mmlu;"):
        worked_examples("ifeval")


def test_code_named_in_a_task_file_is_not_run(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text("doc_to_text: !function utils.run_me\nfewshot_config: {samples: [{question: a, target: b}]}")
    assert read_yaml(path) == {"doc_to_text": None, "fewshot_config": {"samples": [{"question": "a", "target": "b"}]}}


def test_targets_are_written_by_group_and_content(tmp_path: Path):
    one = [Message("user", "a"), Message("assistant", "b")]
    two = [Message("user", "c"), Message("assistant", "d")]
    write_targets({"g/x": [one, two], "g/y": [one]}, tmp_path / "targets.parquet")
    rows = pq.read_table(tmp_path / "targets.parquet").to_pylist()
    assert [(row["sample_id"], row["target"]) for row in rows] == [
        (sample_id(one), "g/x"),
        (sample_id(two), "g/x"),
        (sample_id(one), "g/y"),
    ]
    assert rows[0]["messages"] == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
