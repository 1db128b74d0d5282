"""Runs jobs in the step's own process, in a child process, or on a Ray or Slurm cluster."""

import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import uuid4

import dagster as dg
from pydantic import Field

from resources.slurm import SlurmJob
from selection_platform.errors import PlatformError
from selection_platform.job.compute import SPENT, Compute, gpu_time_counted
from selection_platform.job.folder import begin_again
from selection_platform.job.integrity import check_files
from selection_platform.job.lock import only_worker
from selection_platform.job.registry import Job
from selection_platform.job.run import ERROR_MARK, first_error
from selection_platform.job.slots import DEVICES, own_devices, slots_held, threads_of_a_slot
from selection_platform.job.spec import AnySpec, Spec, write_spec

# How many processes write to a message reader does not matter here.
warnings.filterwarnings("ignore", "Function `PipesMessageReader.expected_writer_count`", dg.PreviewWarning)

Result = TypeVar("Result")

_FOLDER = "selection-platform/folder"


class JobFailed(PlatformError):
    """A job ended before its folder was complete. The message is the job's own, if it printed one."""


class Hold(NamedTuple):
    """What a job holds while it runs.

    Attributes:
        locks: file descriptors of its folder's lock and of its slots'.
        variables: of its environment, such as its GPUs.
    """

    locks: tuple[int, ...]
    variables: Mapping[str, str]


class JobLauncher(dg.ConfigurableResource):
    """The only way from an asset to a job."""

    run_in: Literal["in_process", "child", "ray", "slurm"] = Field(default="in_process", description="Where jobs run.")
    processes: int = Field(default=1, description="Processes per job, for jobs that several can share.")
    ray_cpus: int = Field(default=1, description="Processors of each worker on a Ray cluster.")
    slurm_options: str = Field(default="", description="More options of `sbatch`, as in a shell.")
    slurm_prologue: str = Field(default="", description="Shell lines that run before a job on Slurm.")
    slots: int | None = Field(default=None, description="Processes of jobs at once; None if the profile says nothing.")
    slots_folder: str = Field(default="", description="Folder of the slots' lock files.")

    def runner(self, context: dg.AssetExecutionContext, job: Job[AnySpec, Result]) -> Callable[[AnySpec, Path], Result]:
        """A function that runs a job as `run` does."""
        return partial(self.run, context, job)

    def run(self, context: dg.AssetExecutionContext, job: Job[AnySpec, Result], spec: AnySpec, folder: Path) -> Result:
        """Do the rest of a job, where the profile says, and return its result.

        If the folder is complete, nothing is started. A job waits until as many slots are free as it has processes, and
        a child has their GPUs and threads. The job's log lines become events of the run. When this process
        ends, however it ends, a child process ends too; its work so far is in the folder, and the next run continues
        it.

        Raises:
            JobFailed: a job outside this process failed, or was killed.
            ChangedFile: the folder was complete, and its files are not what was written.
            Exception: whatever the job raises in this process.
        """
        with only_worker(folder) as lock:
            if self.run_in == "in_process":
                with self._slots_of(1, lock), gpu_time_counted():
                    result = job.run(spec, folder)
                check_files(folder)
                return result
            # Here, as no other process knows of it.
            begin_again(folder)
            # Perhaps it was made while we waited.
            if not job.is_complete(spec, folder):
                self._run_outside(context, job, spec, folder, lock)
                if not job.is_complete(spec, folder):
                    raise JobFailed(f"{folder}: the job ended, and its result is not of these inputs; run again")
            elif self.run_in == "slurm" and (left := self._on_slurm(context, (), folder, 1).left_facts()):
                # It ended after the process that had submitted it.
                self._keep(context, left)
        check_files(folder)
        return job.result(folder)

    def _run_outside(
        self, context: dg.AssetExecutionContext, job: Job[Any, Any], spec: Spec, folder: Path, lock: int
    ) -> None:
        processes = self.processes if job.can_be_shared(spec) else 1
        # A Slurm job that is in the queue reads its spec later, whatever becomes of this process.
        spec_kept = _spec_file(spec, folder, kept=self.run_in == "slurm")
        with self._slots_of(processes, lock) as hold, spec_kept as spec_file:
            command = [sys.executable, "-m", "selection_platform.job", job.name, str(spec_file), str(folder)]
            command += ["--processes", str(processes), "--locked"]
            if self.run_in == "slurm":
                facts = [self._on_slurm(context, command, folder, processes).run(job.identity(spec))]
            elif self.run_in == "ray":
                facts = _run_on_ray(context, [*command, "--on-ray", str(self.ray_cpus)], folder)
            else:
                facts = _run_child(context, command, folder, hold)
            for told in facts:
                self._keep(context, told)

    def _keep(self, context: dg.AssetExecutionContext, facts: dict[str, Any]) -> None:
        """Add what a job told of itself to the step's costs and to the metadata of its assets."""
        SPENT.add(Compute(**facts.pop("compute")))
        for key in context.selected_asset_keys:
            told = {f"job {name}": value for name, value in {"ran in": self.run_in, **facts}.items()}
            context.add_asset_metadata(told, asset_key=key)

    def _on_slurm(
        self, context: dg.AssetExecutionContext, command: Sequence[str], folder: Path, processes: int
    ) -> SlurmJob:
        def log(line: str) -> None:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
            context.log.info(line.strip())

        return SlurmJob(command, folder, processes, shlex.split(self.slurm_options), self.slurm_prologue, log)

    @contextmanager
    def _slots_of(self, processes: int, lock: int) -> Iterator[Hold]:
        """Hold a slot for each process of a job, if the profile says how many there are."""
        if self.slots is None:
            yield Hold((lock,), {})
            return
        with slots_held(Path(self.slots_folder), self.slots, processes) as slots:
            child = self.run_in == "child"
            variables = {DEVICES: own_devices(slots), **threads_of_a_slot(self.slots)} if child else {}
            yield Hold((lock, *(slot.descriptor for slot in slots)), variables)


@contextmanager
def _spec_file(spec: Spec, folder: Path, *, kept: bool) -> Iterator[Path]:
    """The spec as a file beside the folder, where every machine that sees the folder can read it.

    Args:
        spec: the job's spec.
        folder: the job's folder.
        kept: whether the file stays where the block fails.
    """
    file = folder.with_name(f"{folder.name}.spec.json")
    write_spec(spec, file)
    try:
        yield file
    except BaseException:
        if not kept:
            file.unlink()
        raise
    file.unlink()


def _run_child(context: dg.AssetExecutionContext, command: list[str], folder: Path, hold: Hold) -> Sequence[Any]:
    """Run a job's command as a child; gives what it told by Pipes.

    Dagster's own PipesSubprocessClient would leave the child alive when this process is killed, and would report only
    the exit status of a failure.

    Raises:
        JobFailed: it failed.
    """
    reader, injector = dg.PipesTempFileMessageReader(), dg.PipesTempFileContextInjector()
    with dg.open_pipes_session(context, injector, reader) as session:
        with subprocess.Popen(
            [*command, "--with-parent", str(os.getpid())],
            env={**os.environ, **session.get_bootstrap_env_vars(), **hold.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # When this process is killed, the child works on for a moment, and nobody else is to begin.
            pass_fds=hold.locks,
            # Ctrl-C is for this process, which ends the child and says so once.
            start_new_session=True,
        ) as child:
            try:
                lines = _passed_on(child.stdout or ())
                status = child.wait()
            finally:
                child.kill()
        if status != 0:
            raise JobFailed(_message(lines, status))
    return session.get_custom_messages()


def _run_on_ray(context: dg.AssetExecutionContext, command: list[str], folder: Path) -> Sequence[Any]:
    """Run a job's command as a Ray job on the cluster that RAY_ADDRESS names; gives what it told by Pipes.

    Raises:
        JobFailed: it failed, or dagster-ray is not installed.
    """
    try:
        from dagster_ray import PipesRayJobClient  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise JobFailed(
            f"jobs.run is ray, and {error.name} is not installed; install selection-platform[ray]"
        ) from error
    # Workers write their messages to a file: the job's log has only what they print.
    reader = dg.PipesFileMessageReader(str(folder.with_name(f"{folder.name}.messages")))
    client = PipesRayJobClient(message_reader=reader)
    _stop_left_over(client.client, folder)
    name = f"{folder.name}-{uuid4().hex}"
    entrypoint = shlex.join(command)
    try:
        result = client.run(
            context=context,
            submit_job_params={
                "entrypoint": entrypoint,
                "submission_id": name,
                "metadata": {_FOLDER: str(folder)},
            },
        )
    except RuntimeError as error:
        # The error has only a few last lines, and workers may print more after their error.
        raise JobFailed(_message(client.client.get_job_logs(name).splitlines(), 1)) from error
    return result.get_custom_messages()


def _stop_left_over(client: Any, folder: Path) -> None:
    """Stop Ray jobs of a run that was killed: the cluster does not know, and they still write into the folder."""
    for job in client.list_jobs():
        if job.metadata.get(_FOLDER) == str(folder) and not job.status.is_terminal():
            client.stop_job(job.submission_id)
            while not client.get_job_status(job.submission_id).is_terminal():
                time.sleep(1)


def _passed_on(lines: Iterable[str]) -> list[str]:
    """Print a job's lines as they come, and return those that may say why it failed."""
    failures: list[str] = []
    last = deque[str](maxlen=1)
    for line in lines:
        sys.stderr.write(line)
        sys.stderr.flush()
        if ERROR_MARK in line:
            failures.append(line)
        elif line.strip():
            last.append(line)
    return failures or list(last)


def _message(lines: Sequence[str], status: int) -> str:
    """Why a job ended: the first error line of its processes, else the signal that killed it, else its last line."""
    if own := first_error(lines):
        return own
    if status < 0:
        name = signal.Signals(-status).name
        return f"the job was killed ({name}), perhaps because memory ran out; run again to continue where it stopped"
    last = lines[-1].strip() if lines else "it printed nothing"
    return f"the job ended with exit status {status}: {last}"
