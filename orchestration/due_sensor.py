"""The sensor that shows the output of `status` in the UI, as the check `up_to_date` of each partition.

Dagster shows recorded results of checks. So the sensor records a result when a partition becomes due, is due for
another reason, or is no longer due. A materialisation itself records that its partition is up to date.
"""

import json
from collections.abc import Callable

import dagster as dg

# Not public: says which materialisation a result is about. Without it the UI shows the result as one of an older one.
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from assets.keys import Node
from assets.record.checks import UP_TO_DATE
from assets.record.provenance import Provenance, input_name, newest_materialization
from orchestration.staleness import Due, Staleness
from selection_platform.job.folder import content_hash

Reported = dict[str, str]
"""By asset and partition, a hash of the recorded result of a partition that is due."""

AT_ONCE = 200
"""Results per tick: Dagster stops a tick that takes a minute, and then its cursor is lost."""

_DIGITS = 12


def due_sensor(
    open_staleness: Callable[[dg.DagsterInstance], Staleness], in_the_way: Callable[[dg.DagsterInstance], str | None]
) -> dg.SensorDefinition:
    """The sensor.

    Args:
        open_staleness: compares the profile with what was materialised.
        in_the_way: names the run in progress, if there is one: what is due is known when it has ended.
    """

    @dg.sensor(
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Shows what is missing or stale, and why, in the check up_to_date of each partition, as "
        "`selection-platform status` does. It starts nothing.",
    )
    def status(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        reason = in_the_way(context.instance)
        if reason:
            return dg.SkipReason(f"{reason} The sensor looks again when that has ended.")
        staleness = open_staleness(context.instance)
        in_profile = staleness.graph.partition_keys
        records = {node: record for node, record in staleness.made().items() if node[1] in in_profile(node[0])}
        due = {node: one for one in staleness.due() for node in one.step.nodes if node in records}
        # Before the first tick, each materialisation has recorded that its partition is up to date.
        reported: Reported = json.loads(context.cursor) if context.cursor else {}
        now = {input_name(*node): _hash(one, records[node]) for node, one in due.items()}
        changed = [node for node in records if reported.get(input_name(*node)) != now.get(input_name(*node))]
        for node in changed[:AT_ONCE]:
            _report(context.instance, node, due.get(node))
            reported.pop(input_name(*node), None)
            if node in due:
                reported[input_name(*node)] = now[input_name(*node)]
        later = f" {len(changed) - AT_ONCE} more are shown at the next tick." if len(changed) > AT_ONCE else ""
        summary = f"{len(due)} of {len(records)} materialised partitions are due.{later}"
        return dg.SensorResult(skip_reason=summary, cursor=json.dumps(reported))

    return status


def _hash(due: Due, record: Provenance) -> str:
    # With the run: a later materialisation or reuse has recorded that the partition is up to date.
    return content_hash([record.recorded_by, *due.causes])[:_DIGITS]


def _report(instance: dg.DagsterInstance, node: Node, due: Due | None) -> None:
    """Record the check's result, in place of the one from the partition's newest run.

    It is not an event of the sensor: Dagster 1.13 keeps one such event per check and partition, and the second fails.
    """
    key, partition = node
    newest = newest_materialization(instance, key, partition)
    assert newest is not None
    evaluation = dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=UP_TO_DATE.name,
        passed=due is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if due is None else f"{due.status}: {'; '.join(due.causes)}",
        partition=partition,
        target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
            storage_id=newest.storage_id, run_id=newest.run_id, timestamp=newest.timestamp
        ),
    )
    event = dg.DagsterEvent(
        dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
        job_name=newest.event_log_entry.job_name or "",
        event_specific_data=evaluation,
    )
    instance.report_dagster_event(event, run_id=newest.run_id)
