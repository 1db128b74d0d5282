"""The tasks that a profile can name, found without lm-eval, whose index of tasks takes half a minute to build."""

import difflib
import os
import re
from functools import lru_cache
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.errors import PlatformError
from selection_platform.evaluation.spec import OFFLINE_PREFIX

TASKS = Path(str(files("selection_platform") / "evaluation" / "tasks"))
"""Our task files."""

_NO_YAML = (".py", ".pyc", ".md", ".json", ".jsonl", ".sh", ".txt", ".tsv")
# Names are after `task:`, `group:` and `tag:`, or in lists. Some lists have other words, which does not matter.
_NAME = re.compile(
    rb"""^[ \t]*(?:-[ \t]*)?(?:["']?(?:task|group|tag)["']?[ \t]*:[ \t]*)?["']?([\w.+()-]+)["']?[ \t]*(?:\#.*)?\r?$""",
    re.MULTILINE,
)
_TAGS = re.compile(rb"""^["']?tag["']?[ \t]*:[ \t]*\[([^\]]*)\]""", re.MULTILINE)
_UNSAFE = re.compile(rb"^unsafe_code[ \t]*:[ \t]*true", re.MULTILINE)
_OWN_NAME = re.compile(rb"""^["']?task["']?[ \t]*:[ \t]*["']?([\w.+-]+)""", re.MULTILINE)


class UnusableTask(PlatformError):
    """A task in a profile cannot be run."""


class StockNames(NamedTuple):
    """The names in lm-eval's task files.

    Attributes:
        known: the names of all tasks, groups and tags, and some other words.
        unsafe: tasks that run generated code.
    """

    known: frozenset[str]
    unsafe: frozenset[str]


def check_task(benchmark: str, settings: BenchmarkSettings) -> None:
    """Raise UnusableTask if a task is unknown, runs generated code, or is ours and has too few worked examples.

    `load_tasks` checks more, because it loads lm-eval's own tasks.
    """
    if settings.task.startswith(OFFLINE_PREFIX):
        _check_shots(benchmark, settings)
        return
    names = stock_names()
    if settings.task not in names.known:
        raise no_stock_task(benchmark, settings.task, names.known)
    if settings.task in names.unsafe:
        raise unsafe_task(benchmark, settings.task)


def task_file(benchmark: str, task: str) -> Path:
    """The file of one of our tasks.

    Raises:
        UnusableTask: there is no such task.
    """
    path = TASKS / f"{task.removeprefix(OFFLINE_PREFIX)}.yaml"
    if not path.is_file():
        known = ", ".join(OFFLINE_PREFIX + path.stem for path in sorted(TASKS.glob("*.yaml")))
        raise UnusableTask(f"benchmark {benchmark}: no task {task}; the offline tasks are {known}")
    return path


def stock_file(path: str) -> dict[str, Any]:
    """A task file of the installed lm-eval, without the files that it includes."""
    return yaml.safe_load((_stock_folder() / path).read_text(encoding="utf-8"))


def no_stock_task(benchmark: str, task: str, known: frozenset[str] | None = None) -> UnusableTask:
    """The error for a task that lm-eval does not have, with the nearest known name."""
    near = difflib.get_close_matches(task, known or (), n=1)
    suggestion = f"did you mean {near[0]}? " if near else ""
    return UnusableTask(f"benchmark {benchmark}: lm-eval has no task {task}; {suggestion}`lm-eval ls tasks` lists them")


def unsafe_task(benchmark: str, task: str) -> UnusableTask:
    """The error for a task that runs generated code without our sandbox."""
    return UnusableTask(
        f"benchmark {benchmark}: lm-eval's task {task} runs generated code without a sandbox; "
        "name offline_humaneval, which has the same 164 problems"
    )


def too_many_shots(benchmark: str, shots: int, task: str, available: int) -> UnusableTask:
    """The error for a benchmark with more shots than its task has worked examples."""
    return UnusableTask(f"benchmark {benchmark}: shots is {shots}, but {task} has only {available}; lower it")


def shown_and_asked(benchmark: str, task: str, question: str) -> UnusableTask:
    """The error of a task one of whose worked examples is also one of its items."""
    return UnusableTask(
        f"benchmark {benchmark}: {task} shows an item with its answer as a worked example: {question[:80]!r}; set "
        "`shots: 0`, or take it from the examples or from the items"
    )


@lru_cache(maxsize=1)
def stock_names() -> StockNames:
    """The names in the 14,000 task files of the installed lm-eval. Reading them takes about a second."""
    known: set[bytes] = set()
    unsafe: set[bytes] = set()
    for folder, _, names in os.walk(_stock_folder()):
        for name in names:
            if not name.endswith(_NO_YAML):
                content = Path(folder, name).read_bytes()
                known.update(_NAME.findall(content))
                for tags in _TAGS.findall(content):
                    known.update(tag.strip(b" \t\r\n\"'") for tag in tags.split(b","))
                if _UNSAFE.search(content):
                    unsafe.update(_OWN_NAME.findall(content))
    return StockNames(frozenset(map(_text, known)), frozenset(map(_text, unsafe)))


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _stock_folder() -> Path:
    return Path(str(distribution("lm_eval").locate_file("lm_eval/tasks")))


def _check_shots(benchmark: str, settings: BenchmarkSettings) -> None:
    path = task_file(benchmark, settings.task)
    if not settings.shots:
        return
    pattern = yaml.safe_load(path.read_text(encoding="utf-8")).get("shots_from")
    sources = sorted(_stock_folder().glob(pattern.format(subset="[a-z]*"))) if pattern else []
    # All subsets of a task have the same number, so one is enough.
    shots = stock_file(str(sources[0])).get("fewshot_config", {}).get("samples", []) if sources else []
    if settings.shots > len(shots):
        raise too_many_shots(benchmark, settings.shots, settings.task, len(shots))
