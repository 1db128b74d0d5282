"""The outside world of the asset graph: the warehouse, the files beside it, and where jobs run."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from resources.artifact_store import ArtifactStore
from resources.catalog import CATALOG_VARIABLE, SQLITE
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.run_settings import JobSettings
from selection_platform.job.slots import slots_here

DEFINITIONS = "selection_platform.definitions"
"""The module that Dagster loads, and the name of its code location."""


class Resources(NamedTuple):
    """Every resource of the graph, by the name that assets ask for."""

    warehouse: Warehouse
    artifacts: ArtifactStore
    jobs: JobLauncher


def build_resources(home: Path, jobs: JobSettings | None = None) -> Resources:
    """The resources of a home folder.

    SELECTION_PLATFORM_CATALOG says where the warehouse's catalog is. If it is not set, the catalog is in SQLite beside
    the tables.

    Args:
        home: the profile's folder. Its name is also the name of the catalog's schema in PostgreSQL.
        jobs: where jobs run; in the calling process if left out.
    """
    return Resources(
        warehouse=Warehouse(
            folder=str(home / "warehouse"),
            catalog=os.environ.get(CATALOG_VARIABLE) or SQLITE,
            catalog_schema=home.name,
        ),
        artifacts=ArtifactStore(folder=str(home / "artifacts")),
        jobs=_launcher(home, jobs) if jobs else JobLauncher(),
    )


def _launcher(home: Path, jobs: JobSettings) -> JobLauncher:
    return JobLauncher(
        run_in=jobs.run,
        processes=jobs.processes,
        slots=None if jobs.slots is None else slots_here(jobs),
        # Beside the homes, so that profiles share the machine too.
        slots_folder=str(home.parent / ".slots"),
        ray_cpus=jobs.cpus_per_worker,
        slurm_options=shlex.join(jobs.slurm.options),
        slurm_prologue=jobs.slurm.prologue,
    )
