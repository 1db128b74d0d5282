"""Benchmarks of one's own: a file of prompts with references, or a task file of lm-eval. Read without lm-eval."""

from os.path import relpath
from pathlib import Path
from typing import Any

from selection_platform.configuration.evaluation_settings import AnswerRule, BenchmarkSettings, EvaluationSettings
from selection_platform.errors import PlatformError
from selection_platform.evaluation.answer_rules import unfit_reference
from selection_platform.evaluation.benchmark_data import Row, numbered_rows
from selection_platform.evaluation.own_task_files import belonging, is_local, names_code, read_task_file
from selection_platform.evaluation.spec import is_stock
from selection_platform.evaluation.task_names import UnusableTask, check_task
from selection_platform.job.folder import cached_hash, content_hash

_FORM = '{"prompt": "Two and two?", "reference": "4"}'


def is_task_file(path: Path) -> bool:
    """Whether it is a task file of lm-eval."""
    return path.suffix in (".yaml", ".yml")


def check_benchmark(benchmark: str, settings: BenchmarkSettings) -> None:
    """Raise UnusableTask where a benchmark cannot be used, as far as that shows without lm-eval and a model."""
    if settings.path is None:
        check_task(benchmark, settings)
    else:
        check_own(benchmark, settings, settings.path)


def check_own(benchmark: str, settings: BenchmarkSettings, path: Path) -> None:
    """Raise UnusableTask where a benchmark's file cannot be used."""
    content_of(benchmark, path)
    if settings.rule is None:
        task_name(benchmark, path)
    else:
        read_prompts(benchmark, path, settings.rule)


def hub_benchmarks(evaluation: EvaluationSettings) -> list[str]:
    """The benchmarks whose tasks read datasets of the hub. A task file that cannot be read does not count."""
    return [
        name for name, settings in evaluation.benchmarks.items() if is_stock(settings) and _reads_hub(name, settings)
    ]


def _reads_hub(benchmark: str, settings: BenchmarkSettings) -> bool:
    path = settings.path
    if path is None:
        return True
    if not path.is_file():
        return False
    try:
        task = read_task_file(benchmark, path)
    except UnusableTask:
        # Said before a run.
        return False
    source, given = task.config.get("dataset_path"), task.config.get("dataset_kwargs") or {}
    is_file = isinstance(source, str) and isinstance(given, dict) and is_local(source, given, path.parent)
    # Code, in the place of a dataset or beside it, reads what it likes.
    return not is_file or names_code(task)


def read_prompts(benchmark: str, path: Path, rule: AnswerRule) -> list[Row]:
    """The rows of a file of prompts, each with `prompt` and `references`, a list of text.

    A row of the file has `prompt`, and `reference`: text, a number, or a list of these, of which any is right. Its
    other fields are not read.

    Raises:
        UnusableTask: a row has not what the rule needs; the message names the file and the line.
    """
    try:
        rows = numbered_rows(path)
    except (UnicodeDecodeError, PlatformError) as error:
        raise UnusableTask(
            f"benchmark {benchmark}: {path}: each line must be a row such as {_FORM} ({error})"
        ) from error
    if not rows:
        raise UnusableTask(f"benchmark {benchmark}: {path} has no rows; write them such as {_FORM}")
    return [_prompt(f"benchmark {benchmark}: {path}, line {number}", row, rule) for number, row in rows]


def _prompt(where: str, row: Any, rule: AnswerRule) -> Row:
    if not isinstance(row, dict):
        raise UnusableTask(f"{where}: is no object; write it such as {_FORM}")
    prompt, reference = row.get("prompt"), row.get("reference")
    if not isinstance(prompt, str) or not prompt.strip():
        raise UnusableTask(f"{where}, field prompt: is no text; write the row such as {_FORM}")
    references = reference if isinstance(reference, list) else [reference]
    for each in references:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise UnusableTask(f"{where}, field reference: {each!r} is no text; write the row such as {_FORM}")
        if unfit := unfit_reference(rule, prompt, str(each)):
            raise UnusableTask(f"{where}, field reference: {each!r} {unfit}, as rule {rule} needs; correct it")
    if not references:
        raise UnusableTask(f"{where}, field reference: is an empty list; name what is right")
    return {"prompt": prompt, "references": [str(each) for each in references]}


def task_name(benchmark: str, path: Path) -> str:
    """The name of the task in a task file of lm-eval.

    Raises:
        UnusableTask: it is no file of one task, or the task runs generated code.
    """
    config = read_task_file(benchmark, path).config
    name = config.get("task")
    if not isinstance(name, str):
        raise UnusableTask(f"benchmark {benchmark}: {path} names no single task under `task`; name a file of one task")
    if config.get("unsafe_code"):
        raise UnusableTask(f"benchmark {benchmark}: {path} runs generated code without a sandbox, which is refused")
    return name


def content_of(benchmark: str, path: Path) -> str:
    """Hash of all that a benchmark's file consists of; of a task file also what it includes, its code and its data.

    Raises:
        UnusableTask: it is not there, or is a task file that cannot be read, or whose data cannot be known.
    """
    if not path.is_file():
        raise UnusableTask(f"benchmark {benchmark}: there is no file {path}; correct `file`")
    others = belonging(benchmark, path) if is_task_file(path) else []
    # The file's own name does not count, nor the place.
    return content_hash([cached_hash(path), *([relpath(each, path.parent), cached_hash(each)] for each in others)])
