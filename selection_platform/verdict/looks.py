"""When a comparison is looked at while seeds are added, and how much of the 5% each look may spend.

The looks are fixed before the runs: each has a number of seeds of the arm and of random, whatever the results are. A
look may spend a share of the error rate, and the shares add up to 1 (alpha spending, Lan and DeMets, Biometrika 70,
1983, with the power family of Kim and DeMets, Biometrika 74, 1987). By Bonferroni's inequality the error rate then
holds over all looks, wherever one stops, with no assumption on how looks depend on each other.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from selection_platform.configuration.arm_settings import ArmSettings

EXPONENT = 3
"""Of the power family: what is spent up to a look is its share of the last look's information, to this power.

Early looks, which have few degrees of freedom and see little, then cost little.
"""


class Look(NamedTuple):
    """One look at a comparison.

    Attributes:
        arm_runs: seeds of the arm that it uses, the first in their order.
        random_runs: seeds of random.
        share: of the error rate that it may spend, above 0.
    """

    arm_runs: int
    random_runs: int
    share: float


@dataclass(frozen=True)
class Looks:
    """The looks at the comparisons of an arm.

    Attributes:
        arm: seeds of the arm, in the order in which they are made.
        random: seeds of random.
        all: the looks, at least two; each has more runs than the one before.
    """

    arm: tuple[int, ...]
    random: tuple[int, ...]
    all: tuple[Look, ...]

    def so_far(self, arm: Collection[int], random: Collection[int]) -> int:
        """How many looks have all their runs.

        Args:
            arm: seeds of the arm that have a result.
            random: seeds of random that have one.
        """
        known, known_random = _first_missing(self.arm, arm), _first_missing(self.random, random)
        return sum(look.arm_runs <= known and look.random_runs <= known_random for look in self.all)


Schedule = Mapping[str, Looks]
"""The looks by arm. Arms that are looked at once, because no seeds are added, are not in it."""


def schedule(arms: Mapping[str, ArmSettings], still: Collection[str] = ("base",)) -> Schedule:
    """The looks of a profile's arms; empty where no seeds are added.

    Args:
        arms: by name.
        still: the arms whose runs do not vary.
    """
    random = arms.get("random")
    if random is None:
        return {}
    found = {name: _looks(arm, random, varies=name not in still) for name, arm in arms.items() if name != "random"}
    return {name: looks for name, looks in found.items() if len(looks.all) > 1}


def _looks(arm: ArmSettings, random: ArmSettings, *, varies: bool) -> Looks:
    """Each look has at least one more seed of the arm or of random, and both reach their last seed together."""
    of_arm, of_random = arm.all_seeds, random.all_seeds
    first, first_random = len(arm.first_seeds), len(random.first_seeds)
    more, more_random = len(of_arm) - first, len(of_random) - first_random
    steps = max(more, more_random)
    sizes = [
        (first + math.ceil(step * more / max(steps, 1)), first_random + math.ceil(step * more_random / max(steps, 1)))
        for step in range(steps + 1)
    ]
    information = [1 / ((1 / n if varies else 0) + 1 / m) for n, m in sizes]
    spent = [(each / information[-1]) ** EXPONENT for each in information]
    shares = [now - before for now, before in zip(spent, [0.0, *spent], strict=False)]
    return Looks(of_arm, of_random, tuple(Look(*size, share) for size, share in zip(sizes, shares, strict=True)))


def _first_missing(seeds: tuple[int, ...], known: Collection[int]) -> int:
    """How many seeds from the first one on are known."""
    return next((place for place, seed in enumerate(seeds) if seed not in known), len(seeds))
