"""lm-eval's own tasks give an item the same prompt and the same verdict, in any order and beside any others."""

import logging
import random
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

import lm_eval.api.task
import numpy as np
import pytest
import torch
from datasets import Dataset, is_caching_enabled
from lm_eval import utils
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks.gpqa.n_shot.utils import process_docs as with_a_stream_of_its_own
from lm_eval.tasks.gpqa.zeroshot.utils import process_docs as with_the_shared_stream
from transformers import set_seed

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.evaluation import benchmark_tasks
from selection_platform.evaluation.asking import run_items
from selection_platform.evaluation.benchmark_data import prepare
from selection_platform.evaluation.benchmark_tasks import chosen_items, load_tasks, quiet_lm_eval
from selection_platform.evaluation.repeatable import _start_streams, make_repeatable
from selection_platform.evaluation.spec import computations
from selection_platform.evaluation.task_names import UnusableTask

# langdetect takes it for French about every second time, else for Italian: sixteen times the same is no chance.
EITHER = "Fine: la vie"


def question(number, instruction="language:response_language", **kwargs):
    return {"key": number, "prompt": f"{number}?", "instruction_id_list": [instruction], "kwargs": [kwargs]}


# The last ones leave open how many sentences there must be, which lm-eval's checker then draws.
QUESTIONS = [
    *(question(number, language="fr") for number in range(16)),
    *(question(number, "length_constraints:number_sentences") for number in range(16, 28)),
]


class OneAnswer:
    """Stands for a model that writes the same whatever it is asked."""

    rank, world_size, tokenizer_name = 0, 1, ""

    def __init__(self, answer):
        self.answer = answer
        self.prompts = []

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        return "\n".join(message["content"] for message in chat_history)

    def generate_until(self, requests):
        self.prompts += [request.arguments[0] for request in requests]
        return [self.answer] * len(requests)


@pytest.fixture
def ifeval(monkeypatch):
    """Loads lm-eval's own task `ifeval` on items of ours."""
    folder = str(distribution("lm_eval").locate_file("lm_eval/tasks/ifeval"))
    manager = TaskManager(include_path=folder, include_defaults=False)
    monkeypatch.setattr(benchmark_tasks, "_task_manager", lambda: manager)

    def load(questions, limit=None):
        data = {"train": Dataset.from_list(questions)}
        monkeypatch.setattr(lm_eval.api.task.datasets, "load_dataset", lambda **_: data)
        load_tasks.cache_clear()
        return load_tasks("ifeval", BenchmarkSettings(task="ifeval", limit=limit), "nowhere", 0)

    yield load
    load_tasks.cache_clear()


@pytest.fixture
def offline_ifeval(monkeypatch):
    """Loads our task of the same name."""

    def load(questions, limit=None):
        monkeypatch.setattr(benchmark_tasks, "read_items", lambda *_: {"": questions})
        load_tasks.cache_clear()
        return load_tasks("ifeval", BenchmarkSettings(task="offline_ifeval", limit=limit), Path("nowhere"), 0)

    yield load
    load_tasks.cache_clear()


def verdicts(tasks, limit=None):
    (samples,) = run_items(tasks, limit, cast(Any, OneAnswer(EITHER))).values()
    return {sample["doc"]["key"]: sample["prompt_level_strict_acc"] for sample in samples}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["ifeval", "offline_ifeval"])
def test_one_text_has_one_verdict_in_any_order_and_with_any_limit(name, request):
    ifeval = request.getfixturevalue(name)
    tasks = ifeval(QUESTIONS)
    found = verdicts(tasks)
    assert len(set(list(found.values())[:16])) == 1
    random.random()
    np.random.rand()  # noqa: NPY002
    # Again in the same process, as for the next model.
    assert verdicts(tasks) == found
    assert verdicts(ifeval(QUESTIONS[::-1])) == found
    few = verdicts(ifeval(QUESTIONS, limit=6), limit=6)
    assert len(few) == 6
    assert few.items() <= found.items()


def gpqa(process_docs, shots=0) -> Any:
    """A task whose choices are shuffled, and whose worked examples are drawn."""
    rows = [
        {"Question": f"{number}?", "Correct Answer": "yes", **{f"Incorrect Answer {n}": f"no {n}" for n in (1, 2, 3)}}
        for number in range(20)
    ]
    task = ConfigurableTask(
        config={
            "task": "shuffled",
            "output_type": "generate_until",
            "custom_dataset": lambda **_: {"train": Dataset.from_list(rows), "test": Dataset.from_list(rows[:8])},
            "training_split": "train",
            "test_split": "test",
            "fewshot_split": "train",
            "process_docs": process_docs,
            "doc_to_text": "{{Question}} {{choice1}} {{choice2}} {{choice3}} {{choice4}}",
            "doc_to_target": "answer",
            "num_fewshot": shots,
        }
    )
    make_repeatable(task, 0)
    return task


def prompts(task, places=None):
    task.build_all_requests(samples=places)
    return {instance.doc["Question"]: instance.arguments[0] for instance in task.instances}


@pytest.mark.parametrize("process_docs", [with_the_shared_stream, with_a_stream_of_its_own])
def test_choices_and_worked_examples_are_drawn_by_the_item(process_docs):
    task = gpqa(process_docs, shots=2)
    assert [dict(item) for item in task.eval_docs] == [dict(item) for item in task.eval_docs]
    assert len(set(task.eval_docs["answer"])) > 1
    found = prompts(task)
    assert len({prompt.rpartition("\n")[0] for prompt in found.values()}) > 1
    assert prompts(task) == found
    assert prompts(task, [5, 2]).items() <= found.items()
    assert chosen_items(task, 3) == chosen_items(gpqa(process_docs), 3)
    # Loaded again, after others have drawn.
    gpqa(with_the_shared_stream if process_docs is with_a_stream_of_its_own else with_a_stream_of_its_own)
    assert prompts(gpqa(process_docs, shots=2)) == found
    assert is_caching_enabled()


def test_another_seed_draws_others():
    task = gpqa(with_the_shared_stream, shots=2)
    found = prompts(task)
    make_repeatable(task, 1)
    assert prompts(task) != found


def test_the_streams_start_where_transformers_starts_them():
    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002 (tasks draw from it)

    start = _start_streams(0, "an item")
    found = drawn()
    set_seed(start)
    assert drawn() == found


def test_templates_are_compiled_once():
    template = "{{question}} of an item"
    assert utils.env.from_string(template) is utils.env.from_string(template)
    assert [utils.apply_template(template, {"question": number}) for number in (1, 2)] == [
        "1 of an item",
        "2 of an item",
    ]


def test_an_answer_without_a_word_is_no_error(caplog):
    checker = logging.getLogger("lm_eval.tasks.ifeval.instructions")
    with quiet_lm_eval():
        checker.error("Unable to detect language for text %s due to %s", "123", "No features in text.")
        checker.error("another fault")
    assert caplog.messages == ["another fault"]


@pytest.mark.parametrize(
    ("tasks", "run_generated_code", "more"),
    [
        (["offline_mmlu", "offline_humaneval"], "never", []),
        (["offline_mmlu", "offline_humaneval"], "sandboxed", ["generated_code"]),
        (["offline_mmlu"], "sandboxed", []),
        (["gsm8k", "offline_mmlu"], "never", ["stock_tasks"]),
    ],
)
def test_what_is_not_run_makes_no_results(tasks, run_generated_code, more):
    benchmarks = {task: {"task": task} for task in tasks}
    settings = EvaluationSettings.model_validate({"benchmarks": benchmarks, "run_generated_code": run_generated_code})
    assert computations(settings) == ("evaluation", *more)


@pytest.mark.parametrize(
    ("shots", "shown", "refused"),
    [(1, "3?", True), (1, "99?", False), (0, "3?", False), (1, "98?", False)],
)
def test_a_worked_example_is_never_asked(monkeypatch, shots, shown, refused):
    examples = [{"question": shown, "answer": "yes"}, {"question": "4?", "answer": "yes"}]
    task = ConfigurableTask(
        config={
            "task": "asked",
            "output_type": "generate_until",
            "custom_dataset": lambda **_: {"test": Dataset.from_list([{"question": f"{n}?"} for n in range(8)])},
            "test_split": "test",
            "fewshot_config": {"sampler": "first_n", "samples": examples},
            "doc_to_text": "Q: {{question}}",
            "doc_to_target": "{{answer if answer is defined else ''}}",
            "num_fewshot": 0,
        }
    )
    monkeypatch.setattr(benchmark_tasks, "_stock_tasks", lambda *_: {"asked": task})
    load_tasks.cache_clear()
    load = partial(load_tasks, "mine", BenchmarkSettings(task="asked", shots=shots), Path("nowhere"), 0)
    if refused:
        with pytest.raises(UnusableTask, match=r"benchmark mine: asked shows an item .* example: 'Q: 3\?'; set"):
            load()
    else:
        assert list(load()) == ["asked"]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["gsm8k", "bbh", "bbh_direct"])
def test_no_worked_example_of_our_tasks_is_asked(name, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "items"
    prepare(folder)
    load_tasks.cache_clear()
    assert load_tasks(name, BenchmarkSettings(task=f"offline_{name}"), folder, 0)
