"""How long steps will take, from the times of earlier runs, or by arithmetic where that is given."""

from collections.abc import Callable, Iterable
from statistics import fmean
from typing import NamedTuple

from assets.record.cost_ledger import Entry
from orchestration.graph import Step


class Expected(NamedTuple):
    """The expected time of some steps.

    Attributes:
        seconds: wall time of the steps whose asset was materialised before, or whose arithmetic is known.
        unknown: number of the other steps.
    """

    seconds: float
    unknown: int


Times = dict[str, dict[str | None, float]]
"""Wall times by asset and partition, in seconds."""


FIRM = 60.0
"""Seconds as foreseen that the pace of a run begins with: a slow start of small steps does not multiply hours."""


class ExpectedTime:
    """Expected times of steps: each partition's longest time, because a run that finds finished files takes no time."""

    def __init__(
        self, ledger: Iterable[Entry] = (), by_arithmetic: Callable[[Step], float | None] = lambda _: None
    ) -> None:
        """Take the entries of the cost ledger, and a function for the seconds of a step whose asset never ran."""
        self._by_arithmetic = by_arithmetic
        self._before: Times = {}
        self._now: Times = {}
        self._spent = self._foreseen = 0.0
        for entry in ledger:
            _add(self._before, entry.asset, entry.partition, float(entry.cost["wall_seconds"]))

    def add(self, step: Step, seconds: float) -> None:
        """Add the time of a finished step. Its ratio to the earlier time scales the expected time of other steps."""
        before = _of(self._before, step)
        if before is not None:
            self._foreseen += before
            self._spent += seconds
        names = [key.to_user_string() for key in step.asset.keys]
        for name in names:
            _add(self._now, name, step.partition_key, seconds / len(names))

    def of(self, steps: Iterable[Step]) -> Expected:
        """The expected time of steps, one after another: from the same partition, else from the asset's others."""
        pace = (self._spent + FIRM) / (self._foreseen + FIRM)
        seconds = [self._expected(step, pace) for step in steps]
        known = [value for value in seconds if value is not None]
        return Expected(sum(known), len(seconds) - len(known))

    def _expected(self, step: Step, pace: float) -> float | None:
        before = _of(self._before, step)
        if before is not None:
            return before * pace
        now = _of(self._now, step)
        return self._by_arithmetic(step) if now is None else now


def _add(times: Times, asset: str, partition: str | None, seconds: float) -> None:
    longest = times.setdefault(asset, {})
    longest[partition] = max(seconds, longest.get(partition, 0.0))


def _of(times: Times, step: Step) -> float | None:
    total = 0.0
    for key in step.asset.keys:
        partitions = times.get(key.to_user_string())
        if not partitions:
            return None
        total += partitions.get(step.partition_key, fmean(partitions.values()))
    return total
