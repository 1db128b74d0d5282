"""What can go wrong that a user can put right. All else is a fault of ours, and keeps its traceback."""

import errno
import re

_OF_THE_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENAMETOOLONG,
    errno.ELOOP, errno.ENOTDIR, errno.EMFILE, errno.ENFILE, errno.ESTALE,
}  # fmt: skip
_OF_THE_MACHINE_IN_WORDS = re.compile(
    r"No space left on device|os error 28|[Dd]isk quota exceeded|os error 122|database or disk is full|"
    r"[Rr]ead-only file system|attempt to write a readonly database|unable to open database file|"
    r"file is not a database|database disk image is malformed|disk I/O error|File name too long"
)
"""How libraries say the same, each by an error of its own: SQLite, Arrow, polars, safetensors, torch."""


class PlatformError(ValueError):
    """Something that a user can put right. The message says what is wrong, where, and what to do.

    A ValueError, because a profile's values are checked with the same functions when they are read, by pydantic, and
    later, when a pool's size is known; and pydantic turns only ValueErrors into messages.
    """


class NotFinite(PlatformError):
    """A model gave NaN or infinity."""


def is_fixable(error: BaseException) -> bool:
    """Whether a user can put right what an error says: a full disk and a missing permission are such things too."""
    if isinstance(error, PlatformError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _OF_THE_MACHINE
    return bool(_OF_THE_MACHINE_IN_WORDS.search(str(error)))


def message_of(error: BaseException) -> str:
    """What is said of an error that a user can put right.

    Ours say it themselves. Of a library's error it is the line that says what the machine refused: others repeat the
    statement or the file's content.
    """
    if isinstance(error, PlatformError | OSError):
        return str(error)
    lines = str(error).splitlines()
    return next((line for line in lines if _OF_THE_MACHINE_IN_WORDS.search(line)), str(error)).strip()
