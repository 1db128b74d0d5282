"""What can go wrong that a user can put right. All else is a fault of ours, and keeps its traceback."""

import errno

_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


class PlatformError(ValueError):
    """Something that a user can put right. The message says what is wrong, where, and what to do.

    A ValueError, because a profile's values are checked with the same functions when they are read, by pydantic, and
    later, when a pool's size is known; and pydantic turns only ValueErrors into messages.
    """


class NotFinite(PlatformError):
    """A model gave NaN or infinity."""


def is_fixable(error: BaseException) -> bool:
    """Whether a user can put right what an error says: a full disk and a missing permission are such things too."""
    return isinstance(error, PlatformError) or (isinstance(error, OSError) and error.errno in _OF_THE_MACHINE)
