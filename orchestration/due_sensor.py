"""The sensor that shows in the UI what `status` says: the check `up_to_date` of each partition.

A check's result is recorded, and not asked for when somebody looks. So the sensor records one where something changed:
where a partition became due, is due for another reason, or is no longer due. What was just made says itself that it is
up to date.
"""

import json
from collections.abc import Callable

import dagster as dg

# Not public: says which materialisation a result is about. Without it the UI takes the result for one of an older.
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from assets.keys import Node
from assets.record.checks import UP_TO_DATE
from assets.record.provenance import Provenance, input_name, newest_materialization
from orchestration.staleness import Due, Staleness
from selection_platform.job.folder import content_hash

Told = dict[str, str]
"""By asset and partition, a hash of what was recorded of a partition that is due."""

AT_ONCE = 200
"""Results in a tick: Dagster ends one that takes a minute, and then its cursor is lost."""

_DIGITS = 12


def due_sensor(
    open_staleness: Callable[[dg.DagsterInstance], Staleness], in_the_way: Callable[[dg.DagsterInstance], str | None]
) -> dg.SensorDefinition:
    """The sensor.

    Args:
        open_staleness: compares the profile with what was made.
        in_the_way: says what is being made at the moment, if anything is: what is due is known when that has ended.
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
            return dg.SkipReason(f"{reason} What is due is looked at when that has ended.")
        staleness = open_staleness(context.instance)
        made = {
            node: each for node, each in staleness.made().items() if node[1] in staleness.graph.partition_keys(node[0])
        }
        due = {node: each for each in staleness.due() for node in each.step.nodes if node in made}
        # At the first look all that was made has said itself that it is up to date.
        told: Told = json.loads(context.cursor) if context.cursor else {}
        now = {input_name(*node): _hash(each, made[node]) for node, each in due.items()}
        changed = [node for node in made if told.get(input_name(*node)) != now.get(input_name(*node))]
        for node in changed[:AT_ONCE]:
            _report(context.instance, node, due.get(node))
            told.pop(input_name(*node), None)
            if node in due:
                told[input_name(*node)] = now[input_name(*node)]
        later = f" {len(changed) - AT_ONCE} more are shown later." if len(changed) > AT_ONCE else ""
        summary = f"{len(due)} of {len(made)} partitions that were made are due.{later}"
        return dg.SensorResult(skip_reason=summary, cursor=json.dumps(told))

    return status


def _hash(due: Due, made: Provenance) -> str:
    # By the run too: one that was made or reused since said itself that it is up to date.
    return content_hash([made.recorded_by, *due.causes])[:_DIGITS]


def _report(instance: dg.DagsterInstance, node: Node, due: Due | None) -> None:
    """Record the check's result, in place of the one of the run that made the partition last.

    Not as an event of the sensor: Dagster 1.13 keeps one such event for a check and partition, and fails at the second.
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
