"""Task files of lm-eval that are the user's own: what they say, and the files that decide what they give."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from glob import escape, glob
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from selection_platform.evaluation.task_names import UnusableTask
from selection_platform.evaluation.task_yaml import read_yaml

READERS = (
    *("arrow", "audiofolder", "csv", "hdf5", "imagefolder", "json", "pandas", "parquet", "sql", "text", "videofolder"),
    *("webdataset", "xml"),
)
"""Values of `dataset_path` that read files of any place, and are no names of datasets."""
_FUNCTION = re.compile(r"!function\s+[\"']?(\w+)\.")
_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\w+)", re.MULTILINE)


class TaskFile(NamedTuple):
    """A task file as lm-eval reads it.

    Attributes:
        config: what it says, with what it includes.
        files: itself, and those that it includes.
    """

    config: dict[str, Any]
    files: list[Path]


def names_code(task: TaskFile) -> bool:
    """Whether a task calls functions beside its file, which may load any dataset."""
    return any(_FUNCTION.search(file.read_text(encoding="utf-8")) for file in task.files)


def read_task_file(benchmark: str, path: Path) -> TaskFile:
    """Read a task file, without the code that it names.

    Raises:
        UnusableTask: it cannot be read, or one that it includes.
    """
    files: list[Path] = []
    return TaskFile(_merged(benchmark, path, files), files)


def belonging(benchmark: str, path: Path) -> list[Path]:
    """The files that decide what a task file gives, beside itself: those that it includes, code, and local data.

    Raises:
        UnusableTask: it cannot be read, or does not say which files it reads.
    """
    config, files = read_task_file(benchmark, path)
    return [*files[1:], *_code(files), *sorted(set(_data(f"benchmark {benchmark}: {path}", path.parent, config)))]


def is_local(source: str, given: Mapping[str, Any], folder: Path = Path()) -> bool:
    """Whether a dataset is of files on this machine, and not of the hub or the web.

    Args:
        source: `dataset_path` of a task, the first argument of `datasets.load_dataset`.
        given: its other arguments.
        folder: where relative paths start.
    """
    files = given.get("data_files") or []
    groups = files.values() if isinstance(files, Mapping) else [files]
    named = [each for group in groups for each in ([group] if isinstance(group, str) else group)]
    if any(_place(str(each)) is None for each in [*named, given.get("data_dir") or ""]):
        return False
    return source in READERS or (folder / Path(source).expanduser()).exists()


def _merged(benchmark: str, path: Path, files: list[Path]) -> dict[str, Any]:
    """As lm-eval merges: what stands in the file itself counts most, and then what it includes last."""
    if any(path.samefile(file) for file in files):
        raise UnusableTask(f"benchmark {benchmark}: {files[0]} includes {path} twice, or it includes itself")
    files.append(path)
    try:
        config = read_yaml(path)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnusableTask(f"benchmark {benchmark}: {path}: is no YAML ({error})") from error
    if not isinstance(config, dict):
        raise UnusableTask(f"benchmark {benchmark}: {path}: is no task file of lm-eval; it has keys such as `task:`")
    merged: dict[str, Any] = {}
    for name in _texts(f"benchmark {benchmark}: {path}", "include", config.pop("include", None) or []):
        if not (path.parent / name).is_file():
            raise UnusableTask(f"benchmark {benchmark}: {path} includes {name}, which is not beside it")
        merged |= _merged(benchmark, path.parent / name, files)
    return merged | config


def _code(files: Iterable[Path]) -> list[Path]:
    """The `.py` files beside task files, and those of the folders there that they import."""
    found: set[Path] = set()
    for file in files:
        beside = list(file.parent.glob("*.py"))
        named = set(_FUNCTION.findall(file.read_text(encoding="utf-8")))
        named.update(name for each in beside for name in _IMPORT.findall(each.read_text("utf-8", errors="replace")))
        found.update(beside, *((file.parent / name).rglob("*.py") for name in named))
    return sorted(found)


def _data(where: str, folder: Path, config: dict[str, Any]) -> Iterator[Path]:
    """The local files that `datasets` reads. What is on the hub or the web is named by the task file itself."""
    source, given = config.get("dataset_path"), config.get("dataset_kwargs") or {}
    if not isinstance(given, dict):
        raise UnusableTask(f"{where}: dataset_kwargs is no object; write it such as {{data_files: rows.jsonl}}")
    place = given.get("data_dir") or ""
    if not isinstance(place, str):
        raise UnusableTask(f"{where}: data_dir {place!r} is no folder; correct it")
    named = given.get("data_files") or []
    groups = named.values() if isinstance(named, dict) else [named]
    patterns = [each for group in groups for each in _texts(where, "data_files", group)]
    if not isinstance(source, str) or "://" in place:
        return
    if source in READERS:
        yield from _read_by_name(where, source, folder, place, patterns)
        return
    local = folder / Path(source).expanduser()
    if local.is_file():
        yield local
    elif local.is_dir():
        yield from _below(local)
        yield from (file for each in patterns for file in _matching(local / place, each) or ())


def _read_by_name(where: str, source: str, folder: Path, place: str, patterns: Sequence[str]) -> Iterator[Path]:
    """The local files of a reader such as `json`."""
    if not place and not patterns:
        raise UnusableTask(f"{where}: dataset_path {source} reads files; name them under dataset_kwargs: data_files")
    base = folder / Path(place).expanduser()
    if not patterns:
        yield from _below(base)
    for pattern in patterns:
        found = _matching(base, pattern)
        if found == []:
            raise UnusableTask(f"{where}: there is no file {pattern}, which data_files names; correct it")
        yield from found or ()


def _matching(folder: Path, pattern: str) -> list[Path] | None:
    """The files that a pattern of `datasets` names; None where they are not on this machine."""
    place = _place(pattern)
    if place is None:
        return None
    named = Path(place).expanduser()
    # pathlib's `**` at the end gives folders only.
    found = glob(str(Path(escape(str(folder))) / named), recursive=True)  # noqa: PTH207
    return _read(map(Path, found), {*folder.parts, *named.parts})


def _place(pattern: str) -> str | None:
    """The path of local files that a pattern names; None for the hub and the web."""
    # Of what stands in an archive, such as zip://rows.csv::data.zip, the archive.
    place = pattern.rpartition("::")[2].removeprefix("file://")
    return None if "://" in place else place


def _below(folder: Path) -> list[Path]:
    """The files of a folder."""
    return _read(folder.rglob("*"), set(folder.parts))


def _read(paths: Iterable[Path], named: Collection[str]) -> list[Path]:
    """The files that `datasets` reads: not what is hidden, nor what Python keeps, unless its name is written out."""
    hidden = ".", "__"
    return [
        path
        for path in paths
        if path.is_file() and not any(part.startswith(hidden) for part in path.parts if part not in named)
    ]


def _texts(where: str, key: str, value: Any) -> list[str]:
    """One text or a list of them."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise UnusableTask(f"{where}: {key} {value!r} names no files; write a name, or a list of names")
    return texts
