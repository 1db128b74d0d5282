"""Target sets: a user's own examples, read as a pool is, and the check that no target is an item of a benchmark."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.evaluation.worked_examples import write_targets
from selection_platform.job.folder import whole_file
from selection_platform.pools.benchmark_overlap import FEWEST_WORDS
from selection_platform.pools.candidates import CONTAMINATED
from selection_platform.pools.contamination import WORDS, ContaminationFilter, split_words
from selection_platform.pools.pool import PoolReport, write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.shards import shard_paths
from selection_platform.text.conversation import Message, to_messages

SHOWN = 80
"""Characters of a text in a message."""


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
    held = _finder(texts, worked=worked)(pq.read_table(file, columns=["messages"]))
    found = [text for text in held if text is not None]
    if found:
        raise PlatformError(
            f"targets.{name}: {len(found):,} of {len(held):,} targets overlap items of the benchmarks, the first with "
            f"{found[0][:SHOWN]!r}; leave them out, since to select for them is to select for the test"
        )


def refuse_held_out(prompts: Sequence[str], name: str, pool: str) -> None:
    """Check that the held-out loss is not measured on targets.

    Args:
        prompts: the first message of each target that is a held-out conversation.
        name: of the target set, for messages.
        pool: of the held-out conversations.

    Raises:
        PlatformError: there is one; the message shows the first.
    """
    if prompts:
        raise PlatformError(
            f"targets.{name}: held-out conversations of pool {pool} are among them ({len(prompts):,}), the first with "
            f"{prompts[0][:SHOWN]!r}; leave them out, since the held-out loss may be measured on them"
        )


def draw_apart(draw: Callable[[int], object], file: Path, limit: int, texts: Iterable[str], name: str) -> int:
    """Draw targets from a pool, around those that overlap items of the benchmarks.

    Args:
        draw: writes the first so many rows of a fixed random order to `file`.
        file: as `write_targets` writes it.
        limit: how many targets to draw; there are fewer where the pool has no more.
        texts: of the benchmarks' items.
        name: of the target set, for messages.

    Returns:
        How many were left out of the draw.

    Raises:
        PlatformError: none is left.
    """
    items_held, left_out = _finder(texts, worked=False), 0
    while True:
        draw(limit + left_out)
        table = pq.read_table(file)
        apart = [held is None for held in items_held(table)]
        before, left_out = left_out, apart.count(False)
        if left_out == before or len(apart) < limit + before:
            break
    if not any(apart):
        raise PlatformError(f"targets.{name}: all samples of the pool overlap items of the benchmarks; name others")
    if left_out:
        with whole_file(file) as temporary:
            pq.write_table(table.filter(pa.array(apart)), temporary)
    return left_out


def _finder(texts: Iterable[str], *, worked: bool) -> Callable[[pa.Table], list[str | None]]:
    """What finds the first message of each target that holds an item of a benchmark, or None."""
    items = list(texts)
    filtered = ContaminationFilter(() if worked else items)
    same = {key for item in items if (key := _key(item, exact=worked))}

    def holds(message: Message, *, last: bool) -> bool:
        return filtered.overlaps([message]) or (not last and _key(message.content, exact=worked) in same)

    def items_held(targets: pa.Table) -> list[str | None]:
        rows: list[dict[str, Any]] = targets.select(["messages"]).to_pylist()
        conversations = [to_messages(row["messages"]) for row in rows]
        return [
            next((each.content for each in messages if holds(each, last=each is messages[-1])), None)
            for messages in conversations
        ]

    return items_held


def _key(text: str, *, exact: bool) -> str | tuple[bytes, ...]:
    """What tells texts apart: each character, where tasks are about brackets, or their words; empty for few words."""
    if exact:
        return text.strip()
    words = split_words(text)
    return tuple(words) if len(words) >= FEWEST_WORDS else ()
