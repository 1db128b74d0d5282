"""Dagster's log of what steps print, with helper processes that stay quiet at Ctrl-C."""

import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

# Not public: Dagster's own log, which it uses by default.
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData


class QuietComputeLogManager(LocalComputeLogManager):
    """Dagster's log in its usual folder.

    Ctrl-C goes to all processes of a terminal, and those that copy a step's output would print tracebacks. They start
    with SIGINT blocked, and end with the step or with the process that runs it.
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
        """Copy what a step prints into files."""
        with ExitStack() as stack:
            # A new process inherits the mask of the thread that starts it.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                captured = stack.enter_context(super().capture_logs(log_key))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            yield captured
