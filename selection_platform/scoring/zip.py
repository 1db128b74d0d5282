"""ZIP: pick conversations that compress badly together (Yin et al. 2024, "Entropy Law").

The ratio of a list of records is the UTF-8 length of Python's `str()` of the list, divided by the length of its
`zlib` level 9 compression, both in bytes. Low is diverse, and low is picked. The official greedy search, by round:

1. of the pool rows still live, refresh the k1 with the lowest known ratios: ratio(all picked so far + [row]);
2. the k2 lowest of these form the shortlist, and stop being live;
3. starting from an empty list, pick k3 of the shortlist one by one, each the lowest ratio(this round's picks + [row]).

Rows outside step 1 keep the ratio they had, at first ratio([row]). The shortlisted rows that step 3 leaves are burnt.

Compressing a list costs only its last record here: the compressor that has read `[rec, rec, ` is copied for each
candidate. The byte counts are those of compressing the whole text at once, so the picks are too.

Departures from the official code:

- No row is picked twice. When fewer than k2 rows are live, the burnt rows that were not picked become live again,
  with their last ratio; the official code takes burnt and picked rows alike.
- Small pools scale k1, k2 and k3 down (`ZipSettings.scaled`); the official code stops when the pool is below k1.
- The result has exactly `budget` rows; the official one is a multiple of k3.
- Ratios are float64 and ties go to the lowest sample_id; the official float32 ties late in a run, arbitrarily.
  Different true ratios stay different in float64 while raw x packed bytes are below 2^52, which is about 100 MB of
  picked text; beyond, they can tie but never swap.
- A record is the messages only, with our field names; ids and sources say nothing about the text.

Byte counts belong to the zlib version: another one may pick other rows.
"""

import hashlib
import logging
import os
import time
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selection_platform.conversation import Message
from selection_platform.manifest import content_hash, whole_file
from selection_platform.progress import progress

logger = logging.getLogger(__name__)

LEVEL = 9
SECONDS_BETWEEN_SAVES = 10.0
ROWS_PER_BLOCK = 20_000  # first ratios: between two chances to save
ROWS_PER_TASK = 64  # at most, so that no thread is left alone with a long tail

LIVE, BURNT, PICKED = 0, 1, 2

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ZipSettings:
    """Sizes of one round, defaults from the paper.

    Attributes:
        k1: rows whose ratio is refreshed.
        k2: rows of these that are shortlisted.
        k3: rows of these that are picked.
    """

    k1: int = 10_000
    k2: int = 200
    k3: int = 100

    def __post_init__(self) -> None:
        if not self.k1 >= self.k2 >= self.k3 >= 1:
            raise ValueError(f"ZIP needs k1 >= k2 >= k3 >= 1, got {self.k1}, {self.k2}, {self.k3}")

    def scaled(self, pool_size: int) -> "ZipSettings":
        """The sizes used on a pool of `pool_size` rows.

        From 3 * k1 rows on they are as given. Below, all three shrink by pool_size / (3 * k1), rounded down, at
        least 1: a round refreshes a third of any smaller pool, and with the paper's k2 = 2 * k3 a third of it can be
        picked before fewer than k1 rows are live. The sizes do not depend on the budget, so that a smaller budget
        picks a prefix of what a larger one picks.
        """
        full = 3 * self.k1
        if pool_size >= full:
            return self
        return ZipSettings(*(max(1, k * pool_size // full) for k in (self.k1, self.k2, self.k3)))


class ZipPick(NamedTuple):
    """One picked row: its place in the order of picking (from 0), and the ratio of step 3 that won it the place."""

    sample_id: str
    position: int
    ratio: float


def record_text(messages: Sequence[Message]) -> str:
    """The text of one conversation inside the `str()` of a list of records."""
    return repr({"messages": [{"role": message.role, "content": message.content} for message in messages]})


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
        records: `record_text` of each row, in the same order. Read once, and kept as UTF-8.
        budget: number of rows to pick, at most the pool's size.
        settings: sizes of a round for large pools.
        checkpoint: file to save unfinished work in and to go on from. Work on another pool, with other settings or
            another zlib is begun anew; a larger budget goes on.
        workers: number of threads; all cores if None. zlib works outside the interpreter's lock, so they scale.

    Raises:
        ValueError: ids repeat, ids and records differ in number, the budget is negative or exceeds the pool, or the
            checkpoint cannot be read.
    """
    order = _order_by_id(sample_ids)
    unordered = [record.encode("utf-8", "surrogatepass") for record in records]
    if len(unordered) != len(order):
        raise ValueError(f"{len(order):,} sample ids but {len(unordered):,} records")
    if not 0 <= budget <= len(order):
        raise ValueError(f"budget {budget:,} is not between 0 and the pool's {len(order):,} rows")
    texts = [unordered[row] for row in order]
    scaled = settings.scaled(len(texts))
    saver = None
    if checkpoint is not None:
        saver = _Saver(checkpoint, _identity([sample_ids[row] for row in order], texts, scaled))
    workers = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as executor:
        search = _Search(_Ratios(texts, executor, workers), scaled, saver)
        search.score_alone()
        search.pick(budget)
    picks = zip(search.state.picks[:budget], search.state.pick_ratios, strict=False)
    return [ZipPick(sample_ids[order[row]], position, ratio) for position, (row, ratio) in enumerate(picks)]


def _order_by_id(sample_ids: Sequence[str]) -> list[int]:
    """Rows in the order of their ids; inside this module the lower row wins a tie."""
    order = sorted(range(len(sample_ids)), key=sample_ids.__getitem__)
    for before, after in pairwise(order):
        if sample_ids[before] == sample_ids[after]:
            raise ValueError(f"sample id {sample_ids[after]} is in the pool twice; drop one of the rows")
    return order


def _identity(sample_ids: Sequence[str], texts: Sequence[bytes], settings: ZipSettings) -> str:
    """Hash of everything that decides the picks and their order."""
    pool = hashlib.sha256()
    for name, text in zip(sample_ids, texts, strict=True):
        pool.update(f"{name} {len(text)} ".encode("utf-8", "surrogatepass"))
        pool.update(text)
    return content_hash({"pool": pool.hexdigest(), "zlib": zlib.ZLIB_RUNTIME_VERSION, **asdict(settings)})


class _Anchor:
    """A list of records, compressed up to the place where the next record goes."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL)
        self._raw = 0
        self._packed = 0
        self._feed(b"[")

    def append(self, text: bytes) -> None:
        """Add a record for good."""
        self._feed(text + b", ")

    def _feed(self, data: bytes) -> None:
        self._raw += len(data)
        self._packed += len(self._compressor.compress(data))

    def ratios(self, texts: Iterable[bytes]) -> list[float]:
        """For each text the ratio of the list with this text alone added. Threads may share the anchor."""
        ratios = []
        for text in texts:
            branch = self._compressor.copy()
            packed = self._packed + len(branch.compress(text + b"]")) + len(branch.flush())
            ratios.append((self._raw + len(text) + 1) / packed)
        return ratios


@dataclass
class _Ratios:
    """Computes ratios of pool rows on all threads."""

    texts: list[bytes]
    executor: ThreadPoolExecutor
    workers: int

    def __call__(self, anchor: _Anchor, rows: Rows) -> NDArray[np.float64]:
        """Ratio of the anchor's list with each of the rows (at least one) alone added."""
        tasks = max(min(len(rows), 4 * self.workers), -(-len(rows) // ROWS_PER_TASK))
        parts = [part.tolist() for part in np.array_split(rows, tasks)]
        done = self.executor.map(lambda part: anchor.ratios(self.texts[row] for row in part), parts)
        return np.concatenate([np.array(ratios) for ratios in done])


@dataclass
class _State:
    """What a round needs to know of those before it.

    Attributes:
        ratio: last ratio of each row; NaN before the first. Shape (rows,).
        status: LIVE, BURNT or PICKED. Shape (rows,).
        picks: picked rows, in order.
        pick_ratios: for each of these, the ratio that got it picked.
    """

    ratio: NDArray[np.float64]
    status: NDArray[np.uint8]
    picks: list[int]
    pick_ratios: list[float]


class _Saver:
    """Keeps the state in a file, now and then."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity
        self._last_save = time.monotonic()

    def load(self) -> _State | None:
        """The saved state, or None where there is none of this work."""
        if not self._path.exists():
            return None
        try:
            with np.load(self._path) as saved:
                if str(saved["identity"]) != self._identity:
                    logger.info("%s belongs to other work; beginning anew", self._path)
                    return None
                picks, pick_ratios = saved["picks"].tolist(), saved["pick_ratios"].tolist()
                return _State(saved["ratio"], saved["status"], picks, pick_ratios)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self._path} is not a checkpoint of ZIP ({error}); delete it to begin anew") from error

    def save_now_and_then(self, state: _State) -> None:
        """Save if the last time is long enough ago. Call it between rounds only."""
        if time.monotonic() - self._last_save < SECONDS_BETWEEN_SAVES:
            return
        with whole_file(self._path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                identity=np.array(self._identity),
                ratio=state.ratio,
                status=state.status,
                picks=np.array(state.picks, np.int64),
                pick_ratios=np.array(state.pick_ratios, np.float64),
            )
        self._last_save = time.monotonic()


class _Search:
    """The greedy search over rows that are in the order of their ids."""

    def __init__(self, ratios: _Ratios, settings: ZipSettings, saver: _Saver | None) -> None:
        size = len(ratios.texts)
        fresh = _State(np.full(size, np.nan), np.full(size, LIVE, np.uint8), [], [])
        self.state = (saver.load() if saver else None) or fresh
        self._ratios = ratios
        self._settings = settings
        self._saver = saver

    def score_alone(self) -> None:
        """Give every row that has none its first ratio, that of the row alone."""
        state = self.state
        rows = np.flatnonzero(np.isnan(state.ratio))
        alone = _Anchor()
        with progress("ZIP: ratio of each sample alone", len(rows), "samples") as counter:
            for start in range(0, len(rows), ROWS_PER_BLOCK):
                block = rows[start : start + ROWS_PER_BLOCK]
                state.ratio[block] = self._ratios(alone, block)
                self._save()
                counter.advance(len(block))

    def pick(self, budget: int) -> None:
        """Run rounds until `budget` rows are picked; the last round stops there."""
        picked = _Anchor()
        for row in self.state.picks:
            picked.append(self._ratios.texts[row])
        with progress("ZIP: picking", budget, "samples") as counter:
            counter.advance(min(len(self.state.picks), budget))
            while (wanted := budget - len(self.state.picks)) > 0:
                self._save()
                before = len(self.state.picks)
                self._pick_from(self._shortlist(picked), min(self._settings.k3, wanted))
                for row in self.state.picks[before:]:
                    picked.append(self._ratios.texts[row])
                counter.advance(len(self.state.picks) - before)

    def _shortlist(self, picked: _Anchor) -> Rows:
        """Steps 1 and 2."""
        state = self.state
        if np.count_nonzero(state.status == LIVE) < self._settings.k2:
            state.status[state.status == BURNT] = LIVE
        front = _lowest(state.ratio, np.flatnonzero(state.status == LIVE), self._settings.k1)
        state.ratio[front] = self._ratios(picked, front)
        shortlist = _lowest(state.ratio, front, self._settings.k2)
        state.status[shortlist] = BURNT
        return shortlist

    def _pick_from(self, shortlist: Rows, count: int) -> None:
        """Step 3, for at most `count` rows."""
        picked_now = _Anchor()
        for _ in range(min(count, len(shortlist))):
            ratios = self._ratios(picked_now, shortlist)
            best = int(np.argmin(ratios))
            row = int(shortlist[best])
            picked_now.append(self._ratios.texts[row])
            self.state.status[row] = PICKED
            self.state.picks.append(row)
            self.state.pick_ratios.append(float(ratios[best]))
            shortlist = np.delete(shortlist, best)

    def _save(self) -> None:
        if self._saver is not None:
            self._saver.save_now_and_then(self.state)


def _lowest(ratio: NDArray[np.float64], rows: Rows, count: int) -> Rows:
    """The `count` of the ascending `rows` with the lowest ratios, ascending; all where there are fewer."""
    if count >= len(rows):
        return rows
    values = ratio[rows]
    limit = np.partition(values, count - 1)[count - 1]
    chosen = values < limit
    chosen[np.flatnonzero(values == limit)[: count - np.count_nonzero(chosen)]] = True
    return rows[chosen]
