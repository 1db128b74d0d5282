"""Several processes at one job: which of them this one is, and where they wait for each other.

They are told by RANK and WORLD_SIZE, as torchrun, accelerate and Ray Train set them. One process alone waits for
nobody and joins nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

Value = TypeVar("Value")

PATIENCE = timedelta(days=7)
"""How long a process waits for the others: one may have a shard more to do. Who started them notices a dead one."""


def process_count() -> int:
    """How many processes share the job."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """This process's number, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this is the process that writes what only one may write."""
    return process_number() == 0


def use_own_gpu() -> None:
    """Make this process's GPU the one that models go to: each of several on a machine has its own."""
    if process_count() == 1:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def wait_for_all() -> None:
    """Go on when every process is here."""
    if process_count() == 1:
        return
    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=PATIENCE)
    distributed.barrier()


def gathered(value: Value) -> list[Value]:
    """The values that the processes have, in the order of their numbers. All must ask for them."""
    values: list[Any] = [value] * process_count()
    if process_count() > 1:
        wait_for_all()
        from torch import distributed

        distributed.all_gather_object(values, value)
    return values


@contextmanager
def first_process_first() -> Iterator[None]:
    """The others enter when the first has left, and find what it made."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()
