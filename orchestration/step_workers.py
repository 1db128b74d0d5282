"""Processes that run steps of a graph side by side. Each imports Dagster and torch once, and keeps a workspace open."""

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import Pipe, connection, set_start_method
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from assets.record.reuse import Again
from orchestration.graph import Step
from orchestration.materialize import end_killed_runs
from orchestration.step_run import run_step
from orchestration.workspace import Workspace, open_workspace
from resources import readers
from resources.kept_writer import kept_writer
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.job.progress_lines import show_progress
from selection_platform.job.slots import threads_of_a_slot
from selection_platform.job.stopping import exit_status
from selection_platform.job.workers import Worker, WorkerKilled

_SECONDS_TO_CLOSE = 5.0
"""Time for an idle worker to close its connections."""

_SECONDS_TO_CANCEL = 3.0
"""Time for workers to cancel what they submitted, less than this process has to end."""

Item = list[tuple[str, Again | None]]
"""Steps that a worker runs one after another, by name, and whether each is made again."""


class StepFault(RuntimeError):
    """An error of a step that is a fault of the platform. Its notes have the worker's traceback."""


class Ran(NamedTuple):
    """What became of a step that a worker ran.

    Attributes:
        step: the step.
        before: the steps that the worker ran before it.
        rows: number of rows that it made; None if it did not say, or failed.
        seconds: wall time.
        error: why it failed; None if it did not.
    """

    step: Step
    before: Sequence[Step]
    rows: int | None
    seconds: float
    error: Exception | None


class StepWorkers:
    """Worker processes for the steps of a workspace. They are started when they are needed, and end with the block.

    What a worker prints goes to standard error, each line with the step that it works on.
    """

    def __init__(self, workspace: Workspace, count: int) -> None:
        """Take the workspace, and how many steps are to run at once."""
        self._workspace, self._count = workspace, count
        self._idle: list[_StepWorker] = []
        self._busy: dict[Any, _StepWorker] = {}

    def __enter__(self) -> "StepWorkers":
        warehouse = self._workspace.resources.warehouse
        if not warehouse.exists():
            # Here, as a worker could otherwise read a catalog of which another has written half.
            with warehouse.write():
                pass
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        # Otherwise the last worker to close the warehouse would leave its log beside the catalog, for this reader.
        readers.close(self._workspace.resources.warehouse.folder)
        if self._busy and self._workspace.profile.jobs.run == "slurm":
            # They cancel their Slurm jobs.
            for worker in self._busy.values():
                worker.process.interrupt()
            until = time.monotonic() + _SECONDS_TO_CANCEL
            for worker in self._busy.values():
                worker.process.wait(max(0.0, until - time.monotonic()))
        for worker in self._busy.values():
            worker.process.end()
        for worker in self._idle:
            worker.process.finish(_SECONDS_TO_CLOSE if error is None else 0.0)
        if self._busy:
            end_killed_runs(self._workspace.instance, of_scripts=True)

    @property
    def at_work(self) -> list[Step]:
        """The steps that are being run."""
        return [worker.step for worker in self._busy.values() if worker.step is not None]

    @property
    def has_room(self) -> bool:
        """Whether one more step can start."""
        return len(self._busy) < self._count

    def start(self, step: Step, before: Sequence[Step], again: Callable[[Step], Again | None]) -> None:
        """Start a step, after those that are to run `before` it. `again` says which of them are made again."""
        worker = self._idle.pop() if self._idle else _StepWorker(self._workspace.profile, self._count)
        worker.begin(step, before, [(str(each), again(each)) for each in (*before, step)])
        self._busy[worker.process.pipe] = worker

    def wait(self) -> list[Ran]:
        """Wait until steps have ended, and say which. Meanwhile, pass on what the workers print."""
        ended: list[_StepWorker] = []
        while not ended:
            of_lines: dict[Any, _StepWorker] = {worker.lines: worker for worker in self._busy.values()}
            for ready in connection.wait([*self._busy, *of_lines]):
                if ready in of_lines:
                    of_lines[ready].pass_on()
                else:
                    ended.append(self._busy[ready])
        for worker in ended:
            del self._busy[worker.process.pipe]
            self._idle.append(worker)
        return [worker.ended() for worker in ended]


class _StepWorker:
    """A process that runs one step after another, and the lines that it prints."""

    def __init__(self, profile: Profile, slots: int) -> None:
        self.step: Step | None = None
        self._before: Sequence[Step] = ()
        self._started, self._begun_line = 0.0, b""
        self.lines, theirs = Pipe(duplex=False)
        os.set_blocking(self.lines.fileno(), False)
        with _in_environment(threads_of_a_slot(slots)):
            self.process = Worker(_opened, (profile, theirs), has_children=True)
        theirs.close()

    def begin(self, step: Step, before: Sequence[Step], item: Item) -> None:
        """Start a step after others; the item names all of them."""
        self.step, self._before, self._started = step, before, time.monotonic()
        # It may have been killed while it was idle, which `ended` says.
        with suppress(ConnectionError):
            self.process.pipe.send(item)

    def ended(self) -> Ran:
        """What became of the step."""
        assert self.step is not None
        rows: int | None = None
        try:
            rows, error = self.process.answer()
        except WorkerKilled:
            error = PlatformError(
                f"{self.step}: its process was killed, most likely because memory ran out; free some memory, or lower "
                "`jobs: slots`, and run again to go on"
            )
        except RuntimeError as fault:
            error = StepFault(f"{self.step}: {fault}")
        # All of it: a step prints nothing after its answer.
        self.pass_on()
        return Ran(self.step, self._before, rows, time.monotonic() - self._started, error)

    def pass_on(self) -> None:
        """Print the lines that the process has printed since, each with its step."""
        with suppress(BlockingIOError):
            while some := os.read(self.lines.fileno(), 65536):
                *whole, self._begun_line = (self._begun_line + some).split(b"\n")
                for line in whole:
                    sys.stderr.write(f"    {self.step}: {line.decode(errors='replace').strip()}\n")
            sys.stderr.flush()


@contextmanager
def _in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let processes that the block starts have variables that are not set here."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def _opened(profile: Profile, lines: Connection) -> Callable[[Item], int | None]:
    """In a worker: open a workspace, and return the function that runs steps."""
    for descriptor in (1, 2):
        os.dup2(lines.fileno(), descriptor)
    lines.close()
    # What a step starts is started as in the parent. Otherwise tqdm's lock is a semaphore with a name, which a worker
    # that is killed leaves behind, and of which multiprocessing warns.
    set_start_method(None, force=True)
    show_progress()
    stack = ExitStack()
    atexit.register(stack.close)
    workspace = stack.enter_context(open_workspace(profile))
    stack.enter_context(kept_writer(workspace.resources.warehouse.folder))
    return partial(_run, workspace, {str(step): step for step in workspace.staleness.graph.steps})


def _run(workspace: Workspace, steps: Mapping[str, Step], item: Item) -> int | None:
    """In a worker: run the steps of an item. Returns the rows of the last one.

    Raises:
        PlatformError: a step failed with an error that the user can fix.
        StepFault: a step failed otherwise. A library's own error may not be one that another process can read.
    """
    rows: int | None = None
    try:
        for name, again in item:
            rows = run_step(workspace, steps[name], again)
    except PlatformError:
        raise
    except KeyboardInterrupt:
        # A signal that somebody sent to this process; Ctrl-C ends the parent.
        os._exit(exit_status(signal.SIGTERM))
    except Exception as error:
        raise StepFault(f"{type(error).__name__}: {error}") from error
    sys.stdout.flush()
    return rows
