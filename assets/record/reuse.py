"""A partition that would come out the same is not made again: its record is repeated, and says so.

The command line never asks for such a partition; *Materialize* in the UI and backfills do.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.record.catalog_age import AFTERWARDS, afterwards
from assets.record.checks import UP_TO_DATE
from assets.record.cost_meter import COST
from assets.record.provenance import INPUTS, MADE_BY, SETTINGS, input_names, newest_materialization, provenance_of
from assets.record.settings_used import Declared
from resources.warehouse import Warehouse
from selection_platform.job.folder import read_manifest

FORCE_TAG = "selection-platform/force"
"""Tag of a run that makes its partition again though it would come out the same."""

REUSED = "reused"
NOTHING_COMPUTED = "Reused, nothing was computed"
_OF_THE_WORK = ("seconds", "memory", "job ", "scored now")
"""Parts of the names of numbers that say how the work went, and not what came of it."""


def forced(context: dg.AssetExecutionContext) -> bool:
    """Whether the run was asked to make its partition again."""
    return context.run.tags.get(FORCE_TAG, "false").lower() != "false"


def reused(
    declared: Mapping[dg.AssetKey, Declared],
    records: Mapping[dg.AssetKey, Mapping[str, Any]],
    context: dg.AssetExecutionContext,
    resources: Mapping[str, Any],
) -> list[dg.MaterializeResult]:
    """What each asset of a computation gave last, where all of them would come out the same; else nothing.

    Args:
        declared: what each asset says of itself.
        records: what each would be made from now.
        context: of the run.
        resources: that the computation asks for.
    """
    partition = context.partition_key if context.has_partition_key else None
    records_of = {key: newest_materialization(context.instance, key, partition) for key in context.selected_asset_keys}
    found: list[dg.MaterializeResult] = []
    wanted = input_names(context)
    for key, record in records_of.items():
        # One that was never made is among those of `status` that are new.
        if record is None or records[key][INPUTS].value.keys() != wanted:
            return []
        event = record.event_log_entry
        if not _is_current(declared[key], records[key], context, key, event, resources):
            return []
        repeated = _repeated(event, context, key, resources.get("warehouse"))
        if repeated is None:
            return []
        found.append(repeated)
    for each in found:
        assert each.metadata is not None
        context.log.info("%s: made by run %s", NOTHING_COMPUTED, each.metadata[MADE_BY])
    return found


def _is_current(
    declared: Declared,
    record: Mapping[str, Any],
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    event: dg.EventLogEntry,
    resources: Mapping[str, Any],
) -> bool:
    """Whether `Staleness` would not call it due. False if a change could not be seen here."""
    made, partition = provenance_of(event), context.partition_key if context.has_partition_key else ""
    if declared.changes_unseen(partition) or made.code_version != context.assets_def.code_versions_by_key[key]:
        return False
    if made.settings != record[SETTINGS].value or made.inputs != record[INPUTS].value:
        return False
    folder = declared.folder(resources["artifacts"], partition) if declared.folder else None
    return folder is None or read_manifest(folder) is not None


def _repeated(
    event: dg.EventLogEntry, context: dg.AssetExecutionContext, key: dg.AssetKey, warehouse: Warehouse | None
) -> dg.MaterializeResult | None:
    """The record of a materialization again, without its costs, which would be counted twice.

    None if the result of a check is unknown, because a run must return one of each.
    """
    made, materialization = provenance_of(event), event.asset_materialization
    assert materialization is not None
    checks = _checks(context, key, made.run_id)
    if checks is None:
        return None
    kept = {
        name: value
        for name, value in materialization.metadata.items()
        if name not in (COST, AFTERWARDS, REUSED) and not any(part in name for part in _OF_THE_WORK)
    }
    said = f"**{NOTHING_COMPUTED}.** [Run {made.run_id[:8]}](/runs/{made.run_id}) made it."
    again = f"To make it again all the same, give a run the tag `{FORCE_TAG}: true`."
    return dg.MaterializeResult(
        asset_key=key,
        metadata={
            REUSED: dg.MetadataValue.md(f"{said} {again}"),
            **kept,
            MADE_BY: made.run_id,
            **afterwards(warehouse),
        },
        check_results=checks,
        data_version=dg.DataVersion(made.data_version or ""),
    )


def _checks(context: dg.AssetExecutionContext, key: dg.AssetKey, run_id: str) -> list[dg.AssetCheckResult] | None:
    """What was checked when a run made the partition.

    None where that is not known of each check: the run was deleted, or an earlier version had other checks.
    """
    names = {spec.name for spec in context.assets_def.check_specs if spec.asset_key == key} - {UP_TO_DATE.name}
    found: dict[str, dg.AssetCheckResult] = {}
    for entry in context.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        evaluation = entry.asset_check_evaluation
        if evaluation is not None and evaluation.asset_key == key and evaluation.check_name in names:
            found[evaluation.check_name] = dg.AssetCheckResult(
                check_name=evaluation.check_name,
                asset_key=key,
                passed=evaluation.passed,
                metadata=evaluation.metadata,
                severity=evaluation.severity,
                description=evaluation.description,
            )
    return list(found.values()) if found.keys() == names else None
