"""The schedule and sensors of the daemon: they show what is due, start it at night, and read changed pools again.

Only `Staleness` knows what is due: Dagster's own conditions know no settings. A tick requests a run of the job
`start_backfill`. Its configuration names the partitions, so that "Preview tick result" in the UI shows them before
anything starts. The run launches a Dagster backfill, which goes upstream first.

A partition downstream of a change is not queued until the change has reached its inputs: `refresh_continues` looks
again when the backfill has ended.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from assets.record.catalog_age import check_catalog
from orchestration.due_sensor import due_sensor
from orchestration.materialize import AT_WORK, SCRIPT_TAG
from orchestration.run_lock import AnotherRun, only_run
from orchestration.source_sensor import source_sensor
from orchestration.staleness import Due, Staleness
from resources import build_resources
from selection_platform.configuration.profile import Profile, home

REFRESH_TAG = "selection-platform/refresh"
"""Tag with the refresh that a backfill and its runs belong to: the time of the schedule's tick."""

GOING_ON = {"REQUESTED", "CANCELING", "FAILING"}
UNFINISHED = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, *AT_WORK]
LATEST = 25
"""Number of backfills to look at, newest first."""

ALL_IS_MADE = dg.SkipReason("Nothing is due, except what is left to the user.")
LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on Error { message }
  }
}
"""


FindSteps = Callable[[dg.DagsterInstance], list[Due]]


class BackfillConfig(dg.Config):
    """The partitions of a backfill.

    Attributes:
        partitions: partition keys by asset; an empty list for an asset without partitions.
    """

    partitions: dict[str, list[str]]


@dg.op
def launch_backfill(context: dg.OpExecutionContext, config: BackfillConfig) -> None:
    """Launch a Dagster backfill of some partitions of some assets."""
    refresh = context.run.tags.get(REFRESH_TAG, "")
    params = {
        "title": f"Refresh of {refresh}",
        "description": ", ".join(config.partitions),
        "tags": [{"key": REFRESH_TAG, "value": refresh}],
        "partitionsByAssets": [
            {
                "assetKey": {"path": asset.split("/")},
                **({"partitions": {"ranges": [{"start": key, "end": key} for key in keys]}} if keys else {}),
            }
            for asset, keys in config.partitions.items()
        ],
    }
    # Dagster has no public Python call for this, and its client needs a web server, which may not be running.
    cli = [sys.executable, "-c", "from dagster_graphql.cli import main; main()", "-m", "selection_platform.definitions"]
    with TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [*cli, "--text", LAUNCH, "--variables", json.dumps({"params": params}), "--output", str(answer)]
        subprocess.run(command, check=True)
        launched = json.loads(answer.read_text(encoding="utf-8"))
    if "errors" in launched or "backfillId" not in launched["data"]["launchPartitionBackfill"]:
        raise dg.Failure(f"Dagster launched no backfill: {launched}")
    context.log.info("Backfill %s", launched["data"]["launchPartitionBackfill"]["backfillId"])


@dg.job(
    executor_def=dg.in_process_executor,
    description="Launches a backfill for the schedule refresh_nightly, of what is missing or stale. Do not run it "
    "yourself: its configuration names the partitions.",
)
def start_backfill() -> None:
    """Launch a backfill."""
    launch_backfill()


def build_automation(profile: Profile, assets: list[dg.AssetsDefinition]) -> dg.Definitions:
    """The schedule and the sensors of a profile, and the job that they run.

    Args:
        profile: says when the schedule runs, and what is left to the user.
        assets: all assets of the profile, upstream before downstream.
    """

    def open_staleness(instance: dg.DagsterInstance) -> Staleness:
        resources = build_resources(home(profile))
        check_catalog(instance, resources.warehouse)
        return Staleness(profile, assets, instance, resources)

    def find_steps(instance: dg.DagsterInstance) -> list[Due]:
        return next_steps(profile, open_staleness(instance))

    return dg.Definitions(
        jobs=[start_backfill],
        schedules=[_refresh_nightly(profile, find_steps)],
        sensors=[
            due_sensor(open_staleness, lambda instance: in_the_way(instance, profile)),
            _refresh_continues(profile, find_steps),
            source_sensor(profile, open_staleness),
        ],
    )


def _refresh_nightly(profile: Profile, find_steps: FindSteps) -> dg.ScheduleDefinition:
    waiting = (
        "" if profile.automation.recompute_on_code_change else " GPU steps of which only the code changed wait for you."
    )

    @dg.schedule(
        job=start_backfill,
        cron_schedule=profile.automation.cron,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Starts backfills of what is missing or stale, until everything is up to date.{waiting}",
    )
    def refresh_nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        reason = in_the_way(context.instance, profile)
        if reason:
            return dg.SkipReason(reason)
        due = find_steps(context.instance)
        return request(due, f"{context.scheduled_execution_time:%Y-%m-%d %H.%M}") if due else ALL_IS_MADE

    return refresh_nightly


def verify_nightly(profile: Profile, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """The schedule that has all files and rows checked."""

    @dg.schedule(
        job=job,
        cron_schedule=profile.automation.verify_cron,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        name="verify_nightly",
        description="Reads every file and row, and compares them with what was recorded. Where they differ, it fails.",
    )
    def verify(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        reason = in_the_way(context.instance, profile)
        return dg.SkipReason(reason) if reason else dg.RunRequest(tags={"dagster/max_retries": "0"})

    return verify


def _refresh_continues(profile: Profile, find_steps: FindSteps) -> dg.SensorDefinition:
    # Turned on, because it only continues what the schedule started. So the schedule is the only switch.
    @dg.sensor(
        job=start_backfill,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Continues what refresh_nightly started: when its backfill has ended, starts another of what that "
        "made stale. It starts nothing else.",
    )
    def refresh_continues(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        last = next((each for each in context.instance.get_backfills(limit=LATEST) if REFRESH_TAG in each.tags), None)
        if last is None or last.backfill_id == context.cursor:
            return dg.SkipReason("No refresh is going on.")
        reason = in_the_way(context.instance, profile)
        if reason:
            return dg.SkipReason(reason)
        context.update_cursor(last.backfill_id)
        if last.status.value != "COMPLETED_SUCCESS":
            return dg.SkipReason(f"Backfill {last.backfill_id} is {last.status.value}: the next night tries again.")
        # Each partition once: a source that changes all the time would otherwise keep a refresh running forever.
        made = asked_for(context.instance, last.tags[REFRESH_TAG])
        due = [each for each in find_steps(context.instance) if not made.intersection(each.step.nodes)]
        return request(due, last.tags[REFRESH_TAG], after=last.backfill_id) if due else ALL_IS_MADE

    return refresh_continues


def next_steps(profile: Profile, staleness: Staleness) -> list[Due]:
    """The steps that can run now: those that are due and have no undecided step upstream."""
    due = [
        each
        for each in staleness.due()
        if profile.automation.recompute_on_code_change or not (each.by_code_alone and each.step.asset.op.pool == "gpu")
    ]
    steps = {each.step for each in due}
    undecided = [step for step in staleness.graph.downstream(steps) if step not in steps]
    later = set(staleness.graph.downstream(undecided))
    return [each for each in due if each.step not in later]


def request(due: Iterable[Due], refresh: str, after: str | None = None) -> dg.RunRequest:
    """A run of `start_backfill`.

    Args:
        due: the steps of the backfill.
        refresh: value of REFRESH_TAG.
        after: the backfill that it continues.
    """
    partitions: dict[str, list[str]] = {}
    for each in due:
        for asset, key in each.step.nodes:
            partitions.setdefault(asset.to_user_string(), []).extend([] if key is None else [key])
    config = dg.RunConfig(ops={"launch_backfill": BackfillConfig(partitions=partitions)})
    # Without retries: if the run was killed late, the backfill exists already.
    return dg.RunRequest(run_key=after, run_config=config, tags={REFRESH_TAG: refresh, "dagster/max_retries": "0"})


def asked_for(instance: dg.DagsterInstance, refresh: str) -> set[tuple[dg.AssetKey, str | None]]:
    """Every partition that a refresh has requested so far."""
    runs = instance.get_runs(dg.RunsFilter(job_name=start_backfill.name, tags={REFRESH_TAG: refresh}))
    return {
        (dg.AssetKey.from_user_string(asset), key)
        for run in runs
        for asset, keys in _configured(run.run_config).items()
        for key in keys or [None]
    }


def _configured(run_config: Mapping[str, Any]) -> dict[str, list[str]]:
    return run_config["ops"][launch_backfill.name]["config"]["partitions"]


def in_the_way(instance: dg.DagsterInstance, profile: Profile) -> str | None:
    """The run or backfill that is in progress, so that it is not known yet what is due; None if there is none."""
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        # The record of a killed script's run says that it is still running. The lock below decides.
        if SCRIPT_TAG not in run.tags:
            return f"Run {run.run_id} is going on."
    for backfill in instance.get_backfills(limit=LATEST):
        if backfill.status.value in GOING_ON:
            return f"Backfill {backfill.backfill_id} is going on."
    try:
        with only_run(home(profile)):
            return None
    except AnotherRun:
        return "A run of the command line is going on."
