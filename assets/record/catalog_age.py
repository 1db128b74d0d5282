"""Whether the warehouse has all the work that Dagster recorded. One whose catalog is from an older backup has not.

To `clean`, the files that such a catalog does not know look like those of killed writes, and to `status` all is up to
date. So whatever goes by the catalog and by Dagster's records asks here first.
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
    """The catalog does not have what was done in this home folder."""


@dataclass(frozen=True)
class Named:
    """A snapshot that the record of a materialisation names.

    Attributes:
        by: asset and partition.
        snapshot: number of the snapshot.
        written: when it was, in microseconds since 1970; None in records of earlier versions.
    """

    by: str
    snapshot: int
    written: int | None


def afterwards(warehouse: Warehouse | None) -> dict[str, dg.MetadataValue]:
    """The newest snapshot, to be recorded when a partition is made. The number alone could come twice."""
    if warehouse is None or not warehouse.exists():
        return {}
    ((snapshot, written),) = snapshot_times(warehouse, ()).items()
    return {AFTERWARDS: dg.MetadataValue.json({"snapshot": snapshot, "written": written})}


def check_catalog(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    """Raise unless the warehouse has the snapshots that Dagster's records name, or newer ones.

    Args:
        instance: of the home folder.
        warehouse: of the home folder.

    Raises:
        OlderCatalog: it has not.
    """
    # Before the warehouse is looked at, so that what is recorded meanwhile does no harm.
    named = list(_named(instance))
    if not named:
        return
    last = max(named, key=lambda each: each.snapshot)
    if not warehouse.exists():
        raise _older(warehouse, "has no catalog", last, f"set {CATALOG_VARIABLE} as it was, restore the catalog", AGAIN)
    there = snapshot_times(warehouse, {each.snapshot for each in named})
    if max(there) < last.snapshot:
        raise _older(warehouse, f"is at snapshot {max(there)}", last, "restore the newer catalog")
    for each in named:
        if each.written is not None and there.get(each.snapshot, each.written) != each.written:
            of_that_number = f"has another snapshot {each.snapshot}, as it was written to since it was restored"
            raise _older(warehouse, of_that_number, each, "restore the newer catalog")


def _older(warehouse: Warehouse, what: str, named: Named, fix: str, otherwise: str = "") -> OlderCatalog:
    folder = Path(warehouse.folder)
    return OlderCatalog(
        f"the warehouse at {folder} {what}, but Dagster's record of {named.by} names snapshot {named.snapshot}: the "
        f"catalog is older than the work. Was it restored from a backup? Nothing was changed; {fix}, or restore the "
        f"whole folder {folder.parent} from one backup{otherwise}"
    )


def _named(instance: dg.DagsterInstance) -> Iterator[Named]:
    """What the newest record of each asset names: of them, the newest names the newest snapshot."""
    for record in instance.get_asset_records():
        event = record.asset_entry.last_materialization
        made = event.asset_materialization if event else None
        if made is None:
            continue
        by = f"{made.asset_key.to_user_string()} {made.partition or ''}".rstrip()
        values: dict[str, Any] = {name: value.value for name, value in made.metadata.items()}
        if AFTERWARDS in values:
            yield Named(by, values[AFTERWARDS]["snapshot"], values[AFTERWARDS]["written"])
        elif SNAPSHOT in values:
            yield Named(by, values[SNAPSHOT], None)
