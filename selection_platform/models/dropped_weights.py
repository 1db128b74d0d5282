"""Model folders whose weights were deleted to save space. Everything else stays, including the weights' hash.

The manifest records that they were deleted, so a single atomic write decides. Training again writes a new manifest.
"""

from datetime import UTC, datetime
from pathlib import Path

from selection_platform.errors import PlatformError
from selection_platform.job.folder import forget_files, read_manifest, rewrite_manifest

WEIGHTS_DROPPED = "weights_dropped"
"""The manifest's entry: when, and how many bytes."""


def weight_files(folder: Path) -> list[Path]:
    """The existing weight files of a folder."""
    return sorted(folder.glob("*.safetensors"))


def weights_bytes(folder: Path) -> int:
    """Size of the folder's weights."""
    return sum(path.stat().st_size for path in weight_files(folder))


def weights_dropped(folder: Path) -> bool:
    """Whether the folder's weights were dropped; a killed process may have left some of them."""
    return WEIGHTS_DROPPED in (read_manifest(folder) or {})


def drop_weights(folder: Path) -> int:
    """Delete the weights of a finished model folder; nothing else.

    Returns:
        The bytes that were freed.

    Raises:
        PlatformError: the folder is not finished, or its manifest does not record the weights' hash.
    """
    manifest = read_manifest(folder)
    if manifest is None or "weights_hash" not in manifest:
        raise PlatformError(
            f"{folder}: its manifest has no weights_hash, so its weights are kept; train it again to have one"
        )
    freed = weights_bytes(folder)
    if WEIGHTS_DROPPED not in manifest:
        note = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "bytes": freed}
        # The note goes first: a folder that has lost some of its weights must not count as complete.
        rewrite_manifest(folder, {**manifest, WEIGHTS_DROPPED: note})
    forget_files(folder, [path.name for path in weight_files(folder)])
    for path in weight_files(folder):
        path.unlink()
    return freed
