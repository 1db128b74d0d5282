"""A short table of what is due, with similar partitions and causes grouped."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from selection_platform.cli.output import print_table

if TYPE_CHECKING:
    from orchestration.staleness import Due

OF_INPUT = re.compile(
    r"(?P<asset>\S+) \S+ (?P<what>is new|changed|is read no longer|was removed from the profile)(?P<more>, .*)?"
)
"""A cause from `Staleness` that names one input."""

MOST_CAUSES = 3


def print_due(due: Iterable["Due"]) -> None:
    """Print one line per asset, status and causes."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for one in due:
        key = one.status, one.step.name, "; ".join(summed(one.causes))
        grouped.setdefault(key, []).append(one.step.partition_key or "")
    print_table(
        ["", "asset", "partitions", "why"],
        [
            [status, asset, partitions[0] if len(partitions) == 1 else f"{len(partitions):,}", why]
            for (status, asset, why), partitions in grouped.items()
        ],
        text=range(4),
        wraps=True,
    )


def summed(causes: Sequence[str]) -> list[str]:
    """A summary of causes that counts the inputs of one asset with the same change."""
    counts: dict[str, list[str]] = {}
    for cause in causes:
        match = OF_INPUT.fullmatch(cause)
        counts.setdefault(f"{match['asset']} {match['what']}" if match else cause, []).append(cause)
    few = [alike[0] if len(alike) == 1 else _plural(f"{len(alike):,} of {named}") for named, alike in counts.items()]
    left = len(few) - MOST_CAUSES
    return few if left <= 1 else [*few[:MOST_CAUSES], f"{left} more causes (--json has all)"]


def _plural(text: str) -> str:
    return text.replace(" is ", " are ").replace(" was ", " were ")
