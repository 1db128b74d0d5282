"""The pool: conversations in normal form, filtered, without duplicates or benchmark text, split by their own hash."""

import hashlib
import heapq
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import content_hash, open_job_folder, read_manifest, write_manifest
from selection_platform.job.progress import progress
from selection_platform.job.versions import VERSIONS
from selection_platform.pools.bad_rows import BadRow, BadRowTally
from selection_platform.pools.contamination import ContaminationFilter
from selection_platform.pools.filters import (
    count_characters,
    count_turns,
    field_reason,
    language_reason,
    shape_reason,
)
from selection_platform.pools.forms.conversation import read_conversation
from selection_platform.pools.forms.parsing import parse_row
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.recognise import find_reading
from selection_platform.pools.forms.texts import printable, text_of
from selection_platform.pools.forms.trees import write_trees
from selection_platform.pools.raw_pool import read_raw_pool_report
from selection_platform.pools.shards import ShardWriter, read_rows, shard_paths, write_table
from selection_platform.text.conversation import Message, sample_id, to_records

logger = logging.getLogger(__name__)

POOL_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("turns", pa.int32()),
        ("characters", pa.int64()),
        ("split", pa.string()),
        ("untrained", pa.list_(pa.int32())),
    ]
)
POOL, HELD_OUT, BASE_MODEL = "pool", "held_out", "base_model"

DUPLICATE = "duplicate of an earlier row"
CONTAMINATED = "shares 13 words in a row with a benchmark item"
BEYOND_LIMIT = "beyond the pool's limit"
"""Reasons to drop a row, beside those of the filters and of bad rows."""

TREES = "trees"
"""Folder of the rows of trees, until the pool is made."""

SYSTEM_LEFT_OUT = "system message left out"


class EmptyPool(PlatformError):
    """No row is left to select from."""


@dataclass(frozen=True)
class PoolReport:
    """What became of the raw rows: `rows` is the sum of `kept` and `dropped`.

    Attributes:
        rows: raw rows; of a pool of trees, the trees.
        kept: rows by split: `pool` to select from, `held_out` to measure loss on, `base_model` to pre-train on.
        dropped: rows that were left out, by reason.
        trimmed: rows that lost a part, by what was left out, counted before the limit.
        examples: for each kind of bad row the message of the first one.
        benchmark_texts: texts that rows were compared with.
        short_benchmark_texts: those of them with fewer than 13 words, which can match nothing.
        content_hash: SHA-256 of ids, sources, licences and splits, in order.
        seconds: time it took.
        form: how the rows were read, in words.
        ignored: fields that carry no meaning for training, by name.
    """

    rows: int
    kept: dict[str, int]
    dropped: dict[str, int]
    trimmed: dict[str, int]
    examples: dict[str, str]
    benchmark_texts: int
    short_benchmark_texts: int
    content_hash: str
    seconds: float
    form: str
    ignored: list[str]


def write_pool(settings: PoolSettings, raw_folder: Path, benchmark_texts: Iterable[str], folder: Path) -> PoolReport:
    """Make the pool from a finished raw pool; the manifest, which is the report, comes last.

    Where the folder already holds the pool of the same raw rows, settings and benchmark texts, nothing is done.

    Args:
        settings: of the pool.
        raw_folder: where `write_raw_pool` wrote.
        benchmark_texts: items of the benchmarks; not read where the settings do not ask to decontaminate.
        folder: where the Parquet files go. Rows stand in the order of their first appearance.

    Raises:
        BadRow: a row holds no conversation and the settings say stop.
        EmptyPool: nothing is left to select from.
        UnknownForm: the settings do not say of which form the rows are, and the rows do not tell.
        PlatformError: the raw pool is not finished.
    """
    raw = read_raw_pool_report(raw_folder)
    texts = list(benchmark_texts) if settings.decontaminate else []
    if open_job_folder(folder, _identity(settings, raw.content_hash, texts)):
        return read_pool_report(folder)
    started = time.monotonic()
    reading = find_reading(settings, raw_folder)
    rows_folder, rows = raw_folder, raw.rows
    if reading.form == "tree":
        rows_folder = folder / TREES
        rows = write_trees(raw_folder, rows_folder)
    work = _PoolWriter(settings, reading, ContaminationFilter(texts), folder)
    with progress("pool", rows, "rows") as bar:
        for row in read_rows(rows_folder):
            work.take(row["file"], row["row"], row["record"])
            bar.advance()
    report = work.finish(rows, started)
    shutil.rmtree(folder / TREES, ignore_errors=True)
    write_manifest(folder, asdict(report))
    _log(report)
    return report


def _log(report: PoolReport) -> None:
    """Say what rows lost, and which of their fields were not read."""
    for part, rows in report.trimmed.items():
        logger.info("pool: %s rows lost a part: %s", f"{rows:,}", part)
    if report.ignored:
        logger.info("pool: fields without meaning for training, not read: %s", ", ".join(report.ignored))


def read_pool_report(folder: Path) -> PoolReport:
    """The report of a finished pool.

    Raises:
        PlatformError: there is none in the folder.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise PlatformError(f"{folder} holds no finished pool; make the pool first")
    return PoolReport(**manifest)


def split_of(messages: Sequence[Message], settings: PoolSettings) -> str:
    """The split of a conversation. A hash of its first user message decides.

    So a pool that grows never moves a row, and conversations that start alike, such as the parts of a chat that was
    cut up or several answers to one question, are never on both sides.
    """
    first = next(message.content for message in messages if message.role == "user")
    digest = hashlib.sha256(first.encode("utf-8", "surrogatepass")).digest()
    return split_at(int.from_bytes(digest[:8], "big") / 2**64, settings)


def split_at(position: float, settings: PoolSettings) -> str:
    """The split at a position in [0, 1)."""
    if position >= 1 - settings.held_out:
        return HELD_OUT
    if position >= 1 - settings.held_out - settings.base_model:
        return BASE_MODEL
    return POOL


def _identity(settings: PoolSettings, raw_hash: str, texts: list[str]) -> dict[str, object]:
    return {
        "job": "pool",
        "code": str(VERSIONS["pool"]),
        "settings": settings.model_dump(),
        "raw_pool": raw_hash,
        "benchmark_texts": content_hash(texts),
    }


class _PoolWriter:
    """Takes raw rows one by one, and keeps in memory only a digest of each distinct conversation."""

    def __init__(
        self, settings: PoolSettings, reading: Reading, contamination: ContaminationFilter, folder: Path
    ) -> None:
        self._settings = settings
        self._reading = reading
        self._contamination = contamination
        self._folder = folder
        self._writer = ShardWriter(folder, POOL_SCHEMA)
        self._bad_rows = BadRowTally(settings.on_bad_row)
        self._dropped: Counter[str] = Counter()
        self._trimmed: Counter[str] = Counter()
        self._ignored: set[str] = set()
        self._seen: set[bytes] = set()
        self._selectable: list[bytes] = []

    def take(self, file: str, row: int, text: str) -> None:
        """Keep or drop one raw row."""
        try:
            record, repeated = parse_row(text)
            reason = field_reason(record, self._settings) or self._take_record(file, record, repeated)
        except BadRow as bad_row:
            self._bad_rows.meet(bad_row.at(file, row))
            reason = bad_row.reason
        if reason is not None:
            self._dropped[reason] += 1

    def _take_record(self, file: str, record: dict[str, object], repeated: tuple[str, ...]) -> str | None:
        """Keep the row, or say why not."""
        conversation = read_conversation(record, self._reading, self._settings)
        if conversation.dropped is not None:
            return conversation.dropped
        self._ignored |= conversation.ignored
        source, licence = _origin(record, file, self._settings)
        messages, trimmed = conversation.messages, (*repeated, *conversation.trimmed)
        if self._settings.system == "drop_message" and messages[0].role == "system":
            messages, trimmed = messages[1:], (*trimmed, SYSTEM_LEFT_OUT)
        sample = sample_id(messages)
        reason = self._reason_to_drop(messages, bytes.fromhex(sample))
        if reason is None:
            self._trimmed.update(trimmed)
            self._write(sample, source, licence, messages)
        return reason

    def _reason_to_drop(self, messages: tuple[Message, ...], digest: bytes) -> str | None:
        # From cheap to dear.
        reason = shape_reason(messages, self._settings)
        if reason is not None:
            return reason
        if digest in self._seen:
            return DUPLICATE
        self._seen.add(digest)
        reason = language_reason(messages, self._settings.language)
        if reason is None and self._contamination.overlaps(messages):
            reason = CONTAMINATED
        return reason

    def _write(self, sample: str, source: str, licence: str | None, messages: tuple[Message, ...]) -> None:
        split = split_of(messages, self._settings)
        if split == POOL and self._settings.limit is not None:
            self._selectable.append(bytes.fromhex(sample))
        characters = count_characters(messages)
        records, untrained = to_records(messages)
        row = {
            "sample_id": sample,
            "source": source,
            "licence": licence,
            "messages": records,
            "turns": count_turns(messages),
            "characters": characters,
            "split": split,
            "untrained": untrained,
        }
        self._writer.add(row, characters)

    def finish(self, rows: int, started: float) -> PoolReport:
        """Apply the limit, which needs all rows, and report."""
        self._writer.flush()
        limit = self._settings.limit
        if limit is not None and len(self._selectable) > limit:
            last = heapq.nsmallest(limit, self._selectable)[-1].hex()
            self._dropped[BEYOND_LIMIT] = _drop_beyond(self._folder, last)
        kept, content = _summary(self._folder)
        dropped = dict(self._dropped.most_common())
        if not kept.get(POOL):
            reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
            raise EmptyPool(f"none of {rows} rows is left to select from ({reasons}); loosen the pool's filters")
        return PoolReport(
            rows,
            kept,
            dropped,
            dict(self._trimmed.most_common()),
            self._bad_rows.examples,
            self._contamination.texts,
            self._contamination.too_short,
            content,
            round(time.monotonic() - started, 3),
            printable(str(self._reading)),
            sorted(map(printable, self._ignored)),
        )


def _origin(record: dict[str, object], file: str, settings: PoolSettings) -> tuple[str, str | None]:
    """Source and licence of a row."""
    if settings.source.package is not None:
        licence = record["licence"]
        return str(record["source"]), None if licence is None else str(licence)
    column = settings.source_column
    if column is None:
        return settings.source.hub or Path(file).name, settings.licence
    if column not in record:
        raise BadRow("a field is missing", column, "is missing", "name another `source_column`")
    value = record[column]
    return ("not stated" if value is None else text_of(str(value), column)), settings.licence


def _drop_beyond(folder: Path, last: str) -> int:
    """Take the samples of split `pool` whose id is above `last` out of the shards; their number."""
    dropped = 0
    for path in shard_paths(folder):
        table = pq.read_table(path, schema=POOL_SCHEMA)
        kept = table.filter((pc.field("split") != POOL) | (pc.field("sample_id") <= last))
        dropped += table.num_rows - kept.num_rows
        if kept.num_rows:
            write_table(kept, path)
        else:
            path.unlink()
    return dropped


def _summary(folder: Path) -> tuple[dict[str, int], str]:
    """Rows by split, and the hash of what is in the folder. The ids stand for the messages."""
    kept: Counter[str] = Counter()
    content = hashlib.sha256()
    for row in read_rows(folder, ["sample_id", "source", "licence", "split"]):
        kept[row["split"]] += 1
        content.update(json.dumps(list(row.values())).encode() + b"\n")
    return dict(kept), content.hexdigest()
