"""Which of Dagster's runs are forgotten: none that a refresh or a backfill still needs."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from orchestration.automation import REFRESH_TAG, start_backfill
from orchestration.run_history import old_runs

LATER = datetime.now(UTC) + timedelta(days=1)


@dg.job
def other():
    """A run that makes no partition."""


def run(instance, job=other, **tags):
    config = {"ops": {"launch_backfill": {"config": {"partitions": {}}}}} if job is start_backfill else {}
    ended = instance.create_run_for_job(job, run_config=config, status=dg.DagsterRunStatus.FAILURE, tags=tags)
    return ended.run_id


def backfill(instance, name, status, **tags):
    instance.add_backfill(PartitionBackfill(name, status, False, tags, 0.0))
    return run(instance, **{"dagster/backfill": name}, **tags)


def test_the_runs_of_the_newest_refresh_stay():
    with dg.DagsterInstance.ephemeral() as instance:
        failed = run(instance)
        first, second = {REFRESH_TAG: "2030-01-01 02.00"}, {REFRESH_TAG: "2030-01-02 02.00"}
        of_first = [run(instance, start_backfill, **first)]
        of_first.append(backfill(instance, "one", BulkActionStatus.COMPLETED_FAILED, **first))
        assert old_runs(instance, LATER) == [failed]
        # It has no backfill yet: what goes on by itself is the first.
        run(instance, start_backfill, **second)
        assert old_runs(instance, LATER) == [failed]
        backfill(instance, "two", BulkActionStatus.COMPLETED_SUCCESS, **second)
        assert set(old_runs(instance, LATER)) == {failed, *of_first}


def test_the_runs_of_a_backfill_stay_until_it_is_finished():
    with dg.DagsterInstance.ephemeral() as instance:
        backfill(instance, "going on", BulkActionStatus.REQUESTED)
        done = backfill(instance, "done", BulkActionStatus.COMPLETED_SUCCESS)
        assert old_runs(instance, LATER) == [done]
