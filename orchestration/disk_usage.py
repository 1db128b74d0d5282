"""What takes how much room in a home folder, and what there belongs to nothing in the profile."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from selection_platform.job.folder import MANIFEST, previous_folder, remove_job_folder
from selection_platform.job.lock import lock_file

BESIDE = (".samples.parquet", ".conversations.parquet")
"""How the names of the files end that a model was trained on."""


@dataclass(frozen=True)
class Use:
    """What takes room.

    Attributes:
        name: asset, or part of the platform.
        partition: of the asset; None for all of its partitions in the profile together.
        bytes: sum of the sizes of the files.
        in_profile: whether it belongs to anything in the profile.
    """

    name: str
    partition: str | None
    bytes: int
    in_profile: bool = True

    def __str__(self) -> str:
        """Name and partition."""
        return self.name if self.partition is None else f"{self.name} {self.partition}"


def bytes_of(path: Path) -> int:
    """Sum of the sizes of a folder's files, or of one file; 0 where there is nothing."""
    if path.is_file():
        return path.stat().st_size
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except FileNotFoundError:
        # A run that is going on removed it.
        return 0


def beside(folder: Path) -> list[Path]:
    """A job's folder, and what bears its name beside it: what it was made from, and what was there before."""
    paths = [folder, *(folder.with_name(f"{folder.name}{ending}") for ending in BESIDE), previous_folder(folder)]
    paths.append(lock_file(folder))
    return [path for path in paths if path.exists()]


def artifact_uses(root: Path, in_profile: Collection[Path], checkpoints: Mapping[str, Path]) -> list[Use]:
    """What the folders of all assets take: each checkpoint alone, and each folder that belongs to nothing.

    Args:
        root: the artifacts' folder; in it one for each asset.
        in_profile: every folder that belongs to something in the profile.
        checkpoints: folder of each experiment that is trained.
    """
    if not root.is_dir():
        return []
    uses = [
        Use(name, "/".join(partition) or None, _with_beside(folder), in_profile=False)
        for folder in removed_folders(root, in_profile)
        for name, *partition in [folder.relative_to(root).parts]
    ]
    uses += [Use("checkpoint", key, _with_beside(folder)) for key, folder in checkpoints.items() if folder.exists()]
    for folder in sorted(root.iterdir()):
        others = sum(use.bytes for use in uses if use.name == folder.name)
        uses.append(Use(folder.name, None, bytes_of(folder) - others))
    return [use for use in uses if use.bytes > 0]


def _with_beside(folder: Path) -> int:
    return sum(bytes_of(path) for path in beside(folder))


def removed_folders(root: Path, in_profile: Collection[Path]) -> list[Path]:
    """The folders under `root` that neither are, hold nor lie in one that belongs to something in the profile."""
    holders = {parent for folder in in_profile for parent in folder.parents}
    return list(_removed(root, set(in_profile), holders)) if root.is_dir() else []


def _removed(folder: Path, in_profile: set[Path], holders: set[Path]) -> Iterator[Path]:
    for child in sorted(folder.iterdir()):
        # What a job folder held before goes with the folder; no other name begins with a dot.
        if child in in_profile or child.name.startswith(".") or not child.is_dir():
            continue
        if child in holders:
            yield from _removed(child, in_profile, holders)
        else:
            yield child


def remove_folders(folders: Collection[Path]) -> int:
    """Remove folders, and the files beside them that bear their names.

    Returns:
        The bytes that were freed.
    """
    freed = 0
    for folder in folders:
        freed += _with_beside(folder)
        for path in beside(folder):
            if path.is_dir():
                # Each job's manifest before its files, wherever below it lies.
                for manifest in path.rglob(MANIFEST):
                    manifest.unlink()
                remove_job_folder(path)
            else:
                path.unlink()
    return freed
