"""Files on this machine: those named by a profile's paths and patterns, and those in a folder."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from pathlib import Path

from selection_platform.job.folder import file_hash
from selection_platform.pools.rows import Rows, SourceError, SourceFile
from selection_platform.pools.sources.formats import format_of, reader_of


@dataclass(frozen=True)
class Found:
    """Files by name, in the order in which they are read.

    Attributes:
        paths: the files with rows.
        left_out: names of files in a folder that cannot be read.
    """

    paths: dict[str, Path]
    left_out: list[str]


def find_files(patterns: Iterable[str], folder: Path) -> Found:
    """The files that patterns match, each once. Relative patterns start from `folder`, and so do their files' names.

    Raises:
        SourceError: a pattern matches nothing, or is a folder without readable files.
    """
    paths: dict[str, Path] = {}
    left_out: list[str] = []
    for pattern in patterns:
        matches = [folder / pattern] if (folder / pattern).is_file() else _matching(folder / pattern)
        if (folder / pattern).is_dir():
            inside = files_in(folder / pattern)
            matches = [path for path in inside if format_of(path.name)]
            left_out += [_name(path, folder) for path in inside if not format_of(path.name)]
        if not matches:
            raise SourceError(_nothing(pattern, folder))
        # A whole folder may have the platform's own files in it, with copies of the rows.
        kept = [path for path in matches if path == folder / pattern or not _in_home(path)]
        if matches and not kept:
            raise SourceError(f"files: {pattern} names only files of a home folder of the platform; name your own")
        paths |= {_name(path, folder): path for path in kept}
    return Found(paths, [name for name in left_out if name not in paths])


def _in_home(path: Path) -> bool:
    """Whether a file lies in a home folder of the platform, by what every home has."""
    return any(_is_home(parent) for parent in path.parents)


def _is_home(folder: Path) -> bool:
    return (folder / "profile.json").is_file() and (folder / "dagster" / "dagster.yaml").is_file()


def _matching(pattern: Path) -> list[Path]:
    """The files that a pattern matches, sorted. A leading part that exists literally is not a pattern."""
    base, parts = Path(pattern.anchor), list(pattern.parts[1 if pattern.anchor else 0 :])
    while parts and (base / parts[0]).exists():
        base /= parts.pop(0)
    if not parts or not any(has_magic(part) for part in parts):
        return []
    try:
        return sorted(path for path in base.glob("/".join(parts)) if path.is_file())
    except ValueError as error:
        raise SourceError(f"files: {pattern} is not a pattern ({error}); write `**` between slashes") from error


def _nothing(pattern: str, folder: Path) -> str:
    if "://" in pattern:
        return f"files: {pattern} is an address; fetch the files, and name their folder in the pool's source"
    path = (folder / pattern).absolute()
    if path.is_dir():
        return f"files: the folder {path} has no readable file; correct the path in the pool's source"
    return f"files: nothing matches {path}; correct the path in the pool's source"


def _name(path: Path, folder: Path) -> str:
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    # Linux allows any bytes in a name; the raw pool's column only text.
    return os.fsencode(name).decode(errors="backslashreplace")


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, sorted, except hidden ones. Links to folders are followed, each folder once."""
    return sorted(_walk(folder, set()))


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith((".", "__")):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, seen)
            elif entry.is_file():
                yield folder / entry.name
            elif entry.is_symlink():
                raise SourceError(f"{folder / entry.name}: a link to a missing file; fix or remove it")


def local_file(name: str, path: Path) -> SourceFile:
    """A file on this machine, with the hash of its current content.

    Raises:
        SourceError: files of its ending cannot be read.
    """
    read, seen = reader_of(path), _state(path)

    def rows(path: Path, name: str, after: int) -> Rows:
        yield from read(path, name, after)
        if _state(path) != seen:
            raise SourceError(f"{path} changed while it was read; run again when it is complete")

    return SourceFile(name, file_hash(path), partial(_itself, path), rows)


def _itself(path: Path) -> Path:
    return path


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns
