"""Which part of a pool is scored twice, so that the report can say how many picks of IFD are noise."""

from selection_platform.configuration.profile import Profile

READER = "rescored"
"""Of the rows in `features.answer_likelihood`."""
PART, LEAST, MOST = 20, 50, 1000
"""One in so many samples of a pool is scored again, so many at least, as few differences say little, and at most."""


def is_rescored(profile: Profile) -> bool:
    """Whether a profile's samples are scored again: IFD in float32 is the same in any batch, to the fifth digit."""
    return profile.dtype != "float32" and any((profile.methods[name].wraps or name) == "ifd" for name in profile.arms)
