"""The pool: conversations in normal form, filtered, without duplicates or benchmark text, split by their hash."""

import hashlib
import logging
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import content_hash, is_complete, open_job_folder, read_manifest, write_manifest
from selection_platform.job.integrity import check_files
from selection_platform.job.lock import alone_in_folder
from selection_platform.job.progress import progress
from selection_platform.job.versions import VERSIONS
from selection_platform.job.workers import map_in_processes
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.candidates import CandidateReader, Shard, ShardReport
from selection_platform.pools.contamination import WORDS, split_words
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.recognise import find_reading
from selection_platform.pools.forms.texts import escape_surrogates
from selection_platform.pools.forms.trees import write_trees
from selection_platform.pools.near_duplicates import NearDuplicates
from selection_platform.pools.raw_pool import RawPoolReport, read_raw_pool_report
from selection_platform.pools.shards import ROWS_PER_BATCH, shard_paths, write_table
from selection_platform.pools.splits import POOL

logger = logging.getLogger(__name__)

DUPLICATE = "duplicate of an earlier row"
NEAR_DUPLICATE = "near-duplicate of an earlier row"
BEYOND_LIMIT = "beyond the pool's limit"
"""Reasons to drop a row that depend on other rows."""

CANDIDATES, TREES = "candidates", "trees"
"""Folders of temporary files."""

THREADS = 2
"""Threads that write shards. Each holds a shard in memory."""


class EmptyPool(PlatformError):
    """No row is left to select from."""


@dataclass(frozen=True)
class PoolReport:
    """What happened to the raw rows: `rows` is the sum of `kept` and `dropped`.

    Attributes:
        rows: raw rows; in a pool of trees, the trees.
        kept: rows by split: `pool` to select from, `held_out` to measure loss on, `base_model` to pre-train on.
        dropped: rows that were left out, by reason.
        trimmed: rows that lost a part, by part, counted before the limit.
        examples: the message of the first bad row, by reason.
        benchmark_texts: texts that rows were compared with.
        short_benchmark_texts: benchmark texts with fewer than 13 words, which never match.
        content_hash: SHA-256 of ids, sources, licences and splits, in order.
        seconds: time it took.
        form: description of how the rows were read.
        ignored: fields that were not read, by name.
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


@alone_in_folder
def write_pool(
    settings: PoolSettings,
    raw_folder: Path,
    benchmark_texts: Iterable[str],
    folder: Path,
    also_read: Collection[str] = (),
) -> PoolReport:
    """Build the pool from a finished raw pool. The manifest, which is the report, is written last.

    If the folder already has the pool of the same raw rows, settings and benchmark texts, nothing is done; if it has a
    part of it, work continues there. Several processes read raw shards, one row at a time. After that, only the ids of
    all rows are in memory together: about 70 bytes per row while they are sorted.

    Args:
        settings: the pool's settings.
        raw_folder: the folder that `write_raw_pool` wrote.
        benchmark_texts: items of the benchmarks; ignored unless the settings ask to decontaminate.
        folder: where the Parquet files go. Rows are in the order of their first appearance.
        also_read: fields that others read, such as an arm's scores. They are not among the report's ignored ones; the
            manifest has them, so that the folder does not depend on who reads it.

    Raises:
        BadRow: a row has no conversation and the settings say stop.
        EmptyPool: nothing is left to select from.
        UnknownForm: the settings do not name the form of the rows, and it cannot be recognised.
        PlatformError: the raw pool is not finished.
    """
    raw = read_raw_pool_report(raw_folder)
    texts = list(benchmark_texts) if settings.decontaminate else []
    is_made = open_job_folder(folder, _identity(settings, raw, texts))
    if not is_made:
        made = _make_pool(settings, raw_folder, texts, folder)
        write_manifest(folder, asdict(made), temporary=[CANDIDATES, TREES])
    for temporary in (CANDIDATES, TREES):
        shutil.rmtree(folder / temporary, ignore_errors=True)
    report = read_pool_report(folder)
    report = replace(report, ignored=[name for name in report.ignored if name not in also_read])
    if not is_made:
        _log(report)
    return report


def _make_pool(settings: PoolSettings, raw_folder: Path, texts: list[str], folder: Path) -> PoolReport:
    started = time.monotonic()
    reading = find_reading(settings, raw_folder)
    rows_folder = write_trees(raw_folder, folder / TREES) if reading.form == "tree" else raw_folder
    shards = [Shard(path, folder / CANDIDATES / path.name) for path in shard_paths(rows_folder)]
    reports = _read_candidates(settings, reading, texts, shards)
    choice = _choose(shards, settings)
    kept, content = _write_chosen(shards, choice.chosen, folder)
    rows = sum(report.rows for report in reports)
    dropped = sum((report.dropped for report in reports), Counter(choice.dropped))
    # The first example of each reason.
    examples = {reason: text for report in reversed(reports) for reason, text in report.examples.items()}
    if not kept.get(POOL):
        raise EmptyPool(_nothing_left(rows, dropped, examples))
    return PoolReport(
        rows=rows,
        kept=kept,
        dropped=dict(dropped.most_common()),
        trimmed=_count_trimmed(reports, choice.distinct),
        examples=examples,
        benchmark_texts=len(texts),
        short_benchmark_texts=sum(len(split_words(text)) < WORDS for text in texts),
        content_hash=content,
        seconds=round(time.monotonic() - started, 3),
        form=escape_surrogates(str(reading)),
        ignored=sorted({escape_surrogates(name) for report in reports for name in report.ignored}),
    )


def _nothing_left(rows: int, dropped: Counter[str], examples: Mapping[str, str]) -> str:
    """What became of all rows, with an example of the commonest reason; a filter has none."""
    reasons = dropped.most_common()
    counts = ", ".join(f"{reason}: {count:,}" for reason, count in reasons)
    example = examples.get(reasons[0][0]) if reasons else None
    advice = f"for example, {example}" if example else "loosen the pool's filters"
    return f"none of {rows:,} rows is left to select from ({counts}); {advice}"


def _log(report: PoolReport) -> None:
    """Log the rows that cannot be selected, the parts that were lost, and the fields that were not read."""
    for split, rows in report.kept.items():
        if split != POOL:
            logger.info("pool: %s set aside: %s", f"{rows:,}", split)
    for reason, rows in report.dropped.items():
        logger.info("pool: %s dropped: %s", f"{rows:,}", reason)
    for part, rows in report.trimmed.items():
        logger.info("pool: %s lost a part: %s", f"{rows:,}", part)
    if report.ignored:
        logger.info("pool: fields not read: %s", ", ".join(report.ignored))


def read_pool_report(folder: Path) -> PoolReport:
    """The report of a finished pool.

    Raises:
        PlatformError: the folder has no finished pool.
        ChangedFile: its files are not what was written.
    """
    check_files(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise PlatformError(f"{folder} has no finished pool; build the pool first")
    return PoolReport(**manifest)


def finished_pool(
    settings: PoolSettings, raw_folder: Path, benchmark_texts: Iterable[str], folder: Path
) -> PoolReport | None:
    """The report of the pool that `write_pool` would find finished; None if there is work left.

    Raises:
        PlatformError: the raw pool is not finished.
        ChangedFile: files are not what was written.
    """
    if read_manifest(folder) is None:
        # Without a look at the texts, which takes longer.
        return None
    texts = list(benchmark_texts) if settings.decontaminate else []
    identity = _identity(settings, read_raw_pool_report(raw_folder), texts)
    return read_pool_report(folder) if is_complete(folder, identity) else None


def _identity(settings: PoolSettings, raw: RawPoolReport, texts: list[str]) -> dict[str, object]:
    return {
        "job": "pool",
        "code": str(VERSIONS["pool"]),
        "settings": settings.model_dump(),
        "raw_pool": raw.content_hash,
        # Rows name their file, and the same rows may come from other files.
        "files": content_hash(raw.files),
        "benchmark_texts": content_hash(texts),
    }


def _read_candidates(
    settings: PoolSettings, reading: Reading, texts: list[str], shards: list[Shard]
) -> list[ShardReport]:
    """Write the candidates of all shards, and return the shards' reports."""
    reports: list[ShardReport] = []
    rows = sum(pq.read_metadata(shard.raw).num_rows for shard in shards)
    with progress("pool", rows, "trees" if reading.form == "tree" else "rows") as bar:
        for report in map_in_processes(CandidateReader, (settings, reading, texts), shards):
            if isinstance(report, BadRow):
                raise report
            reports.append(report)
            bar.advance(report.rows)
    return reports


@dataclass(frozen=True)
class _Choice:
    """Which candidates a pool keeps, with one mask per shard.

    Attributes:
        distinct: candidates that are neither duplicates nor near-duplicates of an earlier one.
        chosen: distinct candidates within the limit.
        dropped: how many were dropped, by reason.
    """

    distinct: list[np.ndarray]
    chosen: list[np.ndarray]
    dropped: dict[str, int]


def _choose(shards: list[Shard], settings: PoolSettings) -> _Choice:
    ids, in_pool = _read_ids(shards)
    borders = np.cumsum([len(shard_ids) for shard_ids in ids])[:-1]
    first, order = _first_of_each(np.concatenate(ids))
    distinct = first.copy()
    if settings.near_duplicates is not None:
        distinct &= np.concatenate(_unlike_earlier(shards, np.split(first, borders), settings.near_duplicates))
    chosen = distinct.copy()
    if settings.limit is not None:
        selectable = order[(distinct & np.concatenate(in_pool))[order]]
        chosen[selectable[settings.limit :]] = False
    dropped = {
        DUPLICATE: int((~first).sum()),
        NEAR_DUPLICATE: int((first & ~distinct).sum()),
        BEYOND_LIMIT: int((distinct & ~chosen).sum()),
    }
    return _Choice(
        np.split(distinct, borders),
        np.split(chosen, borders),
        {reason: rows for reason, rows in dropped.items() if rows},
    )


def _unlike_earlier(shards: list[Shard], masks: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    """The masks without candidates that are nearly the same as an earlier one."""
    index = NearDuplicates(threshold)
    unlike = [mask.copy() for mask in masks]
    with progress("near-duplicates", int(sum(mask.sum() for mask in masks)), "rows") as bar:
        for shard, mask in zip(shards, unlike, strict=True):
            places = np.flatnonzero(mask)
            messages = pq.read_table(shard.candidates, columns=["messages"])["messages"].take(places)
            for batch in pa.table({"messages": messages}).to_batches(ROWS_PER_BATCH):
                texts = [[message["content"] for message in row] for row in batch["messages"].to_pylist()]
                done, places = places[: len(texts)], places[len(texts) :]
                mask[done] = index.first_of_each(texts)
                bar.advance(len(texts))
    return unlike


def _read_ids(shards: list[Shard]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each shard, the ids of its candidates (two uint64 per row), and which of them are in the split `pool`."""
    ids, in_pool = [], []
    for shard in shards:
        table = pq.read_table(shard.candidates, columns=["sample_id", "split"])
        digests = bytes.fromhex("".join(table["sample_id"].to_pylist()))
        ids.append(np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2))
        in_pool.append(table["split"].to_numpy() == POOL)
    return ids, in_pool


def _first_of_each(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are the first with their id, and all rows in the order of their ids, earlier ones first."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    is_first = np.ones(len(ids), dtype=bool)
    is_first[order[1:]] = (ids[order[1:]] != ids[order[:-1]]).any(axis=1)
    return is_first, order


def _write_chosen(shards: list[Shard], masks: list[np.ndarray], folder: Path) -> tuple[dict[str, int], str]:
    """Write the chosen rows, and return their number by split and the hash of the folder's content."""
    kept: Counter[str] = Counter()
    content = hashlib.sha256()
    for table in _in_threads(shards, masks, folder):
        kept.update(table["split"].to_pylist())
        # Ids are hashes of the messages, so the messages need not be hashed again.
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            content.update(orjson.dumps(row) + b"\n")
    return dict(kept), content.hexdigest()


def _in_threads(shards: list[Shard], masks: list[np.ndarray], folder: Path) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(THREADS) as executor:
        yield from executor.map(_write_shard, shards, masks, [folder] * len(shards))


def _write_shard(shard: Shard, mask: np.ndarray, folder: Path) -> pa.Table:
    """Write a shard's chosen rows, if there are any, and return their columns of identity."""
    table = pq.read_table(shard.candidates).filter(pa.array(mask))
    if table.num_rows:
        write_table(table, folder / shard.candidates.name)
    return table.select(["sample_id", "source", "licence", "split"])


def _count_trimmed(reports: list[ShardReport], distinct: list[np.ndarray]) -> dict[str, int]:
    """Number of rows that lost a part, by part."""
    trimmed: Counter[str] = Counter()
    for report, mask in zip(reports, distinct, strict=True):
        trimmed.update({part: int(mask[places].sum()) for part, places in report.trimmed.items()})
    return {part: rows for part, rows in trimmed.most_common() if rows}
