"""Folders whose content counts only when it is complete.

A job writes its files into a folder and its manifest last. A folder without a manifest is unfinished work, and a rerun
continues in it. Files are written under a temporary name and renamed, so a file that exists is a whole file. What the
files of a complete folder are is recorded beside its manifest: see `integrity`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from selection_platform.errors import PlatformError

MANIFEST, JOB, FILES = "manifest.json", "job.json", "files.json"

_MEND = "put back what was there, or remove it to have it made again"


class DamagedFile(PlatformError):
    """A file of ours that is not what we wrote."""


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON-serialisable value in canonical form."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_hash(path: Path) -> str:
    """`file_hash`, which is read again only if the file's size or time of change differs: `status` asks often."""
    state = path.stat()
    return _hash_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _hash_of_state(path: Path, _size: int, _modified: int) -> str:
    return file_hash(path)


def look_of(paths: Mapping[str, Path]) -> dict[str, str]:
    """What can be seen of files without reading them: size and modification time, by name."""
    states = ((name, path.stat()) for name, path in paths.items())
    return {name: f"{state.st_size:,} bytes of {_time(state.st_mtime_ns)}" for name, state in states}


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09d} UTC"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends without an error it becomes `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is unique to the process, so that two processes do not write into one temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    yield temporary
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_manifest(
    folder: Path,
    manifest: dict[str, Any],
    temporary: Collection[str] = (),
    hashes: Mapping[str, str] | None = None,
) -> None:
    """Declare the folder complete. Call it after everything else in the folder has been written.

    Args:
        folder: of the job.
        manifest: what there is to say of its result.
        temporary: names of the folders in it that are removed after this.
        hashes: SHA-256 (hex) of files in it, by name, where they are known. The others are read.

    Raises:
        PlatformError: a file of `hashes` is not there.
    """
    known = hashes or {}
    files = content_files(folder, temporary)
    if gone := sorted(known.keys() - set(files)):
        raise PlatformError(f"{folder}: {', '.join(gone)}: written by this job, and gone before its end; run again")
    _write_json(folder / FILES, {name: _recorded(folder / name, known.get(name)) for name in files})
    rewrite_manifest(folder, manifest)
    remove_previous(folder)


def rewrite_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Change what the manifest of a complete folder says. What is recorded of its files stays."""
    _write_json(folder / MANIFEST, manifest)


def content_files(folder: Path, without: Collection[str] = ()) -> list[str]:
    """The files in a complete folder and below, by their paths in it; without those that describe the folder itself.

    Args:
        folder: of the job.
        without: names of folders in it that do not count.
    """
    # Whoever writes a file gives it a name with a dot until it is whole.
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = {str(path) for path in paths if path.parts[0] not in without and not _is_hidden(path)}
    return sorted(names - {MANIFEST, JOB, FILES})


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _recorded(file: Path, known_hash: str | None) -> dict[str, Any]:
    state = file.stat()
    return {"bytes": state.st_size, "mtime_ns": state.st_mtime_ns, "sha256": known_hash or file_hash(file)}


def forget_files(folder: Path, names: Collection[str]) -> None:
    """Have it recorded of a complete folder that these files are to be removed: from now on they may be gone."""
    if (folder / FILES).exists():
        _write_json(folder / FILES, {**read_object(folder / FILES), **dict.fromkeys(names)})


def _write_json(file: Path, content: dict[str, Any]) -> None:
    with whole_file(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The folder's manifest, or None if the folder is missing or unfinished."""
    path = folder / MANIFEST
    return read_object(path) if path.exists() else None


def read_object(path: Path) -> dict[str, Any]:
    """The names and values of a JSON file that we wrote.

    Raises:
        DamagedFile: it is not what we wrote.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: is not JSON ({error}); {_MEND}") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"{path}: has no names and values; {_MEND}")
    return content


def is_complete(folder: Path, identity: dict[str, Any]) -> bool:
    """Whether the folder holds the complete result of the job that `identity` describes."""
    return _is_job(folder, identity) and (folder / MANIFEST).exists()


def previous_folder(folder: Path) -> Path:
    """Where a finished result is kept while another job works in its folder. No partition has such a name."""
    return folder.with_name(f".{folder.name}.previous")


def remove_job_folder(folder: Path) -> None:
    """Remove a folder and all that is in it."""
    # The manifest goes first: a folder that is half deleted when the process dies must not count as complete.
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder)


def remove_previous(folder: Path) -> None:
    """Remove the earlier result that was kept while the folder was not complete."""
    # Several processes may share a job and call this at once.
    shutil.rmtree(previous_folder(folder), ignore_errors=True)


def _is_job(folder: Path, identity: dict[str, Any]) -> bool:
    job_file = folder / JOB
    return job_file.exists() and read_object(job_file) == json.loads(json.dumps(identity))


_again: dict[Path, bool] | None = None
"""The folders that were opened within `made_again`, each with whether a result was put aside; None outside it."""


@contextmanager
def made_again() -> Iterator[None]:
    """Within the block, what a job folder holds is made again, though it is complete: once for each folder.

    Where that fails, what was there before is there again: see `put_back`.
    """
    global _again
    _again = dict[Path, bool]()
    try:
        yield
    finally:
        _again = None


def put_back(folder: Path) -> None:
    """Bring back the complete result that `begin_again` put aside, where it was not made again.

    To be called while the folder is held, or another process may have begun to work there.
    """
    if _again and _again.get(folder) and previous_folder(folder).exists():
        if folder.exists():
            shutil.rmtree(folder)
        previous_folder(folder).rename(folder)


def begin_again(folder: Path, result: str = MANIFEST) -> None:
    """Put a complete result aside, where it is to be made again and was not yet. See `open_job_folder`."""
    if _again is None or folder in _again:
        return
    aside = (folder / JOB).exists() and (folder / result).exists()
    job = (folder / JOB).read_bytes() if aside else b""
    if aside:
        remove_previous(folder)
        folder.rename(previous_folder(folder))
    # Not before: what lay beside the folder until now is not to be put back.
    _again[folder] = aside
    if aside:
        with whole_file(folder / JOB) as temporary:
            temporary.write_bytes(job)


def open_job_folder(folder: Path, identity: dict[str, Any], result: str = MANIFEST) -> bool:
    """Prepare `folder` for the job that `identity` describes.

    Unfinished work of the same identity is kept and continued; that of another identity is removed. A finished result
    of another identity is kept beside the folder until this job is finished, so that going back to it costs nothing.

    Args:
        folder: the job's folder.
        identity: everything that its result depends on.
        result: path, inside the folder, of a file that exists if the folder has a result worth keeping.

    Returns:
        True if the folder already holds this job's complete result.
    """
    begin_again(folder, result)
    if not _is_job(folder, identity):
        _make_room(folder, identity, result)
    if (folder / result).exists():
        remove_previous(folder)
    return (folder / MANIFEST).exists()


def _make_room(folder: Path, identity: dict[str, Any], result: str) -> None:
    """Put aside or remove another job's files, and bring back this job's earlier result if there is one."""
    previous = previous_folder(folder)
    if (folder / result).exists():
        remove_previous(folder)
        folder.rename(previous)
    elif folder.exists():
        remove_job_folder(folder)
    if _is_job(previous, identity):
        previous.rename(folder)
        return
    _write_json(folder / JOB, identity)
