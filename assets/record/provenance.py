"""What each partition was made from: recorded with its materialisation, where UI, `status` and `lineage` read it."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import dagster as dg

from assets.record import earlier_homes
from assets.record.catalog_age import AFTERWARDS, SNAPSHOT, afterwards, check_catalog
from assets.record.cost_meter import COST, CostMeter
from assets.record.settings_used import TEMPLATE, Declared, text_of_record
from resources.warehouse import Warehouse
from selection_platform.configuration.text_settings import TextSettings

SETTINGS, SPEED_SETTINGS, INPUTS, PACKAGES = "settings", "speed settings", "inputs", "packages"
PARTS = "data versions of parts"
PACKAGE_NAMES = (
    "dagster", "datasets", "duckdb", "lm-eval", "numpy", "peft", "polars", "scikit-learn", "selection-platform",
    "tokenizers", "torch", "transformers",
)  # fmt: skip


RECORDS_AT_ONCE = 1000
"""Dagster refuses to hand over more than some thousand."""


@dataclass(frozen=True)
class Provenance:
    """What one partition was made from.

    Attributes:
        asset: name of the asset, as the UI shows it.
        partition: partition key; None where the asset has none.
        run_id: the run that made it.
        code_version: of the asset.
        data_version: identity of the content.
        parts: identity of each part of the content, where others read one part of it: of a table with the scores of
            several seeds, each seed's.
        settings: values of the profile that decide the content, by their dotted paths.
        speed: those that decide how fast it was made, likewise.
        inputs: data version of each partition that it was made from, by `asset partition`.
        packages: version of each package that can change a number.
        snapshot: snapshot of the warehouse that it read; None where it reads none.
        metadata: all else that was recorded.
    """

    asset: str
    partition: str | None
    run_id: str
    code_version: str | None
    data_version: str | None
    parts: Mapping[str, str]
    settings: Mapping[str, Any]
    speed: Mapping[str, Any]
    inputs: Mapping[str, str]
    packages: Mapping[str, str]
    snapshot: int | None
    metadata: Mapping[str, Any]

    def version(self, part: str | None) -> str | None:
        """Identity of a part of the content, or of all of it where it has no such part."""
        return self.data_version if part is None else self.parts.get(part, self.data_version)

    def has_version(self, version: str, part: str | None) -> bool:
        """Whether a part of the content, or all of it, is what it was when it had a version."""
        # Earlier records name the version of the whole.
        return version in (self.data_version, self.version(part))


Materialize = Callable[..., dg.MaterializeResult | Iterator[dg.MaterializeResult]]


def recorded(declared: Mapping[dg.AssetKey, Declared]) -> Callable[[Materialize], Materialize]:
    """Decorates an asset's function, under `@dg.asset`: what it is made from is recorded with what it returns.

    The function is not called while the catalog is older than what was recorded before.

    Args:
        declared: what each asset of the function says of itself.
    """

    def decorate(materialize: Materialize) -> Materialize:
        @functools.wraps(materialize)
        def one(context: dg.AssetExecutionContext, **resources: Any) -> dg.MaterializeResult:
            # Before the work: what changes while it goes on is then seen as a change after it.
            records = _records(declared, context, resources)
            meter = CostMeter(on_gpu=context.op_def.pool is not None)
            return _with_record(records, context, materialize(context, **resources), meter, resources.get("warehouse"))

        @functools.wraps(materialize)
        def several(context: dg.AssetExecutionContext, **resources: Any) -> Iterator[dg.MaterializeResult]:
            records = _records(declared, context, resources)
            meter = CostMeter(on_gpu=context.op_def.pool is not None)
            for result in materialize(context, **resources):
                yield _with_record(records, context, result, meter, resources.get("warehouse"))

        return several if inspect.isgeneratorfunction(materialize) else one

    return decorate


Record = dict[str, Any]


def _records(
    declared: Mapping[dg.AssetKey, Declared], context: dg.AssetExecutionContext, resources: Mapping[str, Any]
) -> dict[dg.AssetKey, Record]:
    """What each asset of a computation is made from, as metadata."""
    warehouse: Warehouse | None = resources.get("warehouse")
    if warehouse is not None:
        check_catalog(context.instance, warehouse)
    partition_key = context.partition_key if context.has_partition_key else None
    parts = {declared[key].part_of_inputs(partition_key) for key in context.selected_asset_keys}
    # What one computation gives reads the same inputs.
    (part,) = parts
    record: Record = {
        INPUTS: dg.MetadataValue.json(_input_versions(context, part)),
        PACKAGES: dg.MetadataValue.json({name: version(name) for name in PACKAGE_NAMES}),
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
) -> dg.MaterializeResult:
    key = context.asset_key if result.asset_key is None else dg.AssetKey.from_coercible(result.asset_key)
    # Dagster keeps a check's results by asset alone: checks with partitions are a preview in 1.13.
    of_partition = {"partition": context.partition_key} if context.has_partition_key else {}
    checks = [check._replace(metadata={**of_partition, **check.metadata}) for check in result.check_results or []]
    cost = {COST: dg.MetadataValue.json(meter.read())}
    metadata = {**(result.metadata or {}), **records[key], **cost, **afterwards(warehouse)}
    return result._replace(metadata=metadata, check_results=checks)


def input_name(asset: dg.AssetKey, partition_key: str | None) -> str:
    """How a partition is named among the inputs."""
    return f"{asset.to_user_string()} {partition_key or ''}".rstrip()


def latest_provenance(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition_keys: Collection[str] | None = None
) -> dict[str | None, Provenance]:
    """The newest materialisation of each partition of an asset, or of those asked for, by partition key."""
    newest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
    if not newest:
        # An asset without partitions, or one that was never materialised.
        event = instance.get_latest_materialization_event(asset)
        return {} if event is None or event.asset_materialization is None else {None: _provenance(event)}
    wanted = newest if partition_keys is None else newest.keys() & set(partition_keys)
    if not wanted:
        return {}
    found: dict[str | None, Provenance] = {}
    storage_ids = sorted(newest[key] for key in wanted)
    for start in range(0, len(storage_ids), RECORDS_AT_ONCE):
        chosen = storage_ids[start : start + RECORDS_AT_ONCE]
        records = dg.AssetRecordsFilter(asset_key=asset, storage_ids=chosen)
        for record in instance.fetch_materializations(records, limit=len(chosen)).records:
            found[record.partition_key] = _provenance(record.event_log_entry)
    return found


PAPERS_TEXT = ("base_model", "pre_experience_likelihood.published")
"""Assets that read conversations in the paper's text, whatever text the model is used with."""


def texts(
    context: dg.AssetExecutionContext, inputs: Iterable[str], text: TextSettings, keys: Collection[str]
) -> dict[str, str]:
    """How conversations became text, by partition: the one that is being made, and its ancestors that read any.

    Args:
        context: of the partition that is being made.
        inputs: names of the inputs whose ancestors count, by `input_name`.
        text: of the partition that is being made.
        keys: of the partitions in which the same model reads. Others, as those that rate for it, have their own text.
    """
    own = input_name(context.asset_key, context.partition_key)
    found = {own: _said(Declared({}, rendered=lambda _: text).content(None))}
    waiting, seen = list(inputs), set[str]()
    while waiting:
        name = waiting.pop()
        # A name begins with the asset's, which has no space in it.
        asset, _, partition = name.partition(" ")
        if name in seen:
            continue
        seen.add(name)
        made = latest_provenance(context.instance, dg.AssetKey.from_user_string(asset), [partition]).get(partition)
        if made is not None:
            waiting += made.inputs
            if partition in keys and asset not in PAPERS_TEXT and (recorded := text_of_record(made.settings)):
                found[name] = _said(recorded)
    return found


def _said(text: Mapping[str, Any]) -> str:
    """Settings of the text in a line."""
    return ", ".join(str(value) if path == TEMPLATE else f"{path} {value}" for path, value in sorted(text.items()))


def _provenance(event: dg.EventLogEntry) -> Provenance:
    materialization = event.asset_materialization
    assert materialization is not None
    tags = materialization.tags or {}
    asset = materialization.asset_key.to_user_string()
    metadata: dict[str, Any] = {name: value.value for name, value in materialization.metadata.items()}
    metadata.pop(AFTERWARDS, None)
    return Provenance(
        asset=asset,
        partition=materialization.partition,
        run_id=event.run_id,
        code_version=earlier_homes.code_version(asset, tags.get("dagster/code_version")),
        data_version=tags.get("dagster/data_version"),
        parts=metadata.pop(PARTS, {}),
        settings=earlier_homes.settings(metadata.pop(SETTINGS, {})),
        speed=metadata.pop(SPEED_SETTINGS, {}),
        inputs=metadata.pop(INPUTS, {}),
        packages=metadata.pop(PACKAGES, {}),
        snapshot=metadata.pop(SNAPSHOT, None),
        metadata=metadata,
    )


def _input_versions(context: dg.AssetExecutionContext, part: str | None) -> dict[str, str]:
    """Data versions of the newest materializations that the partition is made from: of a part, where it reads one."""
    versions: dict[str, str] = {}
    for name, asset in context.assets_def.keys_by_input_name.items():
        partitioned = context.instance.get_materialized_partitions(asset)
        keys = context.asset_partition_keys_for_input(name) if partitioned else None
        for key, provenance in latest_provenance(context.instance, asset, keys).items():
            versions[input_name(asset, key)] = provenance.version(part) or ""
    return dict(sorted(versions.items()))
