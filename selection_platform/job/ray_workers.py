"""Runs a job in workers on a Ray cluster, each with a GPU if the cluster has any.

Ray Train starts them as torchrun would: with ranks, a rendezvous address and a process group.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

# ray is an extra.
import ray  # pyright: ignore[reportMissingImports]
from ray.train import RunConfig, ScalingConfig, WorkerGroupError  # pyright: ignore[reportMissingImports]
from ray.train.torch import TorchConfig, TorchTrainer  # pyright: ignore[reportMissingImports]

from selection_platform.errors import PlatformError
from selection_platform.job.processes import PATIENCE


class WorkerFailed(PlatformError):
    """A worker ended before the job was complete."""


def run_workers(job: str, spec_file: Path, folder: Path, workers: int) -> None:
    """Run a job to its end. Model, data and folder must have the same paths on every machine of the cluster.

    Raises:
        WorkerFailed: a worker failed; the message is the last line of its error.
    """
    ray.init(logging_level=logging.WARNING)
    # Ray keeps a record of each run; nothing reads it after the run.
    record = folder.with_name(f"{folder.name}.ray")
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job, "spec_file": str(spec_file), "folder": str(folder)},
        torch_config=TorchConfig(timeout_s=int(PATIENCE.total_seconds())),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=ray.cluster_resources().get("GPU", 0) > 0),
        run_config=RunConfig(name=job, storage_path=str(record)),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        first = min(error.worker_failures)
        raise WorkerFailed(str(error.worker_failures[first]).strip().splitlines()[-1]) from error
    finally:
        shutil.rmtree(record, ignore_errors=True)


def _work(arguments: dict[str, Any]) -> None:
    """Run the job in one worker."""
    from selection_platform.job.run import run_job

    run_job(arguments["job"], Path(arguments["spec_file"]), Path(arguments["folder"]))
