"""Where raw rows come from: files, the Hugging Face hub, or installed packages. All are read as a stream.

A row that cannot even be parsed is handed on as a `BadRow`, so that whoever reads decides whether to stop or to count.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.job.folder import file_hash
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow, Rows, Source, SourceError, read_json_lines, to_json

ROWS_PER_BATCH = 1000
JSONL_ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".json.gz")

READABLE = "Readable are .jsonl, .jsonl.gz, .json.gz (one JSON object a line) and .parquet"


def open_source(settings: SourceSettings) -> Source:
    """Find a source and pin down its content.

    Raises:
        SourceError: there is nothing there that can be read.
    """
    if settings.files is not None:
        return _open_files(settings.files)
    if settings.package is not None:
        # Imported here because the packaged readers use this module's.
        from selection_platform.pools.packaged import open_package

        return open_package(settings.package)
    return _open_hub(settings)


def source_state(settings: SourceSettings) -> dict[str, str]:
    """What can be seen of a source at a glance: size and time of each file. Empty for what cannot change unseen.

    A package's and a hub's content is named by the settings; a hub source without a revision is read as it is on the
    day, and looked at again only when it is asked for.
    """
    if settings.files is None:
        return {}
    states = ((path, path.stat()) for path in _matching(settings.files))
    return {str(path): f"{state.st_size:,} bytes of {_time(state.st_mtime_ns)}" for path, state in states}


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09d} UTC"


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    root = Path(path.anchor)
    return sorted(found for found in root.glob(str(path.relative_to(root))) if found.is_file())


def _open_files(pattern: str) -> Source:
    paths = _matching(pattern)
    if not paths:
        absolute = Path(pattern).absolute()
        if absolute.is_dir():
            raise SourceError(f"files: {absolute} is a folder; name the files in it, such as {absolute}/*.jsonl")
        raise SourceError(f"files: nothing matches {absolute}; correct the path in the pool's source")
    readers = {str(found): _reader_of(found) for found in paths}
    hashes = {str(found): file_hash(found) for found in paths}
    return Source(hashes, None, lambda: (row for name, read in readers.items() for row in read(Path(name), name)))


def _reader_of(path: Path) -> Callable[[Path, str], Rows]:
    if path.name.endswith(JSONL_ENDINGS):
        return read_json_lines
    if path.suffix == ".parquet":
        return read_parquet
    mend = ""
    if path.suffix == ".json":
        mend = f"; write a JSON list as lines with: jq -c '.[]' {path.name} > {path.stem}.jsonl"
    raise SourceError(f"{path}: a file of this ending cannot be read. {READABLE}{mend}")


def read_parquet(path: Path, name: str) -> Rows:
    """Rows of a Parquet file, a batch at a time.

    Raises:
        SourceError: the file is broken.
    """
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(ROWS_PER_BATCH):
                for record in _records(batch):
                    number += 1
                    yield (
                        record.at(name, number) if isinstance(record, BadRow) else RawRow(name, number, to_json(record))
                    )
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not a readable Parquet file ({error}); fetch it again") from error


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | BadRow]:
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        # Arrow checks no text when it reads. Row by row is slow, and only where a text is broken.
        pass
    for row in range(batch.num_rows):
        try:
            yield from batch.slice(row, 1).to_pylist()
        except UnicodeDecodeError as error:
            yield BadRow("not UTF-8", None, f"byte {error.start + 1} of a text is not UTF-8", "write texts as UTF-8")


def _open_hub(settings: SourceSettings) -> Source:
    hub = cast(str, settings.hub)
    if Path(hub).is_dir():
        files = {str(path): file_hash(path) for path in sorted(Path(hub).rglob("*")) if path.is_file()}
        return Source(files, None, lambda: _read_hub(settings, None))
    revision = hub_commit(hub, settings.revision)
    return Source({}, revision, lambda: _read_hub(settings, revision))


def hub_commit(hub: str, revision: str | None) -> str:
    """The commit that a revision of a data set stands for now; a full commit needs no network.

    Raises:
        SourceError: the hub does not say.
    """
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        commit = HfApi().dataset_info(hub, revision=revision).sha
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise _hub_error(hub, error) from error
    if commit is None:
        raise SourceError(f"hub: {hub} does not say at which commit it is; set `revision`")
    return commit


def _read_hub(settings: SourceSettings, revision: str | None) -> Rows:
    from datasets import IterableDataset, load_dataset

    hub = cast(str, settings.hub)
    try:
        stream = load_dataset(hub, settings.config, split=settings.split, revision=revision, streaming=True)
        for number, record in enumerate(cast(IterableDataset, stream), start=1):
            yield RawRow(hub, number, to_json(record))
    except (ValueError, OSError) as error:
        raise _hub_error(hub, error) from error


def _hub_error(hub: str, error: Exception) -> SourceError:
    return SourceError(
        f"hub: {hub} cannot be read ({type(error).__name__}: {error}); check the id, revision, config and split, the "
        "network, and for a gated data set that you accepted its terms and ran `hf auth login`"
    )
