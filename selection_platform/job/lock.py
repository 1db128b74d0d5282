"""One process at a time works in a job's folder. The lock is the kernel's: it is gone with whoever held it."""

import fcntl
import functools
import inspect
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from selection_platform.job.folder import put_back

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def lock_file(folder: Path) -> Path:
    """The file that is locked. It lies beside the folder, which is moved and removed while somebody works there."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def only_worker(folder: Path) -> Iterator[int]:
    """Work in a folder alone; where somebody else does, say who and wait until they are done.

    A block that fails puts back what `made_again` had put aside.

    Not to be used for the same folder again inside the block: it would wait for itself.

    Args:
        folder: of a job. It need not be there yet.

    Yields:
        The lock's file descriptor. A child that inherits it holds the lock too, until it ends.
    """
    path = lock_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("waiting for %s: %s", folder, _holder(path))
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}))
        file.flush()
        try:
            yield file.fileno()
        except BaseException:
            # Before the lock is let go: whoever waits for it works there at once.
            put_back(folder)
            raise


def _holder(path: Path) -> str:
    """Who holds a lock, in words."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return f"process {held['pid']} on {held['host']} has worked there since {held['since']}"
    except ValueError:
        # It has just begun, and not said so yet.
        return "another process works there"


def alone_in_folder(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorates a function that works in its argument `folder`: it is run by one process at a time."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with only_worker(signature.bind(*args, **kwargs).arguments["folder"]):
            return function(*args, **kwargs)

    return run
