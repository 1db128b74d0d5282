"""The parts of a profile that say where jobs run and when runs start."""

from typing import Literal

from pydantic import Field, model_validator

from selection_platform.configuration.base import Settings


class JobSettings(Settings):
    """Where GPU jobs run. Results are the same, except that `processes` changes the last digits of training."""

    run: Literal["in_process", "child", "ray"] = Field(
        default="in_process",
        description="Where a job runs: in the process of its step, in a child process, or on the Ray cluster that "
        "RAY_ADDRESS names.",
    )
    processes: int = Field(
        default=1, gt=0, description="Processes that share a fine-tuning or a scoring pass, one for each GPU."
    )
    slots: int | None = Field(
        default=None,
        gt=0,
        description="Processes of jobs that may work at once: the number of this machine's GPUs, of which each process "
        "then gets its own; or on a CPU, the number of parts that its cores are divided into. `run` starts as many "
        "steps at once. If left out, it starts one at a time.",
    )

    @model_validator(mode="after")
    def _several_somewhere(self) -> "JobSettings":
        if self.processes > 1 and self.run == "in_process":
            raise ValueError(f"processes: {self.processes} need `run: child` or `run: ray`; add one of them")
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
