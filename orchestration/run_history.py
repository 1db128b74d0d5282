"""Dagster's records of old runs that nothing refers to, and their deletion."""

import shutil
import sqlite3
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg

from assets.record.provenance import data_version_of, materializations
from orchestration.automation import GOING_ON, LATEST, REFRESH_TAG, start_backfill
from orchestration.disk_usage import bytes_of
from resources.kept_records import forget

VACUUM_WAITS = 5.0
"""Seconds to wait for readers of a database before its free pages are left to the next cleaning."""


def old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Ids of the finished runs that no partition has its current content from.

    A run is kept while a partition has the content of one of its materializations: `status`, `lineage` and the costs of
    an arm read these. The runs of the newest refresh and of unfinished backfills are kept too.

    Args:
        instance: the Dagster instance.
        before: runs that ended later are kept.
    """
    needed = {*_runs_of_content(instance), *_runs_of_backfills(instance)}
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(statuses=ended, updated_before=before))
    return [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in needed]


def _runs_of_content(instance: dg.DagsterInstance) -> Iterator[str]:
    for key in instance.get_asset_keys():
        newest: dict[str | None, str | None] = {}
        for record in materializations(instance, key):
            materialization = record.asset_materialization
            if materialization is not None:
                version = data_version_of(materialization)
                # The newest comes first.
                if newest.setdefault(materialization.partition, version) == version:
                    yield record.run_id


def _runs_of_backfills(instance: dg.DagsterInstance) -> Iterator[str]:
    """The runs of the newest refresh and of unfinished backfills, which record what these requested and its outcome."""
    backfills = instance.get_backfills(limit=LATEST)
    for backfill in backfills:
        if backfill.status.value in GOING_ON:
            yield from instance.get_run_ids(dg.RunsFilter.for_backfill(backfill.backfill_id))
    # The newest backfill may be of an earlier refresh: a run of `start_backfill` comes first, and may fail.
    runs = instance.get_runs(dg.RunsFilter(job_name=start_backfill.name), limit=1)
    of_refreshes = [backfill for backfill in backfills if REFRESH_TAG in backfill.tags][:1]
    refreshes = {record.tags[REFRESH_TAG] for record in (*runs, *of_refreshes) if REFRESH_TAG in record.tags}
    if refreshes:
        yield from instance.get_run_ids(dg.RunsFilter(tags={REFRESH_TAG: sorted(refreshes)}))


def files_of_runs(dagster: Path, runs: Collection[str]) -> list[Path]:
    """The folders and files of some runs: their events and logs.

    Args:
        dagster: the instance's folder.
        runs: ids of runs.
    """
    events = dagster / "history" / "runs"
    # SQLite leaves a log and an index if a file is deleted while it is open, or its process was killed.
    endings = (".db", ".db-wal", ".db-shm")
    paths = [path for run in runs for path in (*(events / f"{run}{end}" for end in endings), dagster / "storage" / run)]
    return [path for path in paths if path.exists()]


def bytes_of_runs(dagster: Path, runs: Collection[str]) -> int:
    """The bytes of the files of some runs, without their rows in the tables that all runs share."""
    return sum(map(bytes_of, files_of_runs(dagster, runs)))


def forget_runs(instance: dg.DagsterInstance, dagster: Path, runs: Collection[str]) -> None:
    """Delete the records, events and logs of some runs. If this is killed, the next call deletes the rest.

    Args:
        instance: the Dagster instance.
        dagster: its folder.
        runs: ids of finished runs.
    """
    for run in runs:
        instance.delete_run(run)
        forget(instance, run)
        for path in files_of_runs(dagster, [run]):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    if runs:
        for database in (dagster / "history" / "runs.db", dagster / "history" / "runs" / "index.db"):
            _give_back_free_pages(database)


def _give_back_free_pages(database: Path) -> None:
    connection = sqlite3.connect(database, timeout=VACUUM_WAITS)
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        # The UI is open. SQLite uses free pages again, and the next cleaning gives back what is left.
        if "locked" not in str(error):
            raise
    finally:
        connection.close()
