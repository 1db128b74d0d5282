"""Finds the samples of a pool that hold a benchmark's item.

The pool's filter (`contamination`) drops such rows where the settings ask for it. Here every sample that can be
selected is compared, so that a report can say what an arm's gain owes to items that it was trained on.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import content_hash, open_job_folder, read_manifest, write_manifest
from selection_platform.job.integrity import check_files
from selection_platform.job.lock import alone_in_folder
from selection_platform.job.progress import progress
from selection_platform.job.versions import VERSIONS
from selection_platform.job.workers import map_in_processes
from selection_platform.pools.contamination import WORDS, hashes, split_words
from selection_platform.pools.pool import read_pool_report
from selection_platform.pools.shards import ROWS_PER_BATCH, shard_paths, write_table
from selection_platform.pools.splits import POOL

RUN = 5
"""Words in a run that near-duplicates are compared by, as in `near_duplicates`."""
NEARLY_THE_SAME = 0.5
"""Least Jaccard similarity. A question of 40 words in which two words were replaced far apart has 0.57."""
FEWEST_WORDS = 8
"""Of a text that near-duplicates are looked for. Shorter questions are everyday sentences."""

OVERLAP_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("benchmark", pa.string()),
        ("item_id", pa.string()),
        ("shares_words", pa.bool_()),
        ("similarity", pa.float64()),
    ]
)

ItemKey = tuple[str, str]
"""A benchmark's name, and the item's id in it."""
Text = tuple[str, str, str]
"""A benchmark's name, the item's id in it, and one of the item's texts."""


class OverlapFinder:
    """Finds the items that a conversation holds.

    A message holds an item if it has a run of 13 words in common with one of the item's texts, or if it is nearly
    the same as one: the Jaccard similarity of their sets of runs of 5 words is at least `NEARLY_THE_SAME`. Both are
    exact: there are so few items that no sketch is needed. Case and punctuation do not matter.
    """

    def __init__(self, texts: Iterable[Text]) -> None:
        self._texts = list(texts)
        self._sizes: list[int] = []
        self._runs: dict[int, list[int]] = {}
        for place, (_, _, text) in enumerate(self._texts):
            words = split_words(text)
            runs = set(hashes(words, RUN, 1))
            self._sizes.append(len(runs) if len(words) >= FEWEST_WORDS else 0)
            for run in runs:
                self._runs.setdefault(run, []).append(place)
        # Of few texts: an index of these runs too would double memory and time.
        self._long_runs = lru_cache(maxsize=100_000)(
            lambda place: frozenset(hashes(split_words(self._texts[place][2]), WORDS, 1))
        )

    def items(self, messages: Iterable[str]) -> dict[ItemKey, tuple[bool, float]]:
        """For each item that a conversation holds: whether 13 words are shared, and the largest similarity.

        Args:
            messages: the texts of the conversation's messages.
        """
        held: dict[ItemKey, tuple[bool, float]] = {}
        for message in messages:
            words = split_words(message)
            runs = set(hashes(words, RUN, 1))
            # Most messages have no run in common with any item.
            if self._runs.keys().isdisjoint(runs):
                continue
            for place, shares_words, similarity in self._held(words, runs):
                item = self._texts[place][:2]
                before = held.get(item, (False, 0.0))
                held[item] = (before[0] or shares_words, max(before[1], similarity))
        return held

    def _held(self, words: list[bytes], runs: set[int]) -> Iterator[tuple[int, bool, float]]:
        """The texts that a message holds, by their place."""
        long_runs = set(hashes(words, WORDS, 1))
        shared = Counter(place for run in runs for place in self._runs.get(run, ()))
        for place, count in shared.items():
            similarity = count / (len(runs) + self._sizes[place] - count) if self._sizes[place] else 0.0
            shares_words = not long_runs.isdisjoint(self._long_runs(place))
            if shares_words or similarity >= NEARLY_THE_SAME:
                yield place, shares_words, similarity


class ShardReader:
    """Finds the overlaps of a shard of a pool, and writes them. Each process has one."""

    def __init__(self, texts: Sequence[Text], folder: Path) -> None:
        self._finder = OverlapFinder(texts)
        self._folder = folder

    def __call__(self, shard: Path) -> int:
        """Write the overlaps of the shard, unless they are there; gives the number of its rows."""
        path = self._folder / shard.name
        if not path.exists():
            table = pa.Table.from_pylist(list(self._overlaps(shard)), OVERLAP_SCHEMA)
            write_table(table, path, "zstd")
        return pq.read_metadata(shard).num_rows

    def _overlaps(self, shard: Path) -> Iterator[dict[str, Any]]:
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(ROWS_PER_BATCH, columns=["sample_id", "messages", "split"]):
                for row in batch.to_pylist():
                    if row["split"] != POOL:
                        continue
                    held = self._finder.items(message["content"] for message in row["messages"])
                    for (benchmark, item_id), (shares_words, similarity) in sorted(held.items()):
                        yield {
                            "sample_id": row["sample_id"],
                            "benchmark": benchmark,
                            "item_id": item_id,
                            "shares_words": shares_words,
                            "similarity": similarity,
                        }


@alone_in_folder
def write_overlaps(pool_folder: Path, texts: Iterable[Text], folder: Path) -> list[Path]:
    """Find the overlaps of a finished pool with benchmark items. A killed run goes on where it was.

    Args:
        pool_folder: the folder that `write_pool` wrote.
        texts: of `evaluation.benchmark_data.item_texts`.
        folder: where the Parquet files go, one for each of the pool.

    Returns:
        The files, with `OVERLAP_SCHEMA`.

    Raises:
        PlatformError: the pool is not finished.
        ChangedFile: the files of the pool, or those found before, are not what was written.
    """
    compared = [(benchmark, item_id, text) for benchmark, item_id, text in texts]
    identity = {
        "job": "contamination",
        "code": str(VERSIONS["contamination"]),
        "pool": read_pool_report(pool_folder).content_hash,
        "texts": content_hash(compared),
    }
    shards = shard_paths(pool_folder)
    if not open_job_folder(folder, identity):
        rows = sum(pq.read_metadata(shard).num_rows for shard in shards)
        with progress("contamination", rows, "rows") as bar:
            for done in map_in_processes(ShardReader, (compared, folder), shards):
                bar.advance(done)
        write_manifest(folder, {"files": [shard.name for shard in shards]})
    check_files(folder)
    manifest = read_manifest(folder) or {}
    return [folder / name for name in manifest["files"]]
