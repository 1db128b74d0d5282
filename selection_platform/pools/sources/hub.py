"""Datasets on the Hugging Face hub, and folders with the same layout. The readers of files read their files."""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.pools.rows import Source, SourceError, SourceFile
from selection_platform.pools.sources.files import files_in
from selection_platform.pools.sources.formats import reader_of
from selection_platform.pools.sources.layout import CARD, named, read_layout

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

logger = logging.getLogger(__name__)

COMMIT = re.compile(r"[0-9a-f]{40}")


def _choose(settings: SourceSettings, paths: Collection[str], card: Callable[[], str]) -> tuple[list[str], list[str]]:
    """The paths of the files that the settings ask for, and of files that cannot be read.

    Args:
        settings: the source's settings.
        paths: all files of the dataset, relative to its folder.
        card: reads its README.md.
    """
    hub = str(settings.hub)
    if settings.patterns:
        return named(hub, settings.patterns, paths), []
    layout = read_layout(hub, paths, card() if CARD in paths else None)
    return layout.choose(settings.configs, settings.splits), layout.left_out


def hub_folder(settings: SourceSettings) -> Path | None:
    """The folder that `hub` names, if it is a folder on this machine."""
    folder = settings.folder / (settings.hub or "")
    return folder if settings.hub is not None and folder.is_dir() else None


def files_of_folder(settings: SourceSettings, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The files, by name, to read from a dataset in a folder, and the names of files that cannot be read.

    Raises:
        SourceError: there is no such config, split or file.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in files_in(folder)}
    names, left_out = _choose(settings, paths, lambda: _text_of(paths[CARD]))
    return {f"{settings.hub}/{name}": paths[name] for name in names}, left_out


def _text_of(card: Path) -> str:
    return card.read_text(encoding="utf-8", errors="replace")


def open_hub(settings: SourceSettings) -> Source:
    """A dataset on the hub, pinned to a commit. Its files are listed and downloaded when it is read.

    Raises:
        SourceError: the hub gives no commit for it.
    """
    hub = str(settings.hub)
    revision = hub_commit(hub, settings.revision)
    identity = {
        "hub": hub,
        "revision": revision,
        "config": settings.configs,
        "split": settings.splits,
        "files": settings.patterns,
    }
    return Source(identity, partial(_find, settings, hub, revision), revision)


def _find(settings: SourceSettings, hub: str, revision: str) -> tuple[Sequence[SourceFile], Sequence[str]]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with _HubErrors(hub):
        tree = list(HfApi().list_repo_tree(hub, repo_type="dataset", revision=revision, recursive=True))
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    paths, left_out = _choose(settings, files, lambda: _text_of(_fetch(hub, revision, CARD, files[CARD].size)))
    return [_remote_file(hub, revision, files[path]) for path in paths], left_out


def _remote_file(hub: str, revision: str, file: "RepoFile") -> SourceFile:
    digest = f"git:{file.blob_id}" if file.lfs is None else file.lfs.sha256
    locate = partial(_fetch, hub, revision, file.path, file.size)
    return SourceFile(f"{hub}/{file.path}", digest, locate, reader_of(PurePosixPath(file.path)))


def _fetch(hub: str, revision: str, path: str, size: int) -> Path:
    """The file's place in the hub's own cache. A file that is already there is not downloaded again."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    with _HubErrors(hub):
        cached = try_to_load_from_cache(hub, path, repo_type="dataset", revision=revision)
        if not isinstance(cached, str):
            logger.info("hub: fetching %s of %s, %s bytes", path, hub, f"{size:,}")
        return Path(hf_hub_download(hub, path, repo_type="dataset", revision=revision))


def hub_commit(hub: str, revision: str | None) -> str:
    """The current commit of a dataset's revision. A full commit needs no network.

    Raises:
        SourceError: the hub gives no commit.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    with _HubErrors(hub):
        commit = HfApi().dataset_info(hub, revision=revision).sha
    if commit is None:
        raise SourceError(f"hub: there is no commit for {hub}; set `revision`")
    return commit


class _HubErrors:
    """Turns exceptions of the hub's client into one message."""

    def __init__(self, hub: str) -> None:
        self._hub = hub

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from huggingface_hub.errors import HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

        if isinstance(error, HTTPError | HFValidationError | OSError):
            raise SourceError(_hub_message(self._hub, error)) from error


def _hub_message(hub: str, error: Exception) -> str:
    from huggingface_hub import errors

    at = f"https://huggingface.co/datasets/{hub}"
    if isinstance(error, errors.GatedRepoError):
        return f"hub: {hub} is gated; accept its terms at {at}, run `hf auth login`, and run again"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"hub: {hub} has no such revision; set `revision` to a branch, tag or commit that {at} lists"
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return (
            f"hub: there is no dataset or folder {hub}, or it is private; correct the name, or run `hf auth login` "
            "with an account that may read it"
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return (
            f"hub: {hub} cannot be read offline; unset HF_HUB_OFFLINE, or fetch it elsewhere with `hf download "
            f"--repo-type dataset {hub} --local-dir FOLDER` and set `hub: FOLDER`"
        )
    return (
        f"hub: {hub} cannot be read ({type(error).__name__}: {error}); check the network and run again: complete files "
        "are not downloaded again"
    )
