"""Every job, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from selection_platform.job.folder import is_complete
from selection_platform.job.spec import AnySpec
from selection_platform.job.versions import COMPUTATIONS

Result = TypeVar("Result")

JOB_NAMES = tuple(sorted(name for name, computation in COMPUTATIONS.items() if computation.job))
"""Names, and not the jobs themselves, because their modules import torch."""


@dataclass(frozen=True)
class Job(Generic[AnySpec, Result]):
    """One kind of job.

    Attributes:
        name: the job's name in commands and records.
        run: does the rest of the job in a folder, and returns its result.
        spec_type: class of its spec.
        identity: what the content of a finished folder depends on, as `open_job_folder` takes it.
        result: reads the result from a finished folder.
        several_processes: whether several processes can share the work.
        by_one_process: for which specs they can not, where they can for others.
    """

    name: str
    run: Callable[[AnySpec, Path], Result]
    spec_type: type[AnySpec]
    identity: Callable[[AnySpec], dict[str, Any]]
    result: Callable[[Path], Result]
    several_processes: bool = False
    by_one_process: Callable[[AnySpec], bool] = lambda _: False

    def can_be_shared(self, spec: AnySpec) -> bool:
        """Whether several processes can share the work of a spec."""
        return self.several_processes and not self.by_one_process(spec)

    def is_complete(self, spec: AnySpec, folder: Path) -> bool:
        """Whether the folder already holds the complete result of this spec."""
        return is_complete(folder, self.identity(spec))


def load_job(name: str) -> Job[Any, Any]:
    """The job with a name in `JOB_NAMES`. This imports its module."""
    return resolve_name(f"selection_platform.{COMPUTATIONS[name].job}:{name.upper()}")
