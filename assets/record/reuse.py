"""Reuses a partition whose content would be the same: its record is repeated and marked.

The command line never runs such a partition; *Materialize* in the UI and backfills do.
"""

from collections.abc import Mapping
from typing import Any, Literal

import dagster as dg

from assets.record.catalog_age import AFTERWARDS, afterwards
from assets.record.checks import UP_TO_DATE
from assets.record.cost_meter import COST
from assets.record.provenance import INPUTS, MADE_BY, SETTINGS, input_names, newest_materialization, provenance_of
from assets.record.settings_used import Declared
from resources.warehouse import Warehouse
from selection_platform.job.folder import read_manifest

FORCE_TAG = "selection-platform/force"
"""Tag of a run that makes its partition again even if the content would be the same: `rows`, or else all of it."""

Again = Literal["rows", "all"]
"""What is made again: the rows of tables, from the files of complete jobs, or the jobs too."""

REUSED = "reused"
NOTHING_COMPUTED = "Reused, nothing was computed"
_OF_THE_WORK = ("seconds", "memory", "job ", "scored now")
"""Parts of the names of metadata about the work, not about its result."""


def forced(context: dg.AssetExecutionContext) -> Again | None:
    """What the run is to make again, by its tag; None without it."""
    tag = context.run.tags.get(FORCE_TAG, "false").lower()
    if tag == "rows":
        return "rows"
    return None if tag == "false" else "all"


def reused(
    declared: Mapping[dg.AssetKey, Declared],
    records: Mapping[dg.AssetKey, Mapping[str, Any]],
    context: dg.AssetExecutionContext,
    resources: Mapping[str, Any],
) -> list[dg.MaterializeResult]:
    """The last result of each asset of a computation, if all of them would be the same; otherwise an empty list.

    Args:
        declared: the declaration of each asset.
        records: the record that each asset would have now.
        context: context of the run.
        resources: resources of the computation.
    """
    partition = context.partition_key if context.has_partition_key else None
    records_of = {key: newest_materialization(context.instance, key, partition) for key in context.selected_asset_keys}
    results: list[dg.MaterializeResult] = []
    wanted = input_names(context)
    for key, record in records_of.items():
        # An input that was never materialised makes the partition stale in `status`.
        if record is None or records[key][INPUTS].value.keys() != wanted:
            return []
        event = record.event_log_entry
        if not _is_current(declared[key], records[key], context, key, event, resources):
            return []
        repeated = _repeated(event, context, key, resources.get("warehouse"))
        if repeated is None:
            return []
        results.append(repeated)
    for result in results:
        assert result.metadata is not None
        context.log.info("%s: it is from run %s", NOTHING_COMPUTED, result.metadata[MADE_BY])
    return results


def _is_current(
    declared: Declared,
    record: Mapping[str, Any],
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    event: dg.EventLogEntry,
    resources: Mapping[str, Any],
) -> bool:
    """Whether a partition is up to date, as `Staleness` decides. False if a change may go unnoticed."""
    last, partition = provenance_of(event), context.partition_key if context.has_partition_key else ""
    if declared.changes_unseen(partition) or last.code_version != context.assets_def.code_versions_by_key[key]:
        return False
    if last.settings != record[SETTINGS].value or last.inputs != record[INPUTS].value:
        return False
    folder = declared.folder(resources["artifacts"], partition) if declared.folder else None
    return folder is None or read_manifest(folder) is not None


def _repeated(
    event: dg.EventLogEntry, context: dg.AssetExecutionContext, key: dg.AssetKey, warehouse: Warehouse | None
) -> dg.MaterializeResult | None:
    """The record of a materialization, without its costs, which would count twice.

    None if the result of a check is unknown, because a run must return a result of each check.
    """
    record, materialization = provenance_of(event), event.asset_materialization
    assert materialization is not None
    checks = _checks(context, key, record.run_id)
    if checks is None:
        return None
    kept = {
        name: value
        for name, value in materialization.metadata.items()
        if name not in (COST, AFTERWARDS, REUSED) and not any(part in name for part in _OF_THE_WORK)
    }
    origin = f"**{NOTHING_COMPUTED}.** It is from [run {record.run_id[:8]}](/runs/{record.run_id})."
    remedy = f"To compute it again, give the run the tag `{FORCE_TAG}: true`."
    return dg.MaterializeResult(
        asset_key=key,
        metadata={
            REUSED: dg.MetadataValue.md(f"{origin} {remedy}"),
            **kept,
            MADE_BY: record.run_id,
            **afterwards(warehouse),
        },
        check_results=checks,
        data_version=dg.DataVersion(record.data_version or ""),
    )


def _checks(context: dg.AssetExecutionContext, key: dg.AssetKey, run_id: str) -> list[dg.AssetCheckResult] | None:
    """The check results of the run that computed the partition.

    None if a result is missing: the run was deleted, or an earlier version had other checks.
    """
    names = {spec.name for spec in context.assets_def.check_specs if spec.asset_key == key} - {UP_TO_DATE.name}
    results: dict[str, dg.AssetCheckResult] = {}
    for entry in context.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        evaluation = entry.asset_check_evaluation
        if evaluation is not None and evaluation.asset_key == key and evaluation.check_name in names:
            results[evaluation.check_name] = dg.AssetCheckResult(
                check_name=evaluation.check_name,
                asset_key=key,
                passed=evaluation.passed,
                metadata=evaluation.metadata,
                severity=evaluation.severity,
                description=evaluation.description,
            )
    return list(results.values()) if results.keys() == names else None
