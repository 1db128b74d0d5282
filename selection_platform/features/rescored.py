"""Which part of a pool is scored twice, so that the report can say how many picks of IFD are noise."""

import math

from selection_platform.configuration.profile import Profile

READER = "rescored"
"""The reader of these rows in `features.answer_likelihood`."""
PART, LEAST, MOST = 20, 50, 1000
"""One in PART samples of a pool is scored again: at least LEAST, as few differences say little, and at most MOST."""


def is_rescored(profile: Profile) -> bool:
    """Whether a profile's samples are scored again: IFD in float32 is the same in any batch, to the fifth digit."""
    return profile.dtype != "float32" and "ifd" in profile.arms


def rescored_samples(pool: int) -> int:
    """How many samples of a pool of this size are scored again.

    Half of it at most: a pool that fits one batch would make the same batch again.
    """
    return min(MOST, math.ceil(pool / 2), max(LEAST, math.ceil(pool / PART)))
