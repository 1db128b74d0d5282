"""ZIP: pick conversations that compress badly together (Yin et al. 2024, "Entropy Law").

The ratio of a list of records is the UTF-8 length of Python's `str()` of the list, divided by the length of its
`zlib` level 9 compression, both in bytes. Low is diverse, and low is picked. The official greedy search, by round:

1. of the pool rows still live, refresh the k1 with the lowest known ratios: ratio(all picked so far + [row]);
2. the k2 lowest of these form the shortlist, and stop being live;
3. starting from an empty list, pick k3 of the shortlist one by one, each the lowest ratio(this round's picks + [row]).

Rows outside step 1 keep the ratio they had, at first ratio([row]). The shortlisted rows that step 3 leaves are burnt.

The search departs from the official code (github.com/USTC-StarTeam/ZIP, `ZIP.py`) here; `ZipSettings.published` takes
the first three departures back, and `write_picks` with it the last:

- No row is picked twice. When fewer than k2 rows are live, the burnt rows that were not picked become live again,
  with their last ratio. The official code gives shortlisted rows a ratio of a million and leaves them where they are:
  once fewer than k1 rows are live, step 1 refreshes picked and burnt rows too, and they may be picked (again).
- Small pools scale k1, k2 and k3 down (`ZipSettings.scaled`). The official code stops when the pool is below k1.
- Ratios are float64; the official ones are float32, which tie late in a run. Different true ratios stay different in
  float64 while raw x packed bytes are below 2^52, which is about 100 MB of picked text; beyond, they can tie but never
  swap.
- Ties go to the lowest sample_id, in the official code to whichever row `torch.topk` returns, which promises no order.
  So even the published search can pick another row than the official code where float32 ratios are equal.
- The result has exactly `budget` rows. The official one is a multiple of k3, and counts a row picked twice as two. The
  published search feeds repeated picks to the list of step 1 as the official code does, but goes on until `budget`
  different rows are picked, and returns each once, at its first place. It gives up where it would go round in circles.
- A record is the messages only, with the field names that pools have here: ids and sources say nothing about the text.
  The official code compresses what its data has, `id`, `conversations` (`from`, `value`) and `source`
  (`published_record_text`). On short rows this decides a good part of the picks.

Byte counts belong to the zlib version: another one may pick other rows.
"""

import hashlib
import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from selection_platform.errors import PlatformError
from selection_platform.job.folder import content_hash
from selection_platform.methods.zip.checkpoint import Saver
from selection_platform.methods.zip.ratio import Ratios
from selection_platform.methods.zip.search import Search, ZipSettings
from selection_platform.text.conversation import Message


class ZipPick(NamedTuple):
    """One picked row: its place in the order of picking (from 0), and the ratio of step 3 that won it the place.

    Low ratios are diverse. They are not sorted: each counts the picks of its round before it.
    """

    sample_id: str
    position: int
    ratio: float


def record_text(messages: Sequence[Message]) -> str:
    """The text of one conversation inside the `str()` of a list of records."""
    return repr({"messages": [{"role": message.role, "content": message.content} for message in messages]})


_PUBLISHED_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def published_record_text(messages: Sequence[Message], place: int, source: str) -> str:
    """The same of the official code's rows, as its README shows them.

    Args:
        messages: of the conversation.
        place: of the row in the pool, from 0. The official ids are such numbers.
        source: where the conversation comes from.
    """
    turns = [{"from": _PUBLISHED_ROLES[message.role], "value": message.content} for message in messages]
    return repr({"id": place, "conversations": turns, "source": source})


def select(
    sample_ids: Sequence[str],
    records: Iterable[str],
    budget: int,
    settings: ZipSettings,
    checkpoint: Path | None = None,
    workers: int | None = None,
) -> list[ZipPick]:
    """Pick `budget` rows of the pool, in order.

    The result depends neither on the order of the pool nor on `workers`.

    Args:
        sample_ids: ids of the pool's rows, all different.
        records: `record_text` of each row, or `published_record_text`, in the same order. Read once, and kept as UTF-8.
        budget: number of rows to pick, at most the pool's size.
        settings: sizes of a round for large pools, and which search.
        checkpoint: file to save unfinished work in and to go on from. Work on another pool, with other settings or
            another zlib is started again; a larger budget goes on.
        workers: number of threads; all cores if None. zlib works outside the interpreter's lock, so they scale.

    Returns:
        `budget` picks of different rows, in the order of picking.

    Raises:
        PlatformError: ids repeat, ids and records differ in number, the budget is negative or exceeds the pool, the
            checkpoint cannot be read, or the published search cannot do it: the pool is smaller than k1, or it only
            repeats itself before the budget is reached.
    """
    order = _order_by_id(sample_ids)
    scaled = settings.scaled(len(order))
    unordered = [record.encode("utf-8", "surrogatepass") for record in records]
    if len(unordered) != len(order):
        raise PlatformError(f"{len(order):,} sample ids but {len(unordered):,} records")
    if not 0 <= budget <= len(order):
        raise PlatformError(f"budget {budget:,} is not between 0 and the pool's {len(order):,} rows")
    texts = [unordered[row] for row in order]
    saver = None
    if checkpoint is not None:
        saver = Saver(checkpoint, _identity([sample_ids[row] for row in order], texts, scaled))
    workers = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as executor:
        search = Search(Ratios(texts, executor, workers), scaled, saver)
        search.score_alone()
        search.pick(budget)
    picks = zip(search.state.picks[:budget], search.state.pick_ratios, strict=False)
    return [ZipPick(sample_ids[order[row]], position, ratio) for position, (row, ratio) in enumerate(picks)]


def _order_by_id(sample_ids: Sequence[str]) -> list[int]:
    """Rows in the order of their ids; inside this module the lower row wins a tie."""
    order = sorted(range(len(sample_ids)), key=sample_ids.__getitem__)
    for before, after in pairwise(order):
        if sample_ids[before] == sample_ids[after]:
            raise PlatformError(f"sample id {sample_ids[after]} is in the pool twice; drop one of the rows")
    return order


def _identity(sample_ids: Sequence[str], texts: Sequence[bytes], settings: ZipSettings) -> str:
    """Hash of everything that decides the picks and their order."""
    pool = hashlib.sha256()
    for name, text in zip(sample_ids, texts, strict=True):
        pool.update(f"{name} {len(text)} ".encode("utf-8", "surrogatepass"))
        pool.update(text)
    return content_hash({"pool": pool.hexdigest(), "zlib": zlib.ZLIB_RUNTIME_VERSION, **asdict(settings)})
