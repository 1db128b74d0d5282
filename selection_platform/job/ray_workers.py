"""Runs a job in workers on a Ray cluster, each with a GPU if the cluster has any.

Ray Train starts them as torchrun would: with ranks, a rendezvous address and a process group. If one is lost, with its
node or because memory ran out, all start again and go on from the folder. Ray's own `max_failures` would also repeat a
job that fails by an error of its own.
"""

import logging
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# ray is an extra.
import ray  # pyright: ignore[reportMissingImports]
from ray.train import RunConfig, ScalingConfig, WorkerGroupError  # pyright: ignore[reportMissingImports]
from ray.train.torch import TorchConfig, TorchTrainer  # pyright: ignore[reportMissingImports]

from selection_platform.errors import PlatformError
from selection_platform.job.processes import PATIENCE

MOST_LOST = 3
"""How often workers start again after one was lost."""


class WorkerFailed(PlatformError):
    """A worker ended before the job was complete, or the cluster has too few devices."""


def run_workers(job: str, spec_file: Path, folder: Path, workers: int, cpus: int) -> None:
    """Run a job to its end. Model, data and folder must have the same paths on every machine of the cluster.

    Args:
        job: the job's name.
        spec_file: its spec.
        folder: its folder.
        workers: how many share it.
        cpus: processors of each.

    Raises:
        WorkerFailed: a worker failed, and the message is the last line of its error; several were lost; or the cluster
            has too few GPUs or processors.
    """
    ray.init(logging_level=logging.WARNING)
    has = ray.cluster_resources()
    use_gpu = has.get("GPU", 0) > 0
    _check_enough(has, workers, {"CPU": cpus, **({"GPU": 1} if use_gpu else {})})
    # Ray keeps a record of each run; nothing reads it after the run.
    record = folder.with_name(f"{folder.name}.ray")
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job, "spec_file": str(spec_file), "folder": str(folder)},
        torch_config=TorchConfig(timeout_s=int(PATIENCE.total_seconds())),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu, resources_per_worker={"CPU": cpus}),
        run_config=RunConfig(name=job, storage_path=str(record)),
    )
    try:
        _fit(trainer)
    finally:
        shutil.rmtree(record, ignore_errors=True)


def _fit(trainer: TorchTrainer) -> None:
    for lost in range(MOST_LOST + 1):
        try:
            trainer.fit()
        except WorkerGroupError as error:
            failures = [error.worker_failures[rank] for rank in sorted(error.worker_failures)]
            own = [failure for failure in failures if not _is_loss(failure)]
            if own or lost == MOST_LOST:
                raise WorkerFailed(str((own or failures)[0]).strip().splitlines()[-1]) from error
            # Into the job's log: its events come from the workers.
            sys.stderr.write("a worker was lost; all start again, and go on from the folder\n")
        else:
            return


def _is_loss(failure: Exception) -> bool:
    """Whether a worker is gone, or could not reach another one: Ray may hear of this first."""
    text = str(failure)
    # The job's own errors come with their traceback.
    return not text.startswith("Traceback") or any(word in text for word in ("gloo/transport", "NCCL error"))


def _check_enough(has: Mapping[str, float], workers: int, each: Mapping[str, int]) -> None:
    """Raise WorkerFailed if the cluster has too little for all workers at once: Ray would wait for more in silence."""
    for name, needed in each.items():
        if has.get(name, 0) < needed * workers:
            raise WorkerFailed(
                f"the Ray cluster has {has.get(name, 0):g} {name}s, and {workers} workers need {needed * workers}; "
                f"lower `processes`{' or `cpus_per_worker`' if name == 'CPU' else ''} under `jobs:`, or add machines"
            )


def _work(arguments: dict[str, Any]) -> None:
    """Run the job in one worker."""
    from selection_platform.job.run import run_job

    run_job(arguments["job"], Path(arguments["spec_file"]), Path(arguments["folder"]))
