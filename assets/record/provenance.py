"""The record of each partition's inputs, settings and code. `status`, `lineage` and checks read it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.record import earlier_homes
from assets.record.catalog_age import AFTERWARDS, SNAPSHOT
from assets.record.settings_used import TEMPLATE, Declared, text_of_record
from selection_platform.configuration.text_settings import TextSettings

SETTINGS, SPEED_SETTINGS, INPUTS, PACKAGES = "settings", "speed settings", "inputs", "packages"
PARTS = "data versions of parts"
MADE_BY = "made by run"
"""In the record of a reused partition: the run that computed it."""

RECORDS_AT_ONCE = 1000
"""Dagster returns at most some thousand records per call."""


@dataclass(frozen=True)
class Provenance:
    """The record of one partition.

    Attributes:
        asset: name of the asset, as the UI shows it.
        partition: partition key; None if the asset has no partitions.
        run_id: id of the run that computed it.
        recorded_by: id of the run that wrote this record; it differs from `run_id` if the partition was reused.
        code_version: code version of the asset.
        data_version: identity of the content.
        parts: identity of each part of the content, if downstream assets read single parts: in a table with the scores
            of several seeds, the part of each seed.
        settings: values of the profile that decide the content, by their dotted paths.
        speed: values of the profile that decide the speed, by their dotted paths.
        inputs: data version of each input, by `asset partition`.
        packages: version of each package that can change a number.
        snapshot: the warehouse's snapshot that it read; None if it does not read the warehouse.
        metadata: the rest of the record.
    """

    asset: str
    partition: str | None
    run_id: str
    recorded_by: str
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
        """Identity of a part of the content, or of all content if there is no such part."""
        return self.data_version if part is None else self.parts.get(part, self.data_version)

    def has_version(self, version: str, part: str | None) -> bool:
        """Whether a part of the content, or all of it, has a version."""
        # Earlier records have only the version of all content.
        return version in (self.data_version, self.version(part))


def input_name(asset: dg.AssetKey, partition_key: str | None) -> str:
    """The name of a partition among the inputs."""
    return f"{asset.to_user_string()} {partition_key or ''}".rstrip()


def input_keys(context: dg.AssetExecutionContext, name: str, asset: dg.AssetKey) -> list[str | None]:
    """The partition keys of an input of the current partition; only None for an input without partitions."""
    partitioned = context.job_def.asset_layer.get(asset).partitions_def is not None
    return [*context.asset_partition_keys_for_input(name)] if partitioned else [None]


def input_names(context: dg.AssetExecutionContext) -> set[str]:
    """The names of all inputs of the current partition, materialised or not."""
    return {
        input_name(asset, key)
        for name, asset in context.assets_def.keys_by_input_name.items()
        for key in input_keys(context, name, asset)
    }


def materializations(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[dg.EventLogRecord]:
    """Every materialization of an asset, the newest first."""
    cursor, more = None, True
    while more:
        page = instance.fetch_materializations(asset, limit=RECORDS_AT_ONCE, cursor=cursor)
        cursor, more = page.cursor, page.has_more
        yield from page.records


def newest_materialization(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition_key: str | None
) -> dg.EventLogRecord | None:
    """The newest materialization of a partition; None if there is none."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition_key is None else [partition_key])
    return next(iter(instance.fetch_materializations(wanted, limit=1).records), None)


def data_version_of(materialization: dg.AssetMaterialization) -> str | None:
    """The identity of the materialized content."""
    return (materialization.tags or {}).get("dagster/data_version")


def latest_provenance(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition_keys: Collection[str | None] | None = None
) -> dict[str | None, Provenance]:
    """The newest record of each partition of an asset, or of the given partitions, by partition key."""
    newest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
    if not newest:
        # The asset has no partitions, or was never materialised.
        event = instance.get_latest_materialization_event(asset)
        return {} if event is None or event.asset_materialization is None else {None: provenance_of(event)}
    wanted = newest if partition_keys is None else newest.keys() & set(partition_keys)
    if not wanted:
        return {}
    records: dict[str | None, Provenance] = {}
    storage_ids = sorted(newest[key] for key in wanted)
    for start in range(0, len(storage_ids), RECORDS_AT_ONCE):
        chunk = storage_ids[start : start + RECORDS_AT_ONCE]
        of_chunk = dg.AssetRecordsFilter(asset_key=asset, storage_ids=chunk)
        for record in instance.fetch_materializations(of_chunk, limit=len(chunk)).records:
            records[record.partition_key] = provenance_of(record.event_log_entry)
    return records


PAPERS_TEXT = ("base_model", "pre_experience_likelihood.published")
"""Assets that always read conversations in the paper's text."""


def texts(
    context: dg.AssetExecutionContext, inputs: Iterable[str], text: TextSettings, keys: Collection[str]
) -> dict[str, str]:
    """How conversations became text, by partition: the current one, and its ancestors that read conversations.

    Args:
        context: context of the current partition.
        inputs: names of the inputs whose ancestors count, as in `input_name`.
        text: text settings of the current partition.
        keys: partition keys with the same model. Other models, such as helpers that rate, have their own text.
    """
    own = input_name(context.asset_key, context.partition_key)
    by_partition = {own: _as_line(Declared({}, rendered=lambda _: text).content(None))}
    waiting, seen = list(inputs), set[str]()
    while waiting:
        name = waiting.pop()
        # A name begins with the asset's name, which has no spaces.
        asset, _, partition = name.partition(" ")
        if name in seen:
            continue
        seen.add(name)
        record = latest_provenance(context.instance, dg.AssetKey.from_user_string(asset), [partition]).get(partition)
        if record is not None:
            waiting += record.inputs
            if partition in keys and asset not in PAPERS_TEXT and (recorded := text_of_record(record.settings)):
                by_partition[name] = _as_line(recorded)
    return by_partition


def _as_line(text: Mapping[str, Any]) -> str:
    """Text settings on one line."""
    return ", ".join(str(value) if path == TEMPLATE else f"{path} {value}" for path, value in sorted(text.items()))


def provenance_of(event: dg.EventLogEntry) -> Provenance:
    """The record of a materialisation."""
    materialization = event.asset_materialization
    assert materialization is not None
    tags = materialization.tags or {}
    asset = materialization.asset_key.to_user_string()
    metadata: dict[str, Any] = {name: value.value for name, value in materialization.metadata.items()}
    metadata.pop(AFTERWARDS, None)
    return Provenance(
        asset=asset,
        partition=materialization.partition,
        run_id=metadata.pop(MADE_BY, event.run_id),
        recorded_by=event.run_id,
        code_version=earlier_homes.code_version(asset, tags.get("dagster/code_version")),
        data_version=data_version_of(materialization),
        parts=metadata.pop(PARTS, {}),
        settings=earlier_homes.settings(metadata.pop(SETTINGS, {})),
        speed=metadata.pop(SPEED_SETTINGS, {}),
        inputs=metadata.pop(INPUTS, {}),
        packages=metadata.pop(PACKAGES, {}),
        snapshot=metadata.pop(SNAPSHOT, None),
        metadata=metadata,
    )
