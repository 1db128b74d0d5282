"""Work that several processes of this machine share."""

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from selection_platform.errors import PlatformError
from selection_platform.estimate.machines import cores

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_PROCESSES = 8
"""More would wait for the disk, and for the parent process that collects their results."""


def map_in_processes(
    make: Callable[..., Callable[[Item], Result]], arguments: tuple[Any, ...], items: Sequence[Item]
) -> Generator[Result, None, None]:
    """The results of `make(*arguments)` for each item, in the items' order.

    Each process calls `make` once. With a single item or core, the work is done in this process. The processes end with
    this one, even if it is killed, and as soon as the caller takes no more results.

    Args:
        make: a function of a module. It returns the function that works on an item.
        arguments: arguments of `make`. They are pickled, as are the items and the results.
        items: pieces of work that take much longer than the start of a process, which is about a second.

    Raises:
        PlatformError: a process was killed.
        Exception: whatever the work raises for the first item that it fails for.
    """
    processes = min(cores(), len(items), MOST_PROCESSES)
    if processes < 2:
        yield from map(make(*arguments), items)
        return
    workers: list[Worker] = []
    try:
        workers += (Worker(make, arguments) for _ in range(processes))
        yield from _in_order(workers, items)
    finally:
        for worker in workers:
            worker.end()


class WorkerKilled(PlatformError):
    """A process was killed while it worked."""


class Worker:
    """A process that works on one item at a time.

    Attributes:
        pipe: takes an item, and gives its answer.
    """

    def __init__(
        self, make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...], *, has_children: bool = False
    ) -> None:
        """Start the process. See `map_in_processes`; only if it `has_children` may its work start processes."""
        # Not forked: threads of this process may hold locks. No executor: it leaks semaphores when it is killed.
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=not has_children)
        # Ctrl-C goes to all processes of a terminal. The new one inherits this mask, and ends with its parent.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()

    def answer(self) -> tuple[Any, Exception | None]:
        """The result of the item, or the exception that it raised.

        Raises:
            WorkerKilled: the process was killed.
        """
        try:
            return self.pipe.recv()
        except EOFError:
            self._process.join()
            if self._process.exitcode == -signal.SIGKILL:
                raise WorkerKilled(
                    "a process that worked on a part of the rows was killed, most likely because memory ran out; free "
                    "some memory, or use one core (taskset -c 0), and run again to go on"
                ) from None
            raise RuntimeError(f"a process ended with status {self._process.exitcode}") from None

    def finish(self, patience: float) -> None:
        """Let the idle process end in order; after some seconds, kill it."""
        self.pipe.close()
        self._process.join(patience)
        self.end()

    def interrupt(self) -> None:
        """Tell the process to stop; its work hears of it as of Ctrl-C."""
        self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until the process has ended, for so long at most."""
        self._process.join(seconds)

    def end(self) -> None:
        """Kill the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _in_order(workers: list[Worker], items: Sequence[Any]) -> Iterator[Any]:
    waiting = deque(enumerate(items))
    idle, busy = list(workers), dict[Any, tuple[Worker, int]]()
    answers: dict[int, tuple[Any, Exception | None]] = {}
    for wanted in range(len(items)):
        while wanted not in answers:
            while idle and waiting:
                worker, (number, item) = idle.pop(), waiting.popleft()
                busy[worker.pipe] = worker, number
                worker.pipe.send(item)
            for pipe in connection.wait(list(busy)):
                worker, number = busy.pop(pipe)
                answers[number] = worker.answer()
                idle.append(worker)
        result, error = answers.pop(wanted)
        if error is not None:
            raise error
        yield result


def _serve(pipe: Connection, make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    work: Callable[[Any], Any] | None = None
    # If the parent is gone, nobody is left to report to.
    with suppress(EOFError, ConnectionError):
        while True:
            item = pipe.recv()
            try:
                work = work or make(*arguments)
                answer = work(item), None
            except Exception as error:
                # The parent raises it.
                error.add_note(f"in another process:\n{traceback.format_exc()}")
                answer = None, error
            pipe.send(answer)


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
