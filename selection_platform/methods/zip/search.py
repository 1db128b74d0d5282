"""ZIP's greedy search, and the sizes of its rounds."""

from dataclasses import dataclass

import numpy as np

from selection_platform.errors import PlatformError
from selection_platform.job.progress import progress
from selection_platform.methods.zip.checkpoint import BURNT, LIVE, PICKED, Saver, SearchState
from selection_platform.methods.zip.ratio import Anchor, Ratios, Rows, lowest

ROWS_PER_BLOCK = 20_000  # first ratios: between two chances to save
RATIO_OF_SHORTLISTED = 1e6  # in the published search; zlib reaches about a thousand


@dataclass(frozen=True)
class ZipSettings:
    """Sizes of one round.

    Attributes:
        k1: rows whose ratio is recomputed.
        k2: how many of them are shortlisted.
        k3: how many of the shortlist are picked.
        published: whether to search as the official code does; `selection_platform.methods.zip.selection` describes it.
    """

    k1: int
    k2: int
    k3: int
    published: bool = False

    def __post_init__(self) -> None:
        if not self.k1 >= self.k2 >= self.k3 >= 1:
            raise PlatformError(f"ZIP needs k1 >= k2 >= k3 >= 1, got {self.k1}, {self.k2}, {self.k3}")

    def scaled(self, pool_size: int) -> "ZipSettings":
        """The sizes used on a pool of `pool_size` rows.

        From 3 * k1 rows on, they are unchanged. For fewer rows, all three are multiplied by pool_size / (3 * k1),
        rounded down, at least 1: a round recomputes a third of any smaller pool, and with the paper's k2 = 2 * k3 a
        third of it can be picked before fewer than k1 rows are live. The sizes do not depend on the budget, so that a
        smaller budget picks a prefix of a larger one's picks. The published search never scales.

        Raises:
            PlatformError: the search is the published one, and the pool is smaller than k1.
        """
        if self.published:
            if pool_size < self.k1:
                raise PlatformError(
                    f"the published ZIP recomputes k1 = {self.k1:,} rows per round, but the pool has {pool_size:,}; "
                    "lower k1 in the profile's `zip` (k2 and k3 must not exceed it)"
                )
            return self
        full = 3 * self.k1
        if pool_size >= full:
            return self
        k1, k2, k3 = (max(1, k * pool_size // full) for k in (self.k1, self.k2, self.k3))
        return ZipSettings(k1, k2, k3)


class Search:
    """The greedy search, with the numbered steps in `selection_platform.methods.zip.selection`.

    Args:
        ratios: computes ratios of the pool's rows, which are in the order of their ids: the lower row wins a tie.
        settings: sizes of a round, scaled to the pool.
        saver: saves the state of unfinished work; None saves nothing.
    """

    def __init__(self, ratios: Ratios, settings: ZipSettings, saver: Saver | None) -> None:
        dtype = np.float32 if settings.published else np.float64
        self.state = (saver.load() if saver else None) or SearchState.fresh(len(ratios.texts), dtype)
        self._ratios = ratios
        self._settings = settings
        self._saver = saver

    def score_alone(self) -> None:
        """Compute the first ratio, that of the row alone, for every row without a ratio."""
        state = self.state
        rows = np.flatnonzero(np.isnan(state.ratio))
        alone = Anchor()
        with progress("ZIP: ratio of each sample alone", len(rows), "samples") as counter:
            for start in range(0, len(rows), ROWS_PER_BLOCK):
                block = rows[start : start + ROWS_PER_BLOCK]
                state.ratio[block] = self._ratios(alone, block)
                self._save()
                counter.advance(len(block))

    def pick(self, budget: int) -> None:
        """Run rounds until `budget` different rows are picked; the last round stops there.

        Raises:
            PlatformError: a published search only repeats itself.
        """
        state = self.state
        anchor = Anchor()
        for row in state.anchor:
            anchor.append(self._ratios.texts[row])
        with progress("ZIP: picking", budget, "samples") as counter:
            counter.advance(min(len(state.picks), budget))
            while len(state.picks) < budget:
                self._save()
                new_before, all_before = len(state.picks), len(state.anchor)
                self._pick_from(self._shortlist(anchor), budget)
                for row in state.anchor[all_before:]:
                    anchor.append(self._ratios.texts[row])
                self._count_idle_rounds(len(state.picks) - new_before)
                counter.advance(len(state.picks) - new_before)

    def _shortlist(self, anchor: Anchor) -> Rows:
        """Steps 1 and 2."""
        state, sizes = self.state, self._settings
        front = lowest(state.ratio, self._candidates(), sizes.k1)
        state.ratio[front] = self._ratios(anchor, front)
        shortlist = lowest(state.ratio, front, sizes.k2)
        if sizes.published:
            state.ratio[shortlist] = RATIO_OF_SHORTLISTED
        else:
            state.status[shortlist] = BURNT
        return shortlist

    def _candidates(self) -> Rows:
        """Rows that step 1 may recompute."""
        state, sizes = self.state, self._settings
        if sizes.published:
            return np.arange(len(state.ratio))
        if np.count_nonzero(state.status == LIVE) < sizes.k2:
            state.status[state.status == BURNT] = LIVE
        return np.flatnonzero(state.status == LIVE)

    def _pick_from(self, shortlist: Rows, budget: int) -> None:
        """Step 3."""
        state = self.state
        picked_now = Anchor()
        for _ in range(min(self._settings.k3, len(shortlist))):
            ratios = self._ratios(picked_now, shortlist).astype(state.ratio.dtype)
            best = int(np.argmin(ratios))
            row = int(shortlist[best])
            picked_now.append(self._ratios.texts[row])
            state.anchor.append(row)
            if state.status[row] != PICKED:
                state.status[row] = PICKED
                state.picks.append(row)
                state.pick_ratios.append(float(ratios[best]))
            if len(state.picks) == budget:
                return
            shortlist = np.delete(shortlist, best)

    def _count_idle_rounds(self, new_rows: int) -> None:
        """Stop a published search that only repeats itself."""
        state = self.state
        state.idle_rounds = 0 if new_rows else state.idle_rounds + 1
        patience = -(-len(state.ratio) // self._settings.k2)
        if state.idle_rounds > patience:
            raise PlatformError(
                f"the published ZIP picked {len(state.picks):,} of the pool's {len(state.ratio):,} rows, and in the "
                f"{state.idle_rounds:,} rounds since then no other row; lower the budget to "
                f"{len(state.picks):,}, or k1 in the profile's `zip`"
            )

    def _save(self) -> None:
        if self._saver is not None:
            self._saver.save_now_and_then(self.state)
