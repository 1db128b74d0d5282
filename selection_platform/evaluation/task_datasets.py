"""The datasets of lm-eval's tasks, read without a network from the folder where `fetch_datasets` keeps them."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import datasets
from datasets import config as datasets_config
from evaluate import config as evaluate_config
from huggingface_hub import constants

from selection_platform.evaluation.benchmark_data import MissingData
from selection_platform.evaluation.own_task_files import is_local
from selection_platform.job.folder import content_hash, read_manifest

CONTENT = "content_hash"
"""Key of a manifest: hash of the rows of all datasets, without their commits."""

_SWITCHES = (
    (constants, "HF_HUB_OFFLINE"),
    (datasets_config, "HF_HUB_OFFLINE"),
    (datasets_config, "HF_DATASETS_OFFLINE"),
    (evaluate_config, "HF_EVALUATE_OFFLINE"),
)
"""What the libraries made of the environment when they were imported."""

_HOW = {"cache_dir", "download_mode", "keep_in_memory", "num_proc", "save_infos", "token", "verification_mode"}
"""Arguments that decide how rows are fetched, and not which."""

Request = dict[str, Any]
"""What a task asks `datasets.load_dataset` for: its arguments by name, without those that are None."""


class TaskDatasets(NamedTuple):
    """Datasets that were fetched, and their content: one process may see two of them in one place."""

    folder: Path
    content: str


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Within the block, neither this process nor a child that it starts asks the hub."""
    variables = {name for _, name in _SWITCHES}
    before = {name: os.environ.get(name) for name in variables}
    switches = [(module, name, getattr(module, name)) for module, name in _SWITCHES]
    os.environ.update(dict.fromkeys(variables, "1"))
    for module, name in _SWITCHES:
        setattr(module, name, True)
    try:
        yield
    finally:
        for module, name, value in switches:
            setattr(module, name, value)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _load_dataset(*args: Any, **kwargs: Any) -> Any:
    given = dict(_parameters.bind(*args, **kwargs).arguments)
    given |= given.pop("config_kwargs", {})
    request = {name: value for name, value in given.items() if value is not None}
    answer = _answer.get()
    if answer is None or is_local(str(request["path"]), request):
        return LOAD(*args, **kwargs)
    return answer(request)


LOAD: Callable[..., Any] = datasets.load_dataset
"""`datasets.load_dataset` itself."""
_parameters = signature(LOAD)
_answer: ContextVar[Callable[[Request], Any] | None] = ContextVar("answer", default=None)
# lm-eval and the code of its tasks call it, some by a name that they imported, and no setting says where it reads from.
datasets.load_dataset = _load_dataset


@contextlib.contextmanager
def answered(answer: Callable[[Request], Any]) -> Iterator[None]:
    """Within the block, `answer` gives tasks what they ask of the hub or the web. Local files are read as ever."""
    token = _answer.set(answer)
    try:
        yield
    finally:
        _answer.reset(token)


def read_fetched(benchmark: str, folder: Path | None) -> contextlib.AbstractContextManager[None]:
    """Within the block, tasks are given the datasets that were fetched.

    Args:
        benchmark: the name of the tasks' benchmark, for messages.
        folder: where they are; None if the benchmark has none.

    Raises:
        MissingData: a task asks for another one.
    """

    def read(request: Request) -> Any:
        place = None if folder is None else rows_folder(folder, request)
        if place is not None and place.is_dir():
            return load_rows(place)
        raise MissingData(
            f"benchmark {benchmark}: dataset {request['path']} is not on this machine; fetch it with "
            "`selection-platform refresh task_dataset --rebuild`"
        )

    return answered(read)


def load_rows(place: Path) -> Any:
    """A dataset, in memory: what a task makes of it is written nowhere, and the folder may be replaced meanwhile."""
    return datasets.load_from_disk(str(place), keep_in_memory=True)


def rows_folder(folder: Path, request: Request) -> Path:
    """Where the rows of a dataset are, in the folder of its benchmark."""
    deciding = {name: value for name, value in request.items() if name not in _HOW}
    asked = content_hash(json.loads(json.dumps(deciding, default=str)))[:16]
    return folder / "rows" / f"{str(request['path']).replace('/', '--').replace(':', '')}.{asked}"


def fetched_content(folder: Path) -> str:
    """Hash of the rows of a benchmark's datasets.

    Raises:
        MissingData: they are not fetched.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise MissingData(
            f"{folder}: no datasets of lm-eval's tasks; fetch them with `selection-platform refresh task_dataset`"
        )
    return manifest[CONTENT]
