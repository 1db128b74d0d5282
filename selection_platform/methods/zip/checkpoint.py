"""The state of ZIP's search between two rounds, and the file from which a killed search continues."""

import logging
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 10.0

LIVE, BURNT, PICKED = 0, 1, 2


@dataclass
class SearchState:
    """What a round needs to know about earlier rounds.

    Attributes:
        ratio: last ratio of each row; NaN before the first. Shape (pool,), float64 (float32 in the published search).
        status: LIVE, BURNT or PICKED. Shape (pool,). The published search only distinguishes PICKED from the rest.
        picks: picked rows, each once, in order.
        pick_ratios: for each pick, the ratio with which it was picked.
        anchor: rows in the anchor of step 1: `picks`, and in the published search also their repetitions.
        idle_rounds: rounds since a row was last picked for the first time.
    """

    ratio: NDArray[np.floating]
    status: NDArray[np.uint8]
    picks: list[int]
    pick_ratios: list[float]
    anchor: list[int]
    idle_rounds: int

    @classmethod
    def fresh(cls, rows: int, dtype: type[np.floating]) -> "SearchState":
        """The state before any row is scored."""
        return cls(np.full(rows, np.nan, dtype), np.full(rows, LIVE, np.uint8), [], [], [], 0)


class Saver:
    """Saves the state to a file from time to time.

    Args:
        path: the file.
        identity: identifies the work. A file of other work is not loaded, and is overwritten.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity
        self._last_save = time.monotonic()

    def load(self) -> SearchState | None:
        """The saved state, or None if there is no state of this work.

        Raises:
            PlatformError: the file is not a checkpoint.
        """
        if not self._path.exists():
            return None
        try:
            with np.load(self._path) as saved:
                if str(saved["identity"]) != self._identity:
                    logger.info("%s belongs to other work; starting again", self._path)
                    return None
                return SearchState(
                    saved["ratio"],
                    saved["status"],
                    saved["picks"].tolist(),
                    saved["pick_ratios"].tolist(),
                    saved["anchor"].tolist(),
                    int(saved["idle_rounds"]),
                )
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise PlatformError(
                f"{self._path} is not a checkpoint of ZIP ({error}); delete it to start again"
            ) from error

    def save_now_and_then(self, state: SearchState) -> None:
        """Save if the last save is long enough ago. Call it only between rounds."""
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
                anchor=np.array(state.anchor, np.int64),
                idle_rounds=np.array(state.idle_rounds),
            )
        self._last_save = time.monotonic()
