"""Run steps of the graph from a script, in this process.

A Dagster job can only have assets of one partitions definition, and a backfill needs the daemon. This module needs
neither. Its runs are recorded like those of the UI's *Materialize*: as runs of the job with all assets, with the asset
and its partition as the target.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

import dagster as dg

# Not public: `dg.materialize` records a run of a job that no page of the UI shows, and takes no origin.
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from sqlalchemy.exc import DatabaseError

import resources
from assets.record.reuse import FORCE_TAG, Again
from orchestration.graph import Step
from resources import DEFINITIONS, Resources
from resources.kept_records import kept_open
from resources.plain_paths import plain_paths
from resources.read_only_home import can_write, writable_copy
from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

DAGSTER_YAML = Path(resources.__file__).with_name("dagster.yaml")


GPU_POOL = "gpu"
"""Dagster's pool of the steps that want a GPU. Where nothing else is said, one of them runs at a time."""

SCRIPT_TAG = "selection-platform/from-script"
"""Tag of the runs of this module, which end with their process."""

ASSET_TAG = "selection-platform/asset"
"""Tag with the assets of such a run, to filter the list of runs."""

REPOSITORY = "__repository__"
"""Dagster's name for a module's definitions."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
"""Statuses of a run that has a process, or had one that was killed."""


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in a home folder, or create it with the platform's settings.

    For a read-only home it opens a copy, and what is recorded in it is lost.
    """
    with ExitStack() as stack:
        folder = dagster_folder(home)
        if can_write(folder):
            dagster_home(home)
        else:
            # Without the output of steps, which takes the most space and is not read here.
            folder = stack.enter_context(writable_copy(folder, without="storage"))
        plain = stack.enter_context(plain_paths())
        with _damage_named(dagster_folder(home)):
            instance = stack.enter_context(dg.DagsterInstance.from_config(plain(folder)))
            stack.enter_context(kept_open(instance))
            yield instance


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    """Turn an error about damaged records into a message with their path and what to do.

    Raises:
        PlatformError: the records are damaged.
    """
    try:
        yield
    except DatabaseError as error:
        if not re.search("not a database|malformed", str(error.orig)):
            raise
        raise PlatformError(
            f"{folder}: Dagster's records are damaged ({error.orig}); restore the whole home folder from a copy, or "
            "remove it and run again"
        ) from error


def dagster_folder(home: Path) -> Path:
    """The folder of Dagster's records in a home."""
    return home / "dagster"


def dagster_home(home: Path) -> Path:
    """Create the folder for DAGSTER_HOME with its settings file, and return it. Dagster needs its plain path."""
    folder = dagster_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    file, settings = folder / "dagster.yaml", DAGSTER_YAML.read_text(encoding="utf-8")
    if not file.exists() or file.read_text(encoding="utf-8") != settings:
        # Written in one step: other processes may read it at any time, and Dagster uses its defaults if it is empty.
        with whole_file(file) as temporary:
            temporary.write_text(settings, encoding="utf-8")
    return folder


def end_killed_runs(instance: dg.DagsterInstance, of_scripts: bool) -> None:
    """Record killed runs as failed.

    Dagster does not do this: its run launcher for one machine does not watch the processes that it started.

    Args:
        instance: the instance of a home in which no other script runs, or no other UI is open.
        of_scripts: whether to end the runs of scripts, or those that the UI's daemon launched.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=AT_WORK)):
        if (SCRIPT_TAG in run.tags) == of_scripts:
            instance.report_run_failed(run, "The process of this run was killed. The next run continues its work.")
            # The daemon would free its slot in the gpu pool late, and a script not at all.
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def materialize_step(
    step: Step,
    assets: list[dg.AssetsDefinition],
    with_resources: Resources,
    instance: dg.DagsterInstance,
    *,
    again: Again | None = None,
) -> dict[str, object]:
    """Run one step. A step whose result would be the same computes nothing, unless it is to be made `again`.

    Returns:
        The metadata of the materialisations.

    Raises:
        Exception: the error of the asset; the run is recorded as failed.
    """
    job = _job(tuple(assets), with_resources)
    run = instance.create_run_for_job(
        job,
        run_config=QUIET,
        tags={**_tags(step), **({FORCE_TAG: again} if again else {})},
        asset_selection=set(step.asset.keys),
        remote_job_origin=_origin(job.name),
    )
    try:
        result = execute_run(InMemoryJob(job), run, instance, raise_on_error=True)
    except dg.DagsterExecutionInterruptedError as error:
        # Dagster turns Ctrl-C inside a run into this error.
        raise KeyboardInterrupt from error
    metadata: dict[str, object] = {}
    for event in result.get_asset_materialization_events():
        metadata |= {name: value.value for name, value in event.materialization.metadata.items()}
    return metadata


def limit_gpu_steps(instance: dg.DagsterInstance, slots: int) -> None:
    """Let as many steps that want a GPU run at once as there are slots, those of the UI among them."""
    storage = instance.event_log_storage
    limits = {limit.name: limit.limit for limit in storage.get_pool_limits()}
    if limits.get(GPU_POOL, 1) != slots:
        storage.set_concurrency_slots(GPU_POOL, slots)


@lru_cache(maxsize=1)
def _job(assets: tuple[dg.AssetsDefinition, ...], with_resources: Resources) -> dg.JobDefinition:
    """The job that holds every asset. One for all steps of a refresh: to make and describe it takes 0.1 s."""
    definitions = dg.Definitions(assets=assets, resources=with_resources._asdict(), executor=dg.in_process_executor)
    return definitions.resolve_implicit_global_asset_job_def()


def _tags(step: Step) -> dict[str, str]:
    # Without retries: the UI's daemon would repeat a killed run, at the same time as the next run of the command line.
    tags = {SCRIPT_TAG: "true", ASSET_TAG: step.name, "user": "command line", "dagster/max_retries": "0"}
    return tags if step.partition_key is None else {**tags, "dagster/partition": step.partition_key}


def _origin(job: str) -> RemoteJobOrigin:
    """The place of a job, so that the UI shows its runs in the timeline and can run them again."""
    location = RegisteredCodeLocationOrigin(DEFINITIONS)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, REPOSITORY), job)
