"""Ends a process when a signal tells it to, whatever it is doing.

SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, so that locks and files are released. That alone is not reliable:
Dagster installs its own handlers while it runs a step, and drops signals while it waits; a library can swallow the
exception; and none is raised while C code runs. So a thread also hears of each signal, by Python's wake-up descriptor,
and kills the process after some seconds. Everything that the platform writes survives that (see `job.folder`).

Where an exception may do harm, the process ends at once: while a module is imported, where libraries make another error
of it and C++ code may not expect one; and where Python can only print it, as in a destructor.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what `kill` and service managers send, and a closed terminal."""

PATIENCE = 4.0
"""Most seconds from the signal to the end of the process."""

STOPPED = "stopped; run again to go on"


def exit_status(number: int) -> int:
    """The exit status that a shell reports for a process that a signal ended."""
    return 128 + number


class Stopping:
    """A block in the main thread that ends soon after one of the signals. It then suppresses every error.

    Attributes:
        signal: the first signal that came, if any. It is reliable only after the block.
    """

    signal: int | None = None
    _raised: int | None = None
    _active: "Stopping | None" = None

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._ended = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        # Signals that the parent set to be ignored stay ignored, as in `nohup` or a script's background job.
        self._heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def __enter__(self) -> "Stopping":
        # A step may send what it prints to a file, from which a thread copies it: `_end_late` would end that thread.
        self._stderr = os.dup(2)
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        # SIGINT in any case: Dagster gives SIGTERM the handler that SIGINT has.
        self._before = {number: signal.signal(number, self._handle) for number in {*self._heeded, signal.SIGINT}}
        os.register_at_fork(
            # A signal to the child is held back until the child has its own handlers.
            before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS),
            after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS),
            after_in_child=self._leave_to_parent,
        )
        self._hook_before, sys.unraisablehook = sys.unraisablehook, self._not_raised
        self._listener.start()
        Stopping._active = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._ended.set()
        Stopping._active = None
        sys.unraisablehook = self._hook_before
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._mouth.close()
        self._listener.join()
        self._ear.close()
        os.close(self._stderr)
        return self.signal is not None

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if number in self._heeded and not self._ended.is_set():
            if _is_importing(frame):
                self._end(number)
            self._raised = number
            raise KeyboardInterrupt

    def _not_raised(self, lost: "sys.UnraisableHookArgs") -> None:
        """Python calls this with an exception that it cannot raise."""
        if isinstance(lost.exc_value, KeyboardInterrupt) and self._raised is not None:
            self._end(self._raised)
        self._hook_before(lost)

    def _listen(self) -> None:
        while numbers := self._ear.recv(1):
            if self.signal is None and numbers[0] in self._heeded:
                self.signal = numbers[0]
                threading.Thread(target=self._end_late, daemon=True).start()

    def _end_late(self) -> None:
        if not self._ended.wait(self._patience):
            self._end(self.signal or 0)

    def _end(self, number: int) -> NoReturn:
        # Not with print: the main thread may hold its lock.
        os.write(self._stderr, f"{STOPPED}\n".encode())
        os._exit(exit_status(number))

    def _leave_to_parent(self) -> None:
        """In a forked child: a signal to it is not meant for the parent."""
        if not self._ended.is_set():
            signal.set_wakeup_fd(-1)
            for number in self._heeded:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported where a frame is."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


@contextmanager
def heeded() -> Iterator[None]:
    """Give the signals back to the active `Stopping`, if there is one, where Dagster has set handlers of its own.

    Dagster's raise an error in any line, also in the middle of an import.
    """
    stopping = Stopping._active
    if stopping is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stopping._handle) for number in stopping._heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
