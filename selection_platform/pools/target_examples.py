"""Target sets: a user's own examples, read as a pool is, and the check that no target is an item of a benchmark."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.evaluation.worked_examples import write_targets
from selection_platform.pools.candidates import CONTAMINATED
from selection_platform.pools.contamination import WORDS, ContaminationFilter, split_words
from selection_platform.pools.pool import PoolReport, write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.shards import shard_paths
from selection_platform.text.conversation import Message, to_messages

SHOWN = 80
"""Characters of a target in a message."""


def write_examples(settings: PoolSettings, texts: Sequence[str], folder: Path, name: str, into: Path) -> PoolReport:
    """Write a user's own examples as targets, by the readers and filters of pools.

    Args:
        settings: those of a pool.
        texts: of the benchmarks' items.
        folder: for raw rows and conversations; what is there of the same file is not read again.
        name: of the target set, for messages. It is the one group, or each source is one where the settings name them.
        into: Parquet file as `write_targets` writes it.

    Raises:
        PlatformError: a row cannot be read, none is left, or one shares 13 words in a row with a benchmark's item.
    """
    write_raw_pool(settings, folder / "raw")
    report = write_pool(settings, folder / "raw", texts, folder / "pool")
    overlapping = report.dropped.get(CONTAMINATED, 0)
    if overlapping:
        raise PlatformError(
            f"targets.{name}: {overlapping:,} of {report.rows:,} examples share {WORDS} words in a row with a "
            "benchmark's item; leave them out, since to select for them is to select for the test"
        )
    groups: dict[str, list[list[Message]]] = {}
    for path in shard_paths(folder / "pool"):
        for row in pq.read_table(path, columns=["source", "messages"]).to_pylist():
            group = name if settings.source_column is None else row["source"]
            groups.setdefault(group, []).append(to_messages(row["messages"]))
    write_targets(dict(sorted(groups.items())), into)
    return report


def check_apart(file: Path, texts: Iterable[str], name: str, *, worked: bool) -> None:
    """Check that no target is an item of a benchmark.

    Worked examples share the wording of their task with its items, so that only the same question counts there.

    Args:
        file: as `write_targets` writes it.
        texts: of the benchmarks' items.
        name: of the target set, for messages.
        worked: whether the targets are worked examples of benchmarks.

    Raises:
        PlatformError: a target is one, or shares 13 words in a row with one; the message shows the first.
    """
    items = list(texts)
    filtered = ContaminationFilter(() if worked else items)
    same = {_key(item, exact=worked) for item in items}
    rows: list[dict[str, Any]] = pq.read_table(file, columns=["messages"]).to_pylist()
    found = [
        messages
        for messages in (to_messages(row["messages"]) for row in rows)
        if filtered.overlaps(messages) or any(_key(message.content, exact=worked) in same for message in messages[:-1])
    ]
    if found:
        question = next(message.content for message in found[0] if message.role == "user")
        raise PlatformError(
            f"targets.{name}: {len(found):,} of {len(rows):,} targets overlap items of the benchmarks, the first is "
            f"{question[:SHOWN]!r}; leave them out, since to select for them is to select for the test"
        )


def _key(text: str, *, exact: bool) -> object:
    """What tells texts apart: their words, or each character where tasks are about brackets."""
    return text.strip() if exact else tuple(split_words(text))
