"""Sources of raw rows: files, the Hugging Face hub, or installed packages. All are read as a stream.

Files and the hub have the same readers, so a dataset has the same rows from both. A row that cannot be parsed is
yielded as a `BadRow`, so that the caller decides whether to stop or to count it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.job.folder import look_of
from selection_platform.job.progress import progress
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow, Source, SourceError, SourceFile
from selection_platform.pools.sources.arrow_rows import StatedSize, fields_in_footer, size_in_footer
from selection_platform.pools.sources.csv_rows import fields_in_header
from selection_platform.pools.sources.files import find_files, local_file
from selection_platform.pools.sources.formats import READABLE, format_of, reader_of
from selection_platform.pools.sources.hub import files_of_folder, hub_commit, hub_folder, open_hub

__all__ = [
    "READABLE",
    "check_source",
    "hub_commit",
    "hub_folder",
    "open_source",
    "read_row",
    "source_state",
    "stated_fields",
    "stated_size",
]


def open_source(settings: SourceSettings) -> Source:
    """Find a source and fix its content.

    Raises:
        SourceError: it has nothing that can be read.
    """
    if settings.package is not None:
        # Imported here because the packaged readers import this package.
        from selection_platform.pools.packaged import open_package

        return open_package(settings.package)
    found = _on_this_machine(settings)
    if found is None:
        return open_hub(settings)
    paths, left_out = found
    files: list[SourceFile] = []
    with progress("hash of the source", len(paths), "files") as bar:
        for name, path in paths.items():
            files.append(local_file(name, path))
            bar.advance()
    # With names, because rows name their file.
    identity = {"files": [[file.name, file.digest] for file in files]}
    return Source(identity, partial(_pair, files, left_out))


def check_source(settings: SourceSettings) -> None:
    """Raise SourceError where there is nothing to read on this machine. A data set of the hub is not looked for."""
    if settings.package is not None:
        from selection_platform.pools.packaged import check_package

        check_package(settings.package)
        return
    found = _on_this_machine(settings)
    for path in [] if found is None else found[0].values():
        reader_of(path)


def read_row(settings: SourceSettings, file: str, row: int) -> RawRow | BadRow | None:
    """A row of a file, as it stands there now; None if the file has no such row.

    Raises:
        SourceError: the file is not on this machine, or cannot be read.
    """
    found = None if settings.package is not None else _on_this_machine(settings)
    path = None if found is None else found[0].get(file)
    if path is None:
        raise SourceError(f"{file}: no such file on this machine")
    item = next(reader_of(path)(path, file, max(0, row - 1)), None)
    return item if item is not None and item.row == row else None


def stated_size(settings: SourceSettings) -> StatedSize | None:
    """The rows and their bytes, if all files are on this machine and say it themselves, as Parquet files do."""
    paths = [] if settings.package is not None else _files_here(settings)
    sizes = [size for path in paths if (size := size_in_footer(path)) is not None]
    if not sizes or len(sizes) < len(paths):
        return None
    return StatedSize(sum(size.rows for size in sizes), sum(size.size for size in sizes))


def stated_fields(settings: SourceSettings) -> set[str] | None:
    """The fields of the rows, if all files are on this machine and name them first, as Parquet and CSV files do."""
    readers = {"parquet": fields_in_footer, "csv": fields_in_header}
    fields: set[str] = set()
    for path in [] if settings.package is not None else _files_here(settings):
        reader = readers.get(format_of(path.name) or "")
        try:
            names = [] if reader is None else reader(path)
        except SourceError:
            return None
        if not names:
            return None
        fields.update(names)
    return fields or None


def _files_here(settings: SourceSettings) -> list[Path]:
    """The files of a source on this machine; none if they are elsewhere, or missing: reading it gives the error."""
    try:
        found = _on_this_machine(settings)
    except SourceError:
        return []
    return [] if found is None else list(found[0].values())


def _pair(files: Sequence[SourceFile], left_out: Sequence[str]) -> tuple[Sequence[SourceFile], Sequence[str]]:
    return files, left_out


def _on_this_machine(settings: SourceSettings) -> tuple[Mapping[str, Path], Sequence[str]] | None:
    """The files by name, and the names of files that are left out; None for a hub dataset."""
    if settings.hub is None:
        found = find_files(settings.patterns, settings.folder)
        return found.paths, found.left_out
    folder = hub_folder(settings)
    return None if folder is None else files_of_folder(settings, folder)


def source_state(settings: SourceSettings) -> dict[str, str]:
    """The size and modification time of each file of a source, without reading it.

    Empty for packages and the hub: the settings name their content, and a hub source without a revision is only read
    again on request. Also empty if there is nothing to read, because reading it gives the error.
    """
    if settings.package is not None:
        return {}
    try:
        found = _on_this_machine(settings)
    except SourceError:
        return {}
    return {} if found is None else look_of(found[0])
