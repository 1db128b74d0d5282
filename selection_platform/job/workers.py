"""Work that several processes of this machine share."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_PROCESSES = 8
"""More would wait for the disk, and for the process that they report to."""

_work: Callable[[Any], Any] | None = None


def map_in_processes(
    make: Callable[..., Callable[[Item], Result]], arguments: tuple[Any, ...], items: Sequence[Item]
) -> Iterator[Result]:
    """The results of `make(*arguments)` for each item, in the items' order.

    Each process calls `make` once. One item, or one core, is worked on in this process. The processes end with it, also
    where it is killed.

    Args:
        make: a function of a module, which gives what is done with an item.
        arguments: of `make`; they are pickled, as the items and the results are.
        items: pieces of work that take long beside the start of a process, which is about a second.

    Raises:
        Exception: whatever the work raises for the first item that it fails for.
    """
    processes = min(len(os.sched_getaffinity(0)), len(items), MOST_PROCESSES)
    if processes < 2:
        yield from map(make(*arguments), items)
        return
    # Not forked: threads of this process may hold locks.
    with ProcessPoolExecutor(processes, get_context("spawn"), _set_up, (make, arguments)) as executor:
        yield from executor.map(_apply, items)


def _set_up(make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _work
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _work = make(*arguments)


def _end_with_the_parent() -> None:
    # A worker holds both ends of its queue, so it would wait for work for ever.
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _apply(item: Any) -> Any:
    assert _work is not None
    return _work(item)
