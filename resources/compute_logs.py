"""Dagster's log of what steps print, copied by a thread of their process."""

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

import dagster as dg

# Not public: Dagster's own log, which it uses by default, and its parts.
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file

_SECONDS_BETWEEN_LOOKS = 0.2


class QuietComputeLogManager(LocalComputeLogManager):
    """Dagster's log in its usual folder.

    Dagster starts four processes for each step to copy what it prints to the terminal. They take longer than a light
    step, and at Ctrl-C, which goes to all processes of a terminal, they print tracebacks.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """It has no settings."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "QuietComputeLogManager":
        """Build it from Dagster's settings file."""
        return cls(base_dir="", inst_data=inst_data)

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Use the instance's folder, as Dagster's default does: the settings file does not name it."""
        super().register_instance(instance)
        self._base_dir = str(Path(instance.root_directory) / "storage")

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        """Let what a step prints go to files, and from there to where it would have gone."""
        with ExitStack() as stack:
            for kind, stream in ((ComputeIOType.STDOUT, sys.stdout), (ComputeIOType.STDERR, sys.stderr)):
                file = self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
                ensure_file(file)
                stack.enter_context(_copied(Path(file), stream))
                stack.enter_context(redirect_to_file(stream, file))
            yield CapturedLogContext(log_key)
        # Dagster's sign that nothing will be added.
        touch_file(self.complete_artifact_path(log_key))


@contextmanager
def _copied(file: Path, stream: IO[str]) -> Iterator[None]:
    """Within the block, copy what is added to a file to where a stream leads before it is redirected."""
    try:
        target = os.dup(stream.fileno())
    except OSError:
        # It is no file, as in tests: Dagster redirects none of these.
        yield
        return
    ended = Event()
    with file.open("rb") as added:
        added.seek(0, os.SEEK_END)

        def copy() -> None:
            # Who read it may have stopped, as `head` does; the file has all of it.
            with suppress(BrokenPipeError), os.fdopen(target, "wb") as to:
                last = False
                while not last:
                    last = ended.wait(_SECONDS_BETWEEN_LOOKS)
                    to.write(added.read())
                    to.flush()

        thread = Thread(target=copy, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
