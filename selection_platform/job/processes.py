"""Several processes that share one job: which one this is, and where they wait for each other.

RANK and WORLD_SIZE say so, as torchrun, accelerate and Ray Train set them. A single process waits for nobody and joins
no group.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

Value = TypeVar("Value")

PATIENCE = timedelta(days=7)
"""How long a process waits for the others, which may have one more shard to do. The launcher notices a dead process."""


def process_count() -> int:
    """How many processes share the job."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """This process's number, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this is the process that writes the files that only one process may write."""
    return process_number() == 0


def share_by_slurm() -> None:
    """Take this process's number, and how many share the job, from what `srun` says."""
    for ours, theirs in (("RANK", "SLURM_PROCID"), ("WORLD_SIZE", "SLURM_NTASKS"), ("LOCAL_RANK", "SLURM_LOCALID")):
        os.environ[ours] = os.environ[theirs]


def use_own_gpu() -> None:
    """Let models of this process go to its own GPU, if several processes share the machine."""
    if process_count() == 1:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def wait_for_all() -> None:
    """Wait until every process has called this."""
    if process_count() == 1:
        return
    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=PATIENCE)
    distributed.barrier()


def gathered(value: Value) -> list[Value]:
    """The values of all processes, in the order of their numbers. Every process must call this."""
    values: list[Any] = [value] * process_count()
    if process_count() > 1:
        wait_for_all()
        from torch import distributed

        distributed.all_gather_object(values, value)
    return values


def leave_group() -> None:
    """Leave the group of processes, if this one is in it. Every process must call this when its work is done.

    A process that ends inside the group can be aborted: PyTorch's threads may still hold objects of a Python that is
    gone.
    """
    if process_count() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let the first process run the block before the others, which then find what it wrote."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()
