"""What is due, as a table that a person can read: like partitions and like causes together."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from selection_platform.cli.output import print_table

if TYPE_CHECKING:
    from orchestration.staleness import Due

OF_INPUT = re.compile(r"(?P<asset>\S+) \S+ (?P<what>is new|changed|was removed from the profile)(?P<more>, .*)?")
"""What `Staleness` says of one partition that something is made from."""

MOST_CAUSES = 3


def print_due(due: Iterable["Due"]) -> None:
    """Print one line for all partitions of an asset that are due for the same causes."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for each in due:
        key = each.status, each.step.name, "; ".join(summed(each.causes))
        grouped.setdefault(key, []).append(each.step.partition_key or "")
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
    """A few words for many causes: inputs of one asset that became due alike are counted."""
    counts: dict[str, list[str]] = {}
    for cause in causes:
        found = OF_INPUT.fullmatch(cause)
        counts.setdefault(f"{found['asset']} {found['what']}" if found else cause, []).append(cause)
    few = [alike[0] if len(alike) == 1 else _plural(f"{len(alike):,} of {named}") for named, alike in counts.items()]
    left = len(few) - MOST_CAUSES
    return few if left <= 1 else [*few[:MOST_CAUSES], f"{left} more causes (--json has all)"]


def _plural(text: str) -> str:
    return text.replace(" is ", " are ").replace(" was ", " were ")
