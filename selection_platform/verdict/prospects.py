"""What becomes of each comparison of a method if seeds are added: is it settled, open, hopeless or out of seeds?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from selection_platform.verdict.chances import HOPELESS, chances
from selection_platform.verdict.looks import Look, Schedule
from selection_platform.verdict.verdicts import Verdict

State = Literal["settled", "open", "hopeless", "out of seeds", "first seeds"]


@dataclass(frozen=True)
class Prospect:
    """One comparison, and the looks to come.

    Attributes:
        verdict: as it stands.
        state: settled; open; hopeless, if no look to come is likely to settle it; out of seeds, if no look is left;
            or first seeds, if the first look waits for its runs.
        later: the looks to come.
        chances: the chance of each that it settles the comparison; empty if the spread of a run is not known.
    """

    verdict: Verdict
    state: State
    later: tuple[Look, ...] = ()
    chances: tuple[float, ...] = ()

    @property
    def best(self) -> float | None:
        """The best chance of a look to come; None if it is not known."""
        return max(self.chances, default=None)


def prospects(verdicts: Iterable[Verdict], schedule: Schedule, margin: float) -> list[Prospect]:
    """The prospects of the methods' comparisons on the primary measure. Controls are not what seeds are added for.

    Args:
        verdicts: all verdicts, by the same schedule.
        schedule: the looks of the arms.
        margin: the difference on the primary measure that is too small to matter, in its unit.
    """
    methods = [each for each in verdicts if each.family == "method" and each.role == "primary"]
    different = sum(each.word in ("better", "worse") for each in methods)
    same = sum(each.word == "same" for each in methods)
    return [_prospect(each, schedule, margin, different, same) for each in methods]


def _prospect(verdict: Verdict, schedule: Schedule, margin: float, different: int, same: int) -> Prospect:
    """Args: as above, and how many of the family are already called different, and the same."""
    numbers, looks = verdict.comparison, schedule.get(verdict.method)
    if verdict.word != "not enough seeds":
        return Prospect(verdict, "settled")
    if looks is None or numbers.look == len(looks.all):
        return Prospect(verdict, "out of seeds")
    if not numbers.look:
        return Prospect(verdict, "first seeds", looks.all)
    later = looks.all[numbers.look :]
    if numbers.standard_error is None or numbers.freedom is None:
        return Prospect(verdict, "open", later)
    found = chances(
        np.array([numbers.difference]),
        np.array([numbers.standard_error]),
        np.array([numbers.freedom]),
        looks.all[numbers.look - 1],
        later,
        margin,
        _steps(numbers.compared or 1, different, same),
    )
    each = tuple(float(chance) for chance in found[:, 0])
    return Prospect(verdict, "hopeless" if max(each) < HOPELESS else "open", later, each)


def _steps(compared: int, different: int, same: int) -> tuple[np.ndarray, np.ndarray]:
    """What Holm multiplies the smallest p-values by that are not settled."""
    return np.array([float(max(1, compared - different))]), np.array([float(max(1, compared - same))])


def counted(prospects: Sequence[Prospect], state: State) -> int:
    """How many comparisons are in a state."""
    return sum(each.state == state for each in prospects)
