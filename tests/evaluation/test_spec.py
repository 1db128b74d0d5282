import pytest
import yaml

from selection_platform.configuration.evaluation_settings import EvaluationSettings
from selection_platform.evaluation.spec import CHOICE_TASK, OFFLINE_PREFIX, logits_read
from selection_platform.evaluation.task_names import TASKS
from selection_platform.job.versions import logits_in

VLLM = {"engine": "vllm", "vllm_version": "0.32.0", "vllm_python": "/env/python"}


@pytest.mark.parametrize(
    ("benchmark", "engine", "held_out", "read"),
    [
        ({"task": "offline_gsm8k"}, {}, False, False),
        ({"task": "offline_gsm8k"}, {}, True, True),
        ({"task": "offline_mmlu"}, {}, False, True),
        ({"task": "offline_mmlu"}, VLLM, False, False),
        ({"task": "offline_mmlu"}, VLLM, True, True),
        ({"task": "arc_easy"}, {}, False, True),
        ({"file": "mine.yaml"}, {}, False, True),
        ({"file": "mine.jsonl", "rule": "exact"}, {}, False, False),
    ],
)
def test_logits_count_where_results_come_from_them(benchmark, engine, held_out, read):
    settings = EvaluationSettings.model_validate({"benchmarks": {"mine": benchmark}, **engine})
    assert logits_read(settings, "float32", held_out=held_out) == {}
    assert logits_read(settings, "bfloat16", held_out=held_out) == (logits_in("bfloat16") if read else {})


def test_one_of_our_tasks_has_choices_and_the_others_written_answers():
    kinds = {path.stem: yaml.safe_load(path.read_text())["output_type"] for path in TASKS.glob("*.yaml")}
    assert kinds.pop(CHOICE_TASK.removeprefix(OFFLINE_PREFIX)) == "multiple_choice"
    assert set(kinds.values()) == {"generate_until"}
