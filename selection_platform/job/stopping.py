"""Ends a process when it is told to, whatever it is doing.

SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, so that what is held is given back. That alone is not sure: Dagster
puts handlers of its own in place while it runs a step, and drops what comes while it waits; an exception can be lost in
a library; and none is raised while C code runs. So a thread hears of each signal too, by Python's wake-up descriptor,
and after some seconds ends the process at once. All that is written here survives that (see `manifest`).
"""

import os
import signal
import socket
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what `kill` and service managers send, and a closed terminal."""

PATIENCE = 4.0
"""Seconds from the signal to the end at the latest."""

STOPPED = "stopped; run again to go on"


def exit_status(number: int) -> int:
    """What a shell says of a process that a signal ended."""
    return 128 + number


class Stopping:
    """A block in the main thread that one of the signals ends soon. No error leaves a block that was told to end.

    Attributes:
        signal: the first of the signals that came, if any. It is known for sure when the block has ended.
    """

    signal: int | None = None

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._ended = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        # Ignored since before this process began, as in `nohup` or a script's background job.
        self._heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]

    def __enter__(self) -> "Stopping":
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        # SIGINT in any case: Dagster gives SIGTERM the handler that SIGINT has.
        self._before = {each: signal.signal(each, self._handle) for each in {*self._heeded, signal.SIGINT}}
        os.register_at_fork(
            # A signal to the child waits until the child is no longer taken for this process.
            before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS),
            after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS),
            after_in_child=self._leave_to_parent,
        )
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._ended.set()
        signal.set_wakeup_fd(self._wakeup_before)
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._mouth.close()
        self._listener.join()
        self._ear.close()
        return self.signal is not None

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if number in self._heeded and not self._ended.is_set():
            raise KeyboardInterrupt

    def _listen(self) -> None:
        while told := self._ear.recv(1):
            if self.signal is None and told[0] in self._heeded:
                self.signal = told[0]
                threading.Thread(target=self._end_late, daemon=True).start()

    def _end_late(self) -> None:
        if not self._ended.wait(self._patience):
            # Not by print: the main thread may hold what that needs.
            os.write(2, f"{STOPPED}\n".encode())
            os._exit(exit_status(self.signal or 0))

    def _leave_to_parent(self) -> None:
        """In a forked child: whoever ends it does not mean the parent."""
        if not self._ended.is_set():
            signal.set_wakeup_fd(-1)
            for each in self._heeded:
                signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
