"""Whether the files of a complete folder are what was written: names, sizes and hashes, recorded beside its manifest.

Size and time of change are looked at before each use. Where the time differs, as in a copied home, or where a full
check is asked for, the file is read and its hash compared.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from selection_platform.job.folder import FILES, MANIFEST, DamagedFile, content_files, file_hash, read_object

MADE = {
    "raw_pool", "pool", "contamination", "benchmark_data", "task_dataset", "base_model", "target_samples", "scoring",
    "picks", "pre_experience_checkpoint", "warmup_checkpoint", "held_out", "checkpoint", "benchmark_result", "report",
}  # fmt: skip
"""The folders of a home's `artifacts`; a dot and a variant may follow."""


class Change(NamedTuple):
    """A file that is not what was written.

    Attributes:
        file: its path in the folder.
        what: what differs, in words.
    """

    file: str
    what: str


class ChangedFile(DamagedFile):
    """A file that a job would read is not what was written."""


def is_recorded(folder: Path) -> bool:
    """Whether it is known what the files of a complete folder are: earlier versions did not record it."""
    return (folder / MANIFEST).exists() and (folder / FILES).exists()


def changed_files(folder: Path, *, deep: bool = False) -> list[Change]:
    """The files of a complete folder that are not what was written, that are gone, or that came to be there since.

    Nothing is known of an unfinished folder, nor of one of an earlier version.

    Args:
        folder: of a job.
        deep: read each file, whatever its time of change says.
    """
    if not is_recorded(folder):
        return []
    try:
        recorded = read_object(folder / FILES)
        whats = {name: _change(folder / name, state, deep) for name, state in recorded.items()}
    except (DamagedFile, KeyError, TypeError):
        return [Change(FILES, "is not what was written")]
    # Below the folder itself, a killed job may have left what it works with.
    added = {name for name in content_files(folder) if "/" not in name} - recorded.keys()
    whats |= dict.fromkeys(added, "was added since")
    return sorted(Change(name, what) for name, what in whats.items() if what)


def _change(file: Path, recorded: dict[str, Any] | None, deep: bool) -> str | None:
    if recorded is None:
        # It was to be removed: see `forget_files`.
        return None
    if not file.is_file():
        return "is gone"
    state = file.stat()
    if state.st_size != recorded["bytes"]:
        return f"has {state.st_size:,} bytes and was written with {recorded['bytes']:,}"
    if deep:
        same = file_hash(file) == recorded["sha256"]
    else:
        moment = state.st_mtime_ns
        same = moment == recorded["mtime_ns"] or _hash_at(file, moment) == recorded["sha256"]
    return None if same else "has other bytes than were written"


@cache
def _hash_at(file: Path, moment: int) -> str:
    """The hash of a file that was changed last at a moment: in a copied home, every job would read it again."""
    return file_hash(file)


def check_files(folder: Path) -> None:
    """Raise unless the files of a complete folder are what was written, as far as their sizes and times tell.

    Raises:
        ChangedFile: one is not.
    """
    changes = changed_files(folder)
    if changes:
        (file, what), more = changes[0], len(changes) - 1
        raise ChangedFile(
            f"{folder / file}: {what}{f', and {more:,} more files beside it' if more else ''}; put back what was "
            f"there, or have it made again: `selection-platform refresh {partition_of(folder)} --rebuild`"
        )


def partition_of(folder: Path) -> str:
    """What `refresh` is to be asked for to have a job's folder made again, by its place in a home."""
    parts = folder.absolute().parts
    # A pool or a model may be called artifacts too, and a folder around the home.
    places = (at for at, name in enumerate(parts[1:], 1) if parts[at - 1] == "artifacts" and name.split(".")[0] in MADE)
    at = next(places, None)
    if at is None:
        return "KEY"
    asset, *partition = parts[at:]
    if asset == "picks":
        return f"scores/{partition[0]}"
    if asset == "scoring" or asset.startswith(("warmup_checkpoint", "pre_experience_checkpoint")):
        # A pool and a model; below them lies what each job or epoch wrote.
        partition = partition[:2]
    return "/".join(partition) or asset
