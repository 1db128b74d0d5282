"""The raw pool: unchanged rows of a source, kept so that the pool can be rebuilt without the source."""

import logging
import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import open_job_folder, read_manifest, write_manifest
from selection_platform.job.integrity import check_files
from selection_platform.job.lock import alone_in_folder
from selection_platform.job.progress import progress
from selection_platform.job.versions import VERSIONS
from selection_platform.pools.bad_rows import BadRow, BadRowTally
from selection_platform.pools.forms.parsing import parse_row
from selection_platform.pools.raw_shards import RAW_SCHEMA, RawShards
from selection_platform.pools.rows import Source, SourceError
from selection_platform.pools.shards import shard_paths
from selection_platform.pools.sources import open_source

__all__ = ["RAW_SCHEMA", "RawPoolReport", "read_raw_pool_report", "write_raw_pool"]

logger = logging.getLogger(__name__)

NAMES_IN_LOG = 10


@dataclass(frozen=True)
class RawPoolReport:
    """What was read.

    Attributes:
        rows: rows that were kept.
        bad_rows: rows that could not be parsed, by reason.
        examples: the message of the first bad row, by reason.
        files: SHA-256 of each file that was read, by name; `git:` and the object id for small files on the hub.
        revision: commit of the hub dataset; None for other sources.
        content_hash: SHA-256 of all rows. It does not depend on the names of files.
        seconds: time since the last start.
        left_out: other files in the folder, which cannot be read.
    """

    rows: int
    bad_rows: dict[str, int]
    examples: dict[str, str]
    files: dict[str, str]
    revision: str | None
    content_hash: str
    seconds: float
    left_out: list[str] = field(default_factory=list)


@alone_in_folder
def write_raw_pool(settings: PoolSettings, folder: Path, most_rows: int | None = None) -> RawPoolReport:
    """Read the source of a pool into Parquet files in `folder`. The manifest, which is the report, is written last.

    If the folder already has the rows of the same source, nothing is read; if it has a part of them, reading continues
    after the last complete shard.

    Args:
        settings: the pool's settings.
        folder: the folder to write to.
        most_rows: read at most this many rows, to inspect the source. Do not use such a folder for anything else.

    Raises:
        SourceError: the source cannot be read, or is empty.
        BadRow: a row cannot be parsed and the settings say stop.
    """
    source = open_source(settings.source)
    if open_job_folder(folder, _identity(settings, source)):
        return read_raw_pool_report(folder)
    started = time.monotonic()
    tally = BadRowTally(settings.on_bad_row)
    if source.left_out:
        first, rest = source.left_out[:NAMES_IN_LOG], len(source.left_out[NAMES_IN_LOG:])
        more = f" and {rest:,} more (the manifest has them all)" if rest else ""
        logger.warning("left out because they cannot be read: %s%s", ", ".join(first), more)
    rows, content_hash = _copy_rows(source, folder, tally, most_rows)
    report = RawPoolReport(
        rows,
        dict(tally.counts),
        tally.examples,
        source.files,
        source.revision,
        content_hash,
        round(time.monotonic() - started, 3),
        source.left_out,
    )
    if not rows:
        raise SourceError(f"no rows in {', '.join(source.files) or settings.source.hub}{_because(report)}")
    write_manifest(folder, asdict(report))
    for reason, count in report.bad_rows.items():
        logger.info("raw pool: %s dropped: %s", f"{count:,}", reason)
    return report


def read_raw_pool_report(folder: Path) -> RawPoolReport:
    """The report of a finished raw pool.

    Raises:
        PlatformError: the folder has no finished raw pool.
        ChangedFile: its files are not what was written.
    """
    check_files(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise PlatformError(f"{folder} has no finished raw pool; build the raw pool first")
    return RawPoolReport(**manifest)


def read_raw_fields(folder: Path) -> set[str] | None:
    """The fields of a finished raw pool's rows; None if it has more than one shard, which takes long to read.

    Raises:
        BadRow: a row is nested too deeply.
        ChangedFile: its files are not what was written.
    """
    check_files(folder)
    shards = shard_paths(folder)
    if len(shards) != 1:
        return None
    records = pq.read_table(shards[0], columns=["record"])["record"].to_pylist()
    return {name for record in records for name in parse_row(record)}


def _identity(settings: PoolSettings, source: Source) -> dict[str, object]:
    return {
        "job": "raw_pool",
        "code": str(VERSIONS["raw_pool"]),
        "source": dict(source.identity),
        "on_bad_row": settings.on_bad_row,
    }


def _copy_rows(source: Source, folder: Path, tally: BadRowTally, most_rows: int | None) -> tuple[int, str]:
    """Write the rows, and return their number and hash."""
    with RawShards(folder, tally) as shards, progress("raw pool", None, "rows") as bar:
        bar.advance(shards.rows)
        for item in islice(source.rows(shards.last), most_rows):
            if isinstance(item, BadRow):
                tally.meet(item)
                continue
            if handed_on := shards.add(item):
                bar.advance(handed_on)
        return shards.finish()


def _because(report: RawPoolReport) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in report.bad_rows.items())
    return f"{f' ({dropped})' if dropped else ''}; check the pool's source"
