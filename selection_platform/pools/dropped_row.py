"""Why one row of a source is not in its pool. Nothing is kept of rows that are dropped, so the row is read again."""

from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.candidates import CandidateReader
from selection_platform.pools.forms.recognise import find_reading
from selection_platform.pools.pool import BEYOND_LIMIT, DUPLICATE, NEAR_DUPLICATE
from selection_platform.pools.raw_pool import read_raw_pool_report
from selection_platform.pools.rows import SourceError
from selection_platform.pools.shards import shard_paths
from selection_platform.pools.sources import read_row


def why_dropped(
    settings: PoolSettings,
    raw_folder: Path,
    benchmark_texts: Iterable[str],
    place: tuple[str, int],
    row_of: Callable[[str], str | None],
) -> str:
    """The reason that counts of dropped rows give, and for a bad row its message on a line below.

    Args:
        settings: the pool's settings.
        raw_folder: its finished raw pool.
        benchmark_texts: items of the benchmarks; ignored unless the settings ask to decontaminate.
        place: name of the file, as the raw pool has it, and the row's number in it from 1.
        row_of: gives the place of a sample of this pool by its id; None if there is no such sample.
    """
    file, row = place
    found = pl.scan_parquet(shard_paths(raw_folder)).filter(pl.col("file") == file, pl.col("row") == row).collect()
    if found.is_empty():
        return _not_in_raw_pool(settings, raw_folder, file, row)
    reading = find_reading(settings, raw_folder)
    if reading.form == "tree":
        return "it is one message of a tree; the row of the tree's first message names the conversation"
    texts = list(benchmark_texts) if settings.decontaminate else []
    try:
        # To stop at a bad row is to get its message.
        reader = CandidateReader(settings.model_copy(update={"on_bad_row": "stop"}), reading, texts)
        reason, sample_id = reader.read_one(file, row, found["record"][0])
    except BadRow as bad_row:
        return _of_bad_row(bad_row)
    return reason or _by_other_rows(settings, row_of(sample_id or ""))


def _not_in_raw_pool(settings: PoolSettings, raw_folder: Path, file: str, row: int) -> str:
    """What became of a row that was refused as it was read from its file, or that the file does not have."""
    none = "the file has no such row"
    try:
        item = read_row(settings.source, file, row)
    except SourceError:
        refused = ", ".join(read_raw_pool_report(raw_folder).bad_rows)
        return f"{none}, or it was dropped when it was read ({refused})" if refused else none
    if item is None:
        return none
    if isinstance(item, BadRow):
        return _of_bad_row(item)
    return "it was not in the file when the pool was made; `selection-platform run` makes the pool again"


def _of_bad_row(bad_row: BadRow) -> str:
    return f"{bad_row.reason}\n  {bad_row.example}"


def _by_other_rows(settings: PoolSettings, kept: str | None) -> str:
    """Why a row that passed every filter on itself was dropped. Which of several reasons, the rows before it decide."""
    if kept is not None:
        return f"{DUPLICATE}, {kept}"
    reasons = [
        *([] if settings.near_duplicates is None else [NEAR_DUPLICATE]),
        *([] if settings.limit is None else [BEYOND_LIMIT]),
    ]
    return ", or ".join(reasons) or "it passes the filters of now; `selection-platform run` makes the pool again"
