"""Asks a chat model the items of benchmarks, through lm-eval."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.api.task import Task

from selection_platform.evaluation.benchmark_tasks import OwnFile, chosen_items, load_tasks, quiet_lm_eval
from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine_check import PROMPTS
from selection_platform.evaluation.own_benchmarks import content_of
from selection_platform.evaluation.spec import EvaluationSpec
from selection_platform.evaluation.task_datasets import TaskDatasets, fetched_content, read_fetched

Item = tuple[str, Task, int]
"""A benchmark, a task of it, and the place of an item in the task."""


def tasks_of(spec: EvaluationSpec, name: str) -> dict[str, Task]:
    """The tasks of a benchmark by name.

    Raises:
        UnusableTask, MissingData: see `load_tasks`.
    """
    file = OwnFile(Path(spec.files[name]), content_of(name, Path(spec.files[name]))) if name in spec.files else None
    folder = _datasets_folder(spec, name)
    datasets = folder and TaskDatasets(folder, fetched_content(folder))
    return load_tasks(name, spec.evaluation.benchmarks[name], Path(spec.data_folder), spec.seed, file, datasets)


def datasets_of(spec: EvaluationSpec, name: str) -> contextlib.AbstractContextManager[None]:
    """A block in which the benchmark's tasks, whose code may load datasets at any time, get those that were fetched."""
    return read_fetched(name, _datasets_folder(spec, name))


def _datasets_folder(spec: EvaluationSpec, name: str) -> Path | None:
    return Path(spec.datasets[name]) if name in spec.datasets else None


def run_items(tasks: dict[str, Task], limit: int | None, chat: ChatModel) -> dict[str, list[Any]]:
    """lm-eval's log of every item, by task.

    Args:
        tasks: tasks by name, from `load_tasks`.
        limit: items per task; see `EvaluationSpec`.
        chat: the model.
    """
    chosen = {name: chosen_items(task, limit) for name, task in tasks.items()}
    # lm-eval's decorators hide the parameters of its functions from the type checker.
    outcome = cast(Any, lm_eval.evaluate)(
        lm=chat,
        task_dict={"tasks": tasks},
        samples={name: places for name, places in chosen.items() if places is not None} or None,
        bootstrap_iters=0,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
    )
    return outcome["samples"]


def ask_items(tasks: dict[str, Task], limit: int | None, chat: ChatModel) -> None:
    """Ask what `run_items` asks, in the same lists, and score nothing."""
    requests: dict[str, list[Instance]] = {}
    for task in tasks.values():
        for request in _requests(task, chosen_items(task, limit), chat):
            requests.setdefault(request.request_type, []).extend([request] * (request.repeats or 1))
    for kind, asked in requests.items():
        _ask(chat, kind, asked)


def ask_some(spec: EvaluationSpec, benchmarks: Sequence[str], chat: ChatModel) -> None:
    """Ask some items: of the benchmarks in turn, and of their tasks in turn, each time the next one."""
    with quiet_lm_eval():
        items = _in_turn(_in_turn(_first_items(spec, name)) for name in benchmarks)
        for name, task, place in items[:PROMPTS]:
            with datasets_of(spec, name):
                requests = _requests(task, [place], chat)
            _ask(chat, requests[0].request_type, requests)


def _requests(task: Any, places: list[int] | None, chat: ChatModel) -> list[Instance]:
    task.build_all_requests(
        samples=places,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        chat_template=chat.apply_chat_template,
    )
    return task.instances


def _ask(chat: ChatModel, kind: str, requests: list[Instance]) -> None:
    # A request's type is the name of the method that answers it.
    getattr(chat, kind)(requests)


def _first_items(spec: EvaluationSpec, name: str) -> Iterator[list[Item]]:
    """Of each task of a benchmark, the places of the first items that are asked."""
    for task in tasks_of(spec, name).values():
        with datasets_of(spec, name):
            places = chosen_items(task, spec.evaluation.benchmarks[name].limit) or range(len(task.eval_docs))
        yield [(name, task, place) for place in places[:PROMPTS]]


def _in_turn(lists: Iterable[list[Item]]) -> list[Item]:
    """The first of each list, then the second of each, and so on."""
    return [each for turn in zip_longest(*lists) for each in turn if each is not None]
