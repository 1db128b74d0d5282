"""Benchmarks of one's own: a file of prompts with references, or a task file of lm-eval. Read without lm-eval."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from selection_platform.configuration.settings import AnswerRule, BenchmarkSettings
from selection_platform.errors import PlatformError
from selection_platform.evaluation.answer_rules import unfit_reference
from selection_platform.evaluation.benchmark_data import Row, read_rows
from selection_platform.evaluation.task_names import UnusableTask, check_task
from selection_platform.job.folder import content_hash, file_hash

_FORM = '{"prompt": "Two and two?", "reference": "4"}'


class _TaskFileLoader(yaml.SafeLoader):
    """Reads tags such as `!function` as nothing: code that a task file names is not run to look at it."""


_TaskFileLoader.add_multi_constructor("!", lambda loader, suffix, node: None)


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


def read_prompts(benchmark: str, path: Path, rule: AnswerRule) -> list[Row]:
    """The rows of a file of prompts, each with `prompt` and `references`, a list of text.

    A row of the file has `prompt`, and `reference`: text, a number, or a list of these, of which any is right. Its
    other fields are not read.

    Raises:
        UnusableTask: a row has not what the rule needs; the message names the file and the line.
    """
    try:
        rows = read_rows(path)
    except (UnicodeDecodeError, PlatformError) as error:
        raise UnusableTask(
            f"benchmark {benchmark}: {path}: each line must be a row such as {_FORM} ({error})"
        ) from error
    if not rows:
        raise UnusableTask(f"benchmark {benchmark}: {path} has no rows; write them such as {_FORM}")
    return [_prompt(f"benchmark {benchmark}: {path}, row {number}", row, rule) for number, row in enumerate(rows, 1)]


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
    config = {key: value for part in reversed(list(_configs(benchmark, path))) for key, value in part.items()}
    name = config.get("task")
    if not isinstance(name, str):
        raise UnusableTask(f"benchmark {benchmark}: {path} names no single task under `task`; name a file of one task")
    if config.get("unsafe_code"):
        raise UnusableTask(f"benchmark {benchmark}: {path} runs generated code without a sandbox, which is refused")
    return name


def content_of(benchmark: str, path: Path) -> str:
    """Hash of all that a benchmark's file consists of; of a task file also what it includes, its code and its data.

    Raises:
        UnusableTask: it is not there, or is a task file that cannot be read.
    """
    if not path.is_file():
        raise UnusableTask(f"benchmark {benchmark}: there is no file {path}; correct `file`")
    files = [path, *(_belonging(benchmark, path) if is_task_file(path) else [])]
    # `status` asks for each partition.
    return content_hash([_hash(each, each.stat().st_size, each.stat().st_mtime_ns) for each in files])


@lru_cache(maxsize=256)
def _hash(path: Path, _size: int, _modified: int) -> str:
    return file_hash(path)


def _belonging(benchmark: str, path: Path) -> Iterator[Path]:
    """The files beside a task file that decide what it gives, in an order that names do not change by place."""
    yield from _included(benchmark, path)
    yield from sorted(path.parent.glob("*.py"))
    for config in _configs(benchmark, path):
        named = (config.get("dataset_kwargs") or {}).get("data_files") or []
        splits = named.values() if isinstance(named, dict) else [named]
        for files in splits:
            for file in [files] if isinstance(files, str) else files:
                # An address on the hub or the web is named by the task file itself.
                if (path.parent / file).is_file():
                    yield path.parent / file


def _configs(benchmark: str, path: Path) -> Iterator[dict[str, Any]]:
    """What stands in a task file, and then in those that it includes."""
    for file in (path, *_included(benchmark, path)):
        yield _config(benchmark, file)


def _included(benchmark: str, path: Path) -> Iterator[Path]:
    included = _config(benchmark, path).get("include") or []
    for name in [included] if isinstance(included, str) else included:
        file = path.parent / name
        if not file.is_file():
            raise UnusableTask(f"benchmark {benchmark}: {path} includes {name}, which is not beside it")
        yield file
        yield from _included(benchmark, file)


def _config(benchmark: str, path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), _TaskFileLoader)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnusableTask(f"benchmark {benchmark}: {path}: is no YAML ({error})") from error
    if not isinstance(config, dict):
        raise UnusableTask(f"benchmark {benchmark}: {path}: is no task file of lm-eval; it has keys such as `task:`")
    return config
