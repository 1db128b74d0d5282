"""The check that the warehouse has all the work that Dagster recorded. It does not if its catalog is an older backup.

With such a catalog, `clean` would delete newer files like those of killed writes, and `status` would call everything up
to date. So every command that uses both the catalog and Dagster's records makes this check first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from resources.catalog import CATALOG_VARIABLE
from resources.snapshots import snapshot_times
from resources.warehouse import Warehouse
from selection_platform.errors import PlatformError

AGAIN = (
    "; or remove its folders warehouse and dagster and run again, which makes the tables again and computes no "
    "complete job again"
)
"""What can be done without a backup of the catalog."""

SNAPSHOT, AFTERWARDS = "warehouse snapshot", "warehouse snapshot afterwards"


class OlderCatalog(PlatformError):
    """The catalog lacks work that Dagster's records of this home folder name."""


@dataclass(frozen=True)
class NamedSnapshot:
    """A snapshot that the record of a materialisation names.

    Attributes:
        by: asset and partition of the record.
        snapshot: number of the snapshot.
        written: time of the snapshot, in microseconds since 1970; None in records of earlier versions.
    """

    by: str
    snapshot: int
    written: int | None


def afterwards(warehouse: Warehouse | None) -> dict[str, dg.MetadataValue]:
    """The newest snapshot, for the record of a materialisation. It has a time because its number may repeat."""
    if warehouse is None or not warehouse.exists():
        return {}
    ((snapshot, written),) = snapshot_times(warehouse, ()).items()
    return {AFTERWARDS: dg.MetadataValue.json({"snapshot": snapshot, "written": written})}


def check_catalog(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    """Raise unless the warehouse has the snapshots that Dagster's records name, or newer ones.

    Args:
        instance: the Dagster instance of the home folder.
        warehouse: the warehouse of the home folder.

    Raises:
        OlderCatalog: it does not have them.
    """
    # Read before the warehouse, so that new records in the meantime do not matter.
    named = list(_named(instance))
    if not named:
        return
    last = max(named, key=lambda each: each.snapshot)
    if not warehouse.exists():
        raise _older(warehouse, "has no catalog", last, f"set {CATALOG_VARIABLE} as it was, restore the catalog", AGAIN)
    times = snapshot_times(warehouse, {each.snapshot for each in named})
    if max(times) < last.snapshot:
        raise _older(warehouse, f"is at snapshot {max(times)}", last, "restore the newer catalog")
    for each in named:
        if each.written is not None and times.get(each.snapshot, each.written) != each.written:
            of_that_number = f"has another snapshot {each.snapshot}, because it was written to after it was restored"
            raise _older(warehouse, of_that_number, each, "restore the newer catalog")


def _older(warehouse: Warehouse, what: str, named: NamedSnapshot, fix: str, otherwise: str = "") -> OlderCatalog:
    folder = Path(warehouse.folder)
    return OlderCatalog(
        f"the warehouse at {folder} {what}, but Dagster's record of {named.by} names snapshot {named.snapshot}: the "
        f"catalog is older than the work. Was it restored from a backup? Nothing was changed; {fix}, or restore the "
        f"whole folder {folder.parent} from one backup{otherwise}"
    )


def _named(instance: dg.DagsterInstance) -> Iterator[NamedSnapshot]:
    """The snapshots in the newest record of each asset, one of which is the newest in any record."""
    for record in instance.get_asset_records():
        event = record.asset_entry.last_materialization
        materialization = event.asset_materialization if event else None
        if materialization is None:
            continue
        by = f"{materialization.asset_key.to_user_string()} {materialization.partition or ''}".rstrip()
        values: dict[str, Any] = {name: value.value for name, value in materialization.metadata.items()}
        if AFTERWARDS in values:
            yield NamedSnapshot(by, values[AFTERWARDS]["snapshot"], values[AFTERWARDS]["written"])
        elif SNAPSHOT in values:
            yield NamedSnapshot(by, values[SNAPSHOT], None)
