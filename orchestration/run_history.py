"""Dagster's records of runs that nothing refers to any more, and deleting them."""

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
"""Seconds to wait for readers of a database before its free pages are left for the next time."""


def old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Ids of the ended runs from which no partition has its content.

    A run stays while one of its materializations has the content that its partition has now: `status`, `lineage` and
    the costs of an arm read these. Those of the newest refresh and of backfills that are not finished stay too.

    Args:
        instance: the Dagster instance.
        before: runs that ended later stay.
    """
    needed = {*_runs_of_content(instance), *_runs_of_backfills(instance)}
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(statuses=ended, updated_before=before))
    return [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in needed]


def _runs_of_content(instance: dg.DagsterInstance) -> Iterator[str]:
    for key in instance.get_asset_keys():
        newest: dict[str | None, str | None] = {}
        for record in materializations(instance, key):
            made = record.asset_materialization
            if made is not None:
                version = data_version_of(made)
                # The newest comes first.
                if newest.setdefault(made.partition, version) == version:
                    yield record.run_id


def _runs_of_backfills(instance: dg.DagsterInstance) -> Iterator[str]:
    """Runs by which it is known what a refresh or a backfill has asked for, and what came of it."""
    backfills = instance.get_backfills(limit=LATEST)
    for each in backfills:
        if each.status.value in GOING_ON:
            yield from instance.get_run_ids(dg.RunsFilter.for_backfill(each.backfill_id))
    # The newest backfill may be that of an earlier refresh: a run of `start_backfill` comes first, and may fail.
    runs = instance.get_runs(dg.RunsFilter(job_name=start_backfill.name), limit=1)
    of_refreshes = [each for each in backfills if REFRESH_TAG in each.tags][:1]
    refreshes = {each.tags[REFRESH_TAG] for each in (*runs, *of_refreshes) if REFRESH_TAG in each.tags}
    if refreshes:
        yield from instance.get_run_ids(dg.RunsFilter(tags={REFRESH_TAG: sorted(refreshes)}))


def files_of_runs(dagster: Path, runs: Collection[str]) -> list[Path]:
    """Folders and files that Dagster keeps for some runs: events and logs.

    Args:
        dagster: the instance's folder.
        runs: ids of runs.
    """
    events = dagster / "history" / "runs"
    # SQLite leaves its log and index beside a file that is deleted while it is open, or whose process was killed.
    endings = (".db", ".db-wal", ".db-shm")
    paths = [path for run in runs for path in (*(events / f"{run}{end}" for end in endings), dagster / "storage" / run)]
    return [path for path in paths if path.exists()]


def bytes_of_runs(dagster: Path, runs: Collection[str]) -> int:
    """Bytes of what Dagster keeps for some runs, without their rows in the tables that all runs share."""
    return sum(map(bytes_of, files_of_runs(dagster, runs)))


def forget_runs(instance: dg.DagsterInstance, dagster: Path, runs: Collection[str]) -> None:
    """Delete Dagster's records of some runs, their events and logs. Killed on the way, the next call deletes the rest.

    Args:
        instance: the Dagster instance.
        dagster: its folder.
        runs: ids of ended runs.
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
        # The UI is open. Free pages are used again, and the next cleaning gives back what is left.
        if "locked" not in str(error):
            raise
    finally:
        connection.close()
