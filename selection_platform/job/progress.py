"""Progress of long work: a bar on a terminal, a log line now and then elsewhere.

Dagster shows the log lines of this package as events of the run (`python_logs` in the instance's settings),
so the library needs no callback to report to it.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from selection_platform.text.numbers import duration

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts finished units of one piece of work."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0
        self._started = time.monotonic()
        self._bar = tqdm(total=total, desc=label, unit=unit, disable=None, leave=False)
        self._last_line = time.monotonic()

    def advance(self, units: int = 1) -> None:
        """Add `units` finished units."""
        self.done += units
        self._bar.update(units)
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            of_total = f" of {self.total:,}" if self.total is not None else ""
            logger.info("%s: %s%s %s%s", self.label, f"{self.done:,}", of_total, self.unit, self._left(now))

    def _left(self, now: float) -> str:
        """The time left, if the rest takes as long a unit as what is done."""
        if self.total is None or not 0 < self.done < self.total:
            return ""
        return f", {duration((now - self._started) / self.done * (self.total - self.done))} left"

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


@contextmanager
def progress(label: str, total: int | None, unit: str) -> Iterator[Progress]:
    """Report progress of the work inside the `with` block.

    Args:
        label: what is being done, in everyday words.
        total: number of units in all, or None if it is not known beforehand.
        unit: the plural of what is counted, such as "samples".
    """
    counter = Progress(label, total, unit)
    try:
        yield counter
    finally:
        counter.close()
