"""Writes the record of every materialisation: its inputs, settings, packages, costs and checks.

A partition whose content would be the same is reused: its record is repeated and marked.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any

import dagster as dg

from assets.record.catalog_age import SNAPSHOT, afterwards, check_catalog
from assets.record.checks import UP_TO_DATE
from assets.record.content import what_was_written
from assets.record.cost_meter import COST, CostMeter
from assets.record.provenance import (
    INPUTS,
    PACKAGES,
    SETTINGS,
    SPEED_SETTINGS,
    input_keys,
    input_name,
    latest_provenance,
)
from assets.record.reuse import forced, reused
from assets.record.settings_used import Declared
from resources.replacement import Written, noted_writes
from resources.warehouse import Warehouse
from selection_platform.job.folder import made_again
from selection_platform.job.stopping import heeded

PACKAGE_NAMES = (
    "dagster", "datasets", "duckdb", "lm-eval", "numpy", "peft", "polars", "scikit-learn", "selection-platform",
    "tokenizers", "torch", "transformers",
)  # fmt: skip

Materialize = Callable[..., dg.MaterializeResult | Iterator[dg.MaterializeResult]]


def recorded(declared: Mapping[dg.AssetKey, Declared]) -> Callable[[Materialize], Materialize]:
    """Decorates an asset's function, below `@dg.asset`: adds the record to the results that it returns.

    It raises an error if the catalog is older than the earlier records.

    Args:
        declared: the declaration of each asset of the function.
    """

    def decorate(materialize: Materialize) -> Materialize:
        @functools.wraps(materialize)
        def one(context: dg.AssetExecutionContext, **resources: Any) -> dg.MaterializeResult:
            def alone() -> Iterator[Any]:
                yield materialize(context, **resources)

            (result,) = _results(declared, context, resources, alone)
            return result

        @functools.wraps(materialize)
        def several(context: dg.AssetExecutionContext, **resources: Any) -> Iterator[dg.MaterializeResult]:
            yield from _results(declared, context, resources, lambda: iter(materialize(context, **resources)))

        return several if inspect.isgeneratorfunction(materialize) else one

    return decorate


def _results(
    declared: Mapping[dg.AssetKey, Declared],
    context: dg.AssetExecutionContext,
    resources: Mapping[str, Any],
    materialize: Callable[[], Iterator[Any]],
) -> Iterator[dg.MaterializeResult]:
    """The results of an asset's function with their records, or the last results again if they would be the same."""
    # Read before the work, so that a change in the meantime makes the partition stale.
    records = _records(declared, context, resources)
    again = forced(context)
    complete = [] if again else reused(declared, records, context, resources)
    if complete:
        yield from map(_checked, complete)
        return
    meter = CostMeter()
    with made_again() if again == "all" else nullcontext(), noted_writes() as written:
        results = materialize()
        while (result := _next(results)) is not None:
            yield _checked(_with_record(records, context, result, meter, resources.get("warehouse"), written))
            # Of assets that one computation gives, each is yielded when its own rows are there.
            written.clear()


def _next(results: Iterator[dg.MaterializeResult]) -> dg.MaterializeResult | None:
    """The next result, for which the asset's function works; None after the last."""
    with heeded():
        return next(results, None)


def _checked(result: dg.MaterializeResult) -> dg.MaterializeResult:
    """A result with the check that its partition is up to date, so that no sensor has to add it."""
    asset = None if result.asset_key is None else dg.AssetKey.from_coercible(result.asset_key).path
    now = UP_TO_DATE.result(True, {}, asset)
    return result._replace(check_results=[*(result.check_results or []), now])


Record = dict[str, Any]


def _records(
    declared: Mapping[dg.AssetKey, Declared], context: dg.AssetExecutionContext, resources: Mapping[str, Any]
) -> dict[dg.AssetKey, Record]:
    """The inputs, settings and packages of each asset of a computation, as metadata."""
    warehouse: Warehouse | None = resources.get("warehouse")
    if warehouse is not None:
        check_catalog(context.instance, warehouse)
    partition_key = context.partition_key if context.has_partition_key else None
    # All assets of one computation read the same part of its inputs.
    (part,) = {declared[key].part_of_inputs(partition_key) for key in context.selected_asset_keys}
    record: Record = {
        INPUTS: dg.MetadataValue.json(_input_versions(context, part)),
        PACKAGES: dg.MetadataValue.json(_package_versions()),
    }
    if warehouse is not None and warehouse.exists():
        record[SNAPSHOT] = warehouse.snapshot()
    return {
        key: {
            **record,
            SETTINGS: dg.MetadataValue.json(declared[key].content(partition_key)),
            SPEED_SETTINGS: dg.MetadataValue.json(declared[key].speed(partition_key)),
        }
        for key in context.selected_asset_keys
    }


def _with_record(
    records: Mapping[dg.AssetKey, Record],
    context: dg.AssetExecutionContext,
    result: Any,
    meter: CostMeter,
    warehouse: Warehouse | None,
    written: Written,
) -> dg.MaterializeResult:
    key = context.asset_key if result.asset_key is None else dg.AssetKey.from_coercible(result.asset_key)
    cost = {COST: dg.MetadataValue.json(meter.read())}
    rows = what_was_written(warehouse, written)
    metadata = {**(result.metadata or {}), **records[key], **rows, **cost, **afterwards(warehouse)}
    return result._replace(metadata=metadata)


@functools.cache
def _package_versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGE_NAMES}


def _input_versions(context: dg.AssetExecutionContext, part: str | None) -> dict[str, str]:
    """The data versions of a partition's inputs, or of the part of them that it reads."""
    versions: dict[str, str] = {}
    for name, asset in context.assets_def.keys_by_input_name.items():
        keys = input_keys(context, name, asset)
        for key, provenance in latest_provenance(context.instance, asset, keys).items():
            versions[input_name(asset, key)] = provenance.version(part) or ""
    return dict(sorted(versions.items()))
