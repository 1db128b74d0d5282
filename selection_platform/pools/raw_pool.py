"""The raw pool: a source's rows as they came, kept so that the pool can be made again without the source."""

import hashlib
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import open_job_folder, read_manifest, write_manifest
from selection_platform.job.progress import progress
from selection_platform.job.versions import VERSIONS
from selection_platform.pools.bad_rows import BadRow, BadRowTally
from selection_platform.pools.rows import Source, SourceError
from selection_platform.pools.shards import ShardWriter
from selection_platform.pools.sources import open_source

RAW_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("record", pa.string())])


@dataclass(frozen=True)
class RawPoolReport:
    """What was read.

    Attributes:
        rows: rows that were kept.
        bad_rows: rows that could not be parsed, by reason.
        examples: for each reason the message of the first such row.
        files: SHA-256 of each file that was read, by path.
        revision: commit of the hub data set; None for other sources.
        content_hash: SHA-256 of all rows; files of another name with the same rows have the same.
        seconds: time it took.
    """

    rows: int
    bad_rows: dict[str, int]
    examples: dict[str, str]
    files: dict[str, str]
    revision: str | None
    content_hash: str
    seconds: float


def write_raw_pool(settings: PoolSettings, folder: Path, most_rows: int | None = None) -> RawPoolReport:
    """Read the source of a pool into Parquet files in `folder`; the manifest, which is the report, comes last.

    Where the folder already holds the same source's rows, nothing is read again.

    Args:
        settings: of the pool.
        folder: to write to.
        most_rows: read no more rows than so many, for a look at the source. The folder is not to be used for more.

    Raises:
        SourceError: the source cannot be read, or is empty.
        BadRow: a row cannot be parsed and the settings say stop.
    """
    source = open_source(settings.source)
    if open_job_folder(folder, _identity(settings, source)):
        return read_raw_pool_report(folder)
    started = time.monotonic()
    tally = BadRowTally(settings.on_bad_row)
    rows, content_hash = _copy_rows(source, folder, tally, most_rows)
    report = RawPoolReport(
        rows,
        dict(tally.counts),
        tally.examples,
        source.files,
        source.revision,
        content_hash,
        round(time.monotonic() - started, 3),
    )
    if not rows:
        raise SourceError(f"no rows in {', '.join(source.files) or settings.source.hub}{_because(report)}")
    write_manifest(folder, asdict(report))
    return report


def read_raw_pool_report(folder: Path) -> RawPoolReport:
    """The report of a finished raw pool.

    Raises:
        PlatformError: there is none in the folder.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise PlatformError(f"{folder} holds no finished raw pool; make the raw pool first")
    return RawPoolReport(**manifest)


def _identity(settings: PoolSettings, source: Source) -> dict[str, object]:
    return {
        "job": "raw_pool",
        "code": str(VERSIONS["raw_pool"]),
        "source": settings.source.model_dump(),
        "on_bad_row": settings.on_bad_row,
        "files": source.files,
        "revision": source.revision,
    }


def _copy_rows(source: Source, folder: Path, tally: BadRowTally, most_rows: int | None) -> tuple[int, str]:
    """Number and hash of the rows that were written."""
    writer = ShardWriter(folder, RAW_SCHEMA)
    content = hashlib.sha256()
    with progress("raw pool", None, "rows") as bar:
        for item in islice(source.rows(), most_rows):
            if isinstance(item, BadRow):
                tally.meet(item)
                continue
            writer.add(item._asdict(), len(item.record))
            content.update(item.record.encode() + b"\n")
            bar.advance()
    writer.flush()
    return bar.done, content.hexdigest()


def _because(report: RawPoolReport) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in report.bad_rows.items())
    return f"{f' ({dropped})' if dropped else ''}; check the pool's source"
