"""Disk usage of a home folder, and the folders in it that belong to nothing in the profile."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from selection_platform.job.folder import MANIFEST, previous_folder, remove_job_folder
from selection_platform.job.lock import lock_file

BESIDE = (".samples.parquet", ".conversations.parquet")
"""Suffixes of the files that a model was trained on."""


@dataclass(frozen=True)
class Use:
    """The disk usage of one thing.

    Attributes:
        name: an asset, or a part of the platform.
        partition: partition of the asset; None for all of its partitions in the profile together.
        bytes: sum of the file sizes.
        in_profile: whether it belongs to something in the profile.
    """

    name: str
    partition: str | None
    bytes: int
    in_profile: bool = True

    def __str__(self) -> str:
        """Name and partition."""
        return self.name if self.partition is None else f"{self.name} {self.partition}"


def bytes_of(path: Path) -> int:
    """The sum of the sizes of a folder's files, or the size of a file; 0 if the path does not exist."""
    if path.is_file():
        return path.stat().st_size
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except FileNotFoundError:
        # A run in progress removed it.
        return 0


def beside(folder: Path) -> list[Path]:
    """A job's folder, and the paths next to it with its name: its inputs, its previous content and its lock."""
    paths = [folder, *(folder.with_name(f"{folder.name}{ending}") for ending in BESIDE), previous_folder(folder)]
    paths.append(lock_file(folder))
    return [path for path in paths if path.exists()]


def artifact_uses(root: Path, in_profile: Collection[Path], checkpoints: Mapping[str, Path]) -> list[Use]:
    """The disk usage of the folders of all assets, with a line for each checkpoint and for each removed folder.

    Args:
        root: the artifacts' folder, with one folder per asset.
        in_profile: every folder that belongs to something in the profile.
        checkpoints: folder of each trained experiment.
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
        listed = sum(use.bytes for use in uses if use.name == folder.name)
        uses.append(Use(folder.name, None, bytes_of(folder) - listed))
    return [use for use in uses if use.bytes > 0]


def _with_beside(folder: Path) -> int:
    return sum(bytes_of(path) for path in beside(folder))


def removed_folders(root: Path, in_profile: Collection[Path]) -> list[Path]:
    """The folders under `root` without a link to the profile: neither in it, nor above or below a folder in it."""
    holders = {parent for folder in in_profile for parent in folder.parents}
    return list(_removed(root, set(in_profile), holders)) if root.is_dir() else []


def _removed(folder: Path, in_profile: set[Path], holders: set[Path]) -> Iterator[Path]:
    for child in sorted(folder.iterdir()):
        # The previous content of a job folder is removed with it; no other name begins with a dot.
        if child in in_profile or child.name.startswith(".") or not child.is_dir():
            continue
        if child in holders:
            yield from _removed(child, in_profile, holders)
        else:
            yield child


def remove_folders(folders: Collection[Path]) -> int:
    """Remove folders, and the paths next to them with their names.

    Returns:
        Freed bytes.
    """
    freed = 0
    for folder in folders:
        freed += _with_beside(folder)
        for path in beside(folder):
            if path.is_dir():
                # Remove each job's manifest, at any depth, before its files.
                for manifest in path.rglob(MANIFEST):
                    manifest.unlink()
                remove_job_folder(path)
            else:
                path.unlink()
    return freed
