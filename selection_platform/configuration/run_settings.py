"""The parts of a profile that say where jobs run and when runs start."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from selection_platform.configuration.base import Settings

OWN_OPTIONS = {
    "--array", "-a", "--error", "-e", "--job-name", "-J", "--no-requeue", "--ntasks", "-n", "--open-mode", "--output",
    "-o", "--parsable", "--signal", "--wait", "-W", "--wrap",
}  # fmt: skip
"""Options of `sbatch` that the platform relies on."""


class SlurmSettings(Settings):
    """How jobs are submitted to Slurm."""

    options: list[str] = Field(
        default=[],
        description="More options of `sbatch`, such as `--partition=gpu`, `--gpus-per-task=1` and `--time=24:00:00`.",
    )
    prologue: str = Field(
        default="", description="Shell lines that run on the node before each job, such as `module load cuda`."
    )

    @field_validator("options")
    @classmethod
    def _ours_left_alone(cls, options: list[str]) -> list[str]:
        for option in options:
            if option.split("=")[0] in OWN_OPTIONS:
                raise ValueError(f"{option} is set by the platform; leave it out (tasks: `processes` under `jobs:`)")
        return options


class JobSettings(Settings):
    """Where GPU jobs run. Results are the same, except that `processes` changes the last digits of training."""

    run: Literal["in_process", "child", "ray", "slurm"] = Field(
        default="in_process",
        description="Where a job runs: in the process of its step, in a child process, on the Ray cluster that "
        "RAY_ADDRESS names, or as a job of Slurm.",
    )
    processes: int = Field(
        default=1,
        gt=0,
        description="Processes that share a fine-tuning, a scoring pass or an evaluation, one for each GPU.",
    )
    slots: int | None = Field(
        default=None,
        gt=0,
        description="Processes of jobs that may work at once: the number of this machine's GPUs, of which each process "
        "then gets its own; or on a CPU, the number of parts that its cores are divided into. `run` starts as many "
        "steps at once. If left out, it starts one at a time.",
    )

    cpus_per_worker: int = Field(default=1, gt=0, description="Processors of each worker, for `run: ray`.")
    slurm: SlurmSettings = Field(default=SlurmSettings(), description="For `run: slurm`.")

    @model_validator(mode="after")
    def _several_somewhere(self) -> "JobSettings":
        if self.processes > 1 and self.run == "in_process":
            raise ValueError(
                f"processes: {self.processes} need `run: child`, `run: ray` or `run: slurm`; add one of them"
            )
        if self.slots is not None and self.slots < self.processes:
            raise ValueError(
                f"slots: {self.slots} are too few for a job of {self.processes} processes; write at least "
                f"`slots: {self.processes}`, or fewer processes"
            )
        return self


class AutomationSettings(Settings):
    """What the schedules `refresh_nightly` and `verify_nightly` do, once they are turned on."""

    cron: str = Field(
        default="0 2 * * *",
        pattern=r"^\S+( \S+){4}$",
        description="When to look for what is missing or stale, as cron writes it, in UTC.",
    )
    verify_cron: str = Field(
        default="0 0 * * *",
        pattern=r"^\S+( \S+){4}$",
        description="When to read all files and rows and compare them with the records, as cron writes it, in UTC.",
    )
    recompute_on_code_change: bool = Field(
        default=False, description="Whether a GPU step runs again when only its code version changed."
    )
