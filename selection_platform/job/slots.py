"""Slots: what a machine has room for at once. A process of a job takes one, and with it a GPU or a part of the cores.

Each slot is a lock file. The lock is the kernel's: it is gone with whoever held it.
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from selection_platform.configuration.run_settings import JobSettings
from selection_platform.errors import PlatformError
from selection_platform.estimate.machines import cores, devices_here

DEVICES, THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"
_SECONDS_BETWEEN_LOOKS = 0.1

logger = logging.getLogger(__name__)


class Slot(NamedTuple):
    """A slot that is held.

    Attributes:
        number: from 0.
        descriptor: of its lock file. A child that inherits it holds the slot too, until it ends.
    """

    number: int
    descriptor: int


@contextmanager
def slots_held(folder: Path, count: int, wanted: int) -> Iterator[list[Slot]]:
    """Hold some slots for the block: wait until all of them are free.

    Not to be used inside the block: who holds slots and waits for more could wait for ever.

    Args:
        folder: of the lock files, on this machine's disk.
        count: how many slots there are.
        wanted: how many to hold, at most `count`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # One waits at a time: two that each had a part of what they want would wait for each other. Who wants many is
        # not passed by those who want one.
        with (folder / "queue.lock").open("a") as queue:
            fcntl.flock(queue, fcntl.LOCK_EX)
            held = list(islice(_free(stack, folder, range(count)), wanted))
            if len(held) < wanted:
                logger.info("waiting for %d of %d slots", wanted, count)
            while len(held) < wanted:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                others = set(range(count)) - {slot.number for slot in held}
                held += islice(_free(stack, folder, others), wanted - len(held))
        yield sorted(held)


def _free(stack: ExitStack, folder: Path, numbers: Iterable[int]) -> Iterator[Slot]:
    """The free slots among some numbers, each taken when it is asked for."""
    for number in numbers:
        file = (folder / f"{number}.lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            yield Slot(number, stack.enter_context(file).fileno())


def slots_here(jobs: JobSettings) -> int:
    """How many steps of a profile work at once on this machine.

    In the process of its step, a job takes whatever GPU comes first, so steps run one at a time where there is one; and
    more slots than cores would only take turns.
    """
    if jobs.slots is None:
        return 1
    if jobs.slots == 1 or jobs.run != "in_process":
        return jobs.slots
    return 1 if devices_here() is not None else min(jobs.slots, cores())


def own_devices(slots: list[Slot]) -> str:
    """The GPUs of some slots, as CUDA_VISIBLE_DEVICES names them, out of those that this process sees.

    Raises:
        PlatformError: it sees fewer GPUs than there are slots.
    """
    seen = os.environ.get(DEVICES)
    if seen is None:
        return ",".join(str(slot.number) for slot in slots)
    names = [name.strip() for name in seen.split(",")]
    if names[0] in ("", "-1"):
        # No GPU is to be used.
        return seen
    if slots[-1].number >= len(names):
        raise PlatformError(
            f"{DEVICES}={seen} names {len(names)} GPUs, too few for `jobs: slots`; name more, or write "
            f"`slots: {len(names)}`"
        )
    return ",".join(names[slot.number] for slot in slots)


def threads_of_a_slot(slots: int) -> dict[str, str]:
    """The variable for a slot's part of the cores; nothing where there is one slot, or where the user set it."""
    if slots < 2 or THREADS in os.environ:
        return {}
    return {THREADS: str(max(1, cores() // slots))}
