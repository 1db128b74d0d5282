"""Fetches the datasets of a benchmark's lm-eval tasks from the hub, each at a commit, for `task_datasets`.

lm-eval loads the tasks, and what it asks the hub for is kept: so a dataset of several subsets, such as MMLU's 57, is at
one commit, and only files that are read are downloaded. A commit stays until a newer one is asked for. A fetch that is
killed goes on with the dataset that it was at.
"""

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi, errors

from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.errors import PlatformError, is_fixable
from selection_platform.evaluation.benchmark_tasks import lm_eval_tasks, quiet_lm_eval
from selection_platform.evaluation.items import item_hash
from selection_platform.evaluation.own_benchmarks import content_of
from selection_platform.evaluation.own_task_files import READERS
from selection_platform.evaluation.task_datasets import CONTENT, LOAD, Request, answered, load_rows, rows_folder
from selection_platform.evaluation.task_names import UnusableTask
from selection_platform.job.folder import (
    content_hash,
    open_job_folder,
    previous_folder,
    read_manifest,
    read_object,
    whole_file,
    write_manifest,
)
from selection_platform.job.integrity import changed_files
from selection_platform.job.lock import alone_in_folder
from selection_platform.job.progress import progress
from selection_platform.job.versions import VERSIONS

_COMMITS, _DATASET = "commits.json", "dataset.json"
_HUB = "hf://datasets/"


class UnreadableDataset(PlatformError):
    """A dataset of a task cannot be fetched."""


@alone_in_folder
def fetch(benchmark: str, settings: BenchmarkSettings, folder: Path, *, newest: bool = False) -> dict[str, Any]:
    """Fetch the datasets of a benchmark's tasks, unless the folder already has them.

    Args:
        benchmark: its name in the profile.
        settings: a task of lm-eval, or a task file of the user's own.
        folder: where they are kept.
        newest: take the newest commits, and not those that were fetched before, unless files of these are damaged.

    Returns:
        The manifest: of each dataset its commit, rows and content, and of all together the content.

    Raises:
        UnreadableDataset: one cannot be fetched; the message says what to do.
        UnusableTask: the task is unknown, or its data cannot be fetched beforehand.
    """
    # What is only repaired stays at its commit.
    newest = newest and not any(
        changed_files(place, deep=True) for place in (folder, previous_folder(folder)) if place.exists()
    )
    commits = {} if newest else _kept_commits(folder)
    identity = {
        "task": settings.task,
        **({} if settings.path is None else {"file": content_of(benchmark, settings.path)}),
        "lm_eval": version("lm_eval"),
        "code_version": VERSIONS["task_dataset"],
    }
    if open_job_folder(folder, identity):
        return read_manifest(folder) or {}
    if newest:
        # Of files of the web, which have no commit, a killed fetch may have left older ones.
        shutil.rmtree(folder / "rows", ignore_errors=True)
    with progress(f"datasets of {benchmark}", None, "datasets") as done, quiet_lm_eval():
        fetch = _Fetch(benchmark, folder, commits, done.advance)
        with answered(fetch.answer):
            lm_eval_tasks(benchmark, settings.task, settings.path)
    fetch.remove_others()
    content = {name: each["content"] for name, each in sorted(fetch.found.items())}
    write_manifest(folder, {"datasets": list(fetch.found.values()), CONTENT: content_hash(content)})
    return read_manifest(folder) or {}


def _kept_commits(folder: Path) -> dict[str, str]:
    """The commits of what was fetched before, or of what a killed fetch had begun with."""
    places = (place / _COMMITS for place in (folder, previous_folder(folder)))
    return next((read_object(place) for place in places if place.exists()), {})


class _Fetch:
    """What the tasks of a benchmark ask for, on its way into a folder.

    Attributes:
        found: what is said of each dataset, by the name of its folder.
    """

    def __init__(self, benchmark: str, folder: Path, commits: dict[str, str], advance: Callable[[], object]) -> None:
        self._benchmark, self._folder, self._commits, self._advance = benchmark, folder, commits, advance
        self.found: dict[str, dict[str, Any]] = {}
        self._write_commits()

    def answer(self, request: Request) -> Any:
        """The dataset that a task asks for, as later evaluations get it."""
        dataset, place = str(request["path"]).removeprefix(_HUB), rows_folder(self._folder, request)
        try:
            commit = self._commit(dataset, request)
            # A killed fetch may have left it.
            if not place.exists() or read_object(place / _DATASET)["commit"] != commit:
                self._keep(self._load(dataset, commit, request), place, dataset, commit, request.get("name"))
        except _FAILURES as error:
            if is_fixable(error):
                raise
            raise UnreadableDataset(_message(self._benchmark, dataset, error)) from error
        self.found[place.name] = read_object(place / _DATASET)
        self._advance()
        return load_rows(place)

    def remove_others(self) -> None:
        """Remove what no task asks for any more, and the work."""
        for place in (self._folder / "rows").glob("*"):
            if place.name not in self.found:
                shutil.rmtree(place)
        shutil.rmtree(self._work, ignore_errors=True)

    @property
    def _work(self) -> Path:
        return self._folder / ".work"

    def _load(self, dataset: str, commit: str | None, request: Request) -> Any:
        if request.get("streaming"):
            raise UnusableTask(
                f"benchmark {self._benchmark}: its task streams {dataset}, which cannot be fetched beforehand; name "
                "another task, or a task file of your own without `streaming`"
            )
        pinned = {} if commit is None else {"revision": commit}
        # A cache of its own, since `datasets` gives an earlier version out of its usual one where the hub fails.
        return LOAD(**{**request, **pinned, "cache_dir": str(self._work)})

    def _commit(self, dataset: str, request: Request) -> str | None:
        """The commit of a dataset; None for files of the web."""
        if dataset in READERS:
            return None
        revision = request.get("revision")
        asked = dataset if revision is None else f"{dataset}@{revision}"
        if asked not in self._commits:
            # Of a gated dataset, anyone may know the commit.
            HfApi().auth_check(dataset, repo_type="dataset")
            self._commits[asked] = str(HfApi().dataset_info(dataset, revision=revision).sha)
            self._write_commits()
        return self._commits[asked]

    def _write_commits(self) -> None:
        with whole_file(self._folder / _COMMITS) as temporary:
            temporary.write_text(json.dumps(self._commits))

    def _keep(self, rows: Any, place: Path, dataset: str, commit: str | None, config: str | None) -> None:
        splits: Any = rows if isinstance(rows, datasets.DatasetDict) else {str(rows.split): rows}
        content = {name: [item_hash(dict(row)) for row in split] for name, split in sorted(splits.items())}
        # Names of labels, which rows have as numbers.
        features = {name: repr(split.features) for name, split in sorted(splits.items())}
        said = {
            "dataset": dataset,
            "config": config,
            "commit": commit,
            "rows": {name: len(hashes) for name, hashes in content.items()},
            "content": content_hash([features, content]),
        }
        partial = place.with_name(f".{place.name}")
        shutil.rmtree(partial, ignore_errors=True)
        rows.save_to_disk(str(partial))
        (partial / _DATASET).write_text(json.dumps(said))
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)


# A failed download, a dataset that `datasets` cannot read, and names that the hub or the dataset does not know.
_FAILURES = (errors.HTTPError, OSError, DatasetsError, RuntimeError, ValueError)  # pyright: ignore[reportPrivateImportUsage]


def _message(benchmark: str, dataset: str, error: Exception) -> str:
    at, where = f"https://huggingface.co/datasets/{dataset}", f"benchmark {benchmark}: dataset {dataset}"
    if isinstance(error, errors.GatedRepoError):
        return f"{where} is gated; accept its terms at {at}, run `hf auth login`, and run again"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{where} has no such revision; correct `revision` under dataset_kwargs in the task file"
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return (
            f"{where} is not on the hub, or is private; name another task, or run `hf auth login` with an account that "
            "may read it"
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return (
            f"{where} cannot be fetched offline; unset HF_HUB_OFFLINE, or fetch it on another machine, and copy "
            f"artifacts/task_dataset/{benchmark} from the home there"
        )
    if "scripts are no longer supported" in str(error):
        return (
            f"{where} is a loading script, which `datasets` does not run any more; name another task, or a task file "
            "of your own with `dataset_kwargs: {revision: refs/convert/parquet}`, where the hub often has the rows"
        )
    why = f"({type(error).__name__}: {error})"
    if isinstance(error, errors.HTTPError | ConnectionError | TimeoutError):  # pyright: ignore[reportPrivateImportUsage]
        return f"{where} cannot be fetched {why}; check the network, and run again: what is complete is kept"
    return f"{where} cannot be read as the task asks for it {why}; name another task, or a task file of your own"
