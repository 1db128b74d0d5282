"""lm-eval task objects: ours on offline items (`tasks/*.yaml`), and lm-eval's own on datasets of the hub.

They are loaded once per process, because they depend only on the benchmark, not on the model. Loading an offline task
needs no hub, no dataset cache on disk and no index of all lm-eval tasks.
"""

import contextlib
import io
import logging
import pkgutil
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from datasets import Dataset
from lm_eval import utils
from lm_eval.api.samplers import FirstNSampler
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.tasks import TaskManager

from selection_platform.configuration.evaluation_settings import AnswerRule, BenchmarkSettings
from selection_platform.evaluation.answer_rules import check_answer
from selection_platform.evaluation.benchmark_data import Row, read_items
from selection_platform.evaluation.ifeval import find_packaged_nltk_data
from selection_platform.evaluation.items import item_hash
from selection_platform.evaluation.own_benchmarks import content_of, read_prompts, task_name
from selection_platform.evaluation.repeatable import make_repeatable
from selection_platform.evaluation.results import ANSWER_FOUND
from selection_platform.evaluation.spec import OFFLINE_PREFIX
from selection_platform.evaluation.task_datasets import TaskDatasets, read_fetched
from selection_platform.evaluation.task_names import (
    TASKS,
    no_stock_task,
    shown_and_asked,
    stock_file,
    task_file,
    too_many_shots,
    unsafe_task,
)
from selection_platform.job.folder import content_hash

# lm-eval compiles the templates of a task again for each item, which takes longer than to fill them in.
_templates: Any = utils.env
_templates.from_string = lru_cache(maxsize=1024)(utils.env.from_string)


class OwnFile(NamedTuple):
    """A file of the user's own, and its content: one process may see two of them in one place."""

    path: Path
    content: str


@lru_cache(maxsize=16)
def load_tasks(
    name: str,
    settings: BenchmarkSettings,
    data_folder: Path,
    seed: int,
    file: OwnFile | None = None,
    fetched: TaskDatasets | None = None,
) -> dict[str, Task]:
    """The (sub)tasks of a benchmark by name. Offline tasks have at most `settings.limit` items each.

    Their random draws depend only on the seed and the item (`repeatable`).

    Raises:
        UnusableTask: the task is unknown, has too few worked examples or one that is also asked, or runs generated
            code outside our sandbox.
        MissingData: the offline items are not prepared, or a dataset of the hub is not fetched.
    """
    if settings.rule is not None and file is not None:
        tasks = _prompts(name, settings.rule, settings.limit, file.path)
    elif settings.task.startswith(OFFLINE_PREFIX):
        tasks = _offline_tasks(name, settings, data_folder)
    else:
        with read_fetched(name, fetched and fetched.folder):
            tasks = lm_eval_tasks(name, settings.task, None if file is None else file.path)
    for task in tasks.values():
        _configure(name, task, settings)
        make_repeatable(task, seed)
        _check_worked_examples(name, task)
    return tasks


def chosen_items(task: Task, limit: int | None) -> list[int] | None:
    """The sorted indices of the items to use; None for all. See `EvaluationSpec`."""
    if limit is None or limit >= len(task.eval_docs):
        return None
    keys = [(item_hash(dict(item)), place) for place, item in enumerate(task.eval_docs)]
    return sorted(place for _, place in sorted(keys)[:limit])


def _offline_tasks(benchmark: str, settings: BenchmarkSettings, data_folder: Path) -> dict[str, Task]:
    """Our tasks, from their YAML file, lm-eval's worked examples and the prepared items."""
    path = task_file(benchmark, settings.task)
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    items = config.pop("items", path.stem)
    tasks: dict[str, Task] = {}
    for subset, rows in read_items(data_folder, items).items():
        name = f"{settings.task}_{subset}" if subset else settings.task
        tasks[name] = ConfigurableTask(config=_offline_config(config, name, subset, _first(rows, settings.limit)))
    return tasks


def lm_eval_tasks(benchmark: str, task: str, path: Path | None) -> dict[str, Task]:
    """The tasks that lm-eval has under a name, or the one of a task file of the user's own.

    Raises:
        UnusableTask: lm-eval has no such task, or it runs generated code outside our sandbox.
    """
    if path is None:
        return _stock_tasks(benchmark, task)
    content_of(benchmark, path)
    task_name(benchmark, path)
    find_packaged_nltk_data()
    # The paths of data in a task file start from its folder.
    with contextlib.chdir(path.parent):
        return TaskManager(include_defaults=False).load([str(path.absolute())])["tasks"]


def _prompts(benchmark: str, rule: AnswerRule, limit: int | None, path: Path) -> dict[str, Task]:
    """The task of a file of prompts with references."""
    rows = _first(read_prompts(benchmark, path, rule), limit)
    config: dict[str, Any] = {
        "task": benchmark,
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "{{references[0]}}",
        "num_fewshot": 0,
        "generation_kwargs": {"do_sample": False, "max_gen_toks": 256, "until": []},
        "custom_dataset": partial(_dataset, rows),
        "test_split": "test",
        "process_results": partial(check_answer, rule),
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in (rule, ANSWER_FOUND)
        ],
    }
    return {benchmark: ConfigurableTask(config=config)}


def _offline_config(settings: dict[str, Any], name: str, subset: str, rows: list[Row]) -> dict[str, Any]:
    """lm-eval's configuration of one of our tasks."""
    config = dict(settings)
    shots_from = config.pop("shots_from", None)
    stock = stock_file(shots_from.format(subset=subset)) if shots_from else {}
    if "process_results" in config:
        config["process_results"] = pkgutil.resolve_name(config["process_results"])
    shots = stock.get("fewshot_config", {}).get("samples", [])
    return config | {
        "task": name,
        "description": stock.get("description", "").strip(),
        "fewshot_config": {"sampler": "first_n", "samples": shots},
        "custom_dataset": partial(_dataset, rows),
        "test_split": "test",
    }


def _first(rows: list[Row], limit: int | None) -> list[Row]:
    """The rows with the first content hashes, in that order; without a limit, all rows in file order."""
    return rows if limit is None else sorted(rows, key=item_hash)[:limit]


def _dataset(rows: list[Row], **_: Any) -> dict[str, Dataset]:
    """A dataset in the form of a downloaded one. lm-eval also passes the task's metadata."""
    return {"test": Dataset.from_list(rows)}


def tasks_hash() -> str:
    """A hash of our task files."""
    return content_hash({path.name: path.read_text(encoding="utf-8") for path in sorted(TASKS.glob("*.yaml"))})


@lru_cache(maxsize=1)
def _task_manager() -> TaskManager:
    """lm-eval's index of its own tasks; building it takes seconds."""
    return TaskManager()


def _stock_tasks(benchmark: str, task: str) -> dict[str, Task]:
    """lm-eval's own tasks."""
    entry = _task_manager().task_index.get(task)
    if entry is None:
        raise no_stock_task(benchmark, task)
    if (entry.cfg or {}).get("unsafe_code"):
        raise unsafe_task(benchmark, task)
    # Some tasks download NLTK data while they load, if it is missing.
    find_packaged_nltk_data()
    return _task_manager().load([task])["tasks"]


def _configure(benchmark: str, task: Task, settings: BenchmarkSettings) -> None:
    """Set the task's shots and answer length."""
    shots: int = task.get_config("num_fewshot") or 0 if settings.shots is None else settings.shots
    sampler = getattr(task, "sampler", None)
    available = len(sampler.df) if sampler is not None else 0
    if shots > available:
        raise too_many_shots(benchmark, shots, task.task_name, available)
    task.set_config(key="num_fewshot", value=shots)
    if settings.max_new_tokens is not None and task.OUTPUT_TYPE == "generate_until":
        task.set_config(key="generation_kwargs", value={"max_gen_toks": settings.max_new_tokens}, update=True)


def _check_worked_examples(benchmark: str, task: Any) -> None:
    """Raise UnusableTask where an item's question is also that of a worked example, which shows its answer."""
    shots = task.get_config("num_fewshot")
    if not shots or task.multiple_input:
        return
    examples = task.sampler.df[:shots] if isinstance(task.sampler, FirstNSampler) else task.sampler.df
    by_question = {str(task.doc_to_text(example)).strip(): example for example in examples}
    for item in task.eval_docs:
        question = str(task.doc_to_text(item)).strip()
        # Of examples that are drawn from the items themselves, lm-eval leaves out the item that is asked.
        if question in by_question and dict(by_question[question]) != dict(item):
            raise shown_and_asked(benchmark, task.task_name, question)


@contextlib.contextmanager
def quiet_lm_eval() -> Iterator[None]:
    """Suppress lm-eval's progress bars and messages, except errors."""
    logger, checker = logging.getLogger("lm_eval"), logging.getLogger("lm_eval.tasks.ifeval.instructions")
    level = logger.level
    logger.setLevel(logging.ERROR)
    checker.addFilter(_is_not_about_language)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        checker.removeFilter(_is_not_about_language)


def _is_not_about_language(record: logging.LogRecord) -> bool:
    """False for IFEval's message about an answer without words, which it logs as an error and counts as right."""
    return not record.getMessage().startswith("Unable to detect language")
