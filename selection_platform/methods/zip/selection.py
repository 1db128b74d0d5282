"""ZIP: pick conversations that compress badly together (Yin et al. 2024, "Entropy Law").

The ratio of a list of records is the UTF-8 length of Python's `str()` of the list, divided by the length of its
`zlib` level 9 compression, both in bytes. A low ratio is diverse, and is picked. Each round of the official greedy
search:

1. of the live rows of the pool, recompute the k1 with the lowest known ratios: ratio(all picks so far + [row]);
2. the k2 lowest of these are the shortlist, and are no longer live;
3. starting from an empty list, pick k3 of the shortlist one by one, each with the lowest ratio(this round's picks +
[row]).

Other rows keep their last ratio, which is initially ratio([row]). Shortlisted rows that are not picked are burnt.

The search departs from the official code (github.com/USTC-StarTeam/ZIP, `ZIP.py`) as follows. `ZipSettings.published`
reverts the first three departures, and `write_picks` with it the last:

- No row is picked twice. When fewer than k2 rows are live, the burnt rows that were not picked become live again,
  with their last ratio. The official code gives shortlisted rows a ratio of a million and leaves them in the pool:
  once fewer than k1 rows are live, step 1 also recomputes picked and burnt rows, and they may be picked (again).
- Small pools scale k1, k2 and k3 down (`ZipSettings.scaled`). The official code stops when the pool is below k1.
- Ratios are float64; the official ones are float32, which tie late in a run. Different true ratios stay different in
  float64 while raw x packed bytes are below 2^52, which is about 100 MB of picked text; beyond, they can tie but never
  swap.
- Ties go to the lowest sample_id; in the official code to the row that `torch.topk` returns, which promises no order.
  So even the published search can pick another row than the official code if float32 ratios are equal.
- The result has exactly `budget` rows. The official one is a multiple of k3, and counts a row picked twice as two. The
  published search adds repeated picks to the list of step 1 as the official code does, but continues until `budget`
  different rows are picked, and returns each once, at its first position. It stops if it would only repeat itself.
- A record has only the messages, with the platform's field names: ids and sources say nothing about the text. The
  official code compresses its data's fields, `id`, `conversations` (`from`, `value`) and `source`
  (`published_record_text`). On short rows this decides a good part of the picks.

Byte counts depend on the zlib version: another version may pick other rows.
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
    """One picked row: its position in the order of picking (from 0), and its ratio in step 3.

    Low ratios are diverse. They are not sorted, because each ratio includes the earlier picks of its round.
    """

    sample_id: str
    position: int
    ratio: float


def record_text(messages: Sequence[Message]) -> str:
    """The text of one conversation inside the `str()` of a list of records."""
    return repr({"messages": [{"role": message.role, "content": message.content} for message in messages]})


_PUBLISHED_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def published_record_text(messages: Sequence[Message], place: int, source: str) -> str:
    """The same for rows of the official code, as its README shows them.

    Args:
        messages: the conversation.
        place: position of the row in the pool, from 0. The official ids are such numbers.
        source: the conversation's source.
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
        checkpoint: file to save unfinished work to and continue from. Work on another pool, with other settings or
            another zlib starts again; a larger budget continues.
        workers: number of threads; all cores if None. zlib runs outside the interpreter's lock, so threads scale.

    Returns:
        `budget` picks of different rows, in the order of picking.

    Raises:
        PlatformError: ids repeat, ids and records differ in number, the budget is negative or exceeds the pool, the
            checkpoint cannot be read, or the published search fails: the pool is smaller than k1, or the search only
            repeats itself before it reaches the budget.
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
