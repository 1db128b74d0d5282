"""The warehouse's past: which snapshots there are, how much room they take, and forgetting them."""

from collections.abc import Collection

from resources.warehouse import Warehouse
from sql.queries import load_sql


def snapshots(warehouse: Warehouse) -> list[int]:
    """Every snapshot that can be queried, the newest last."""
    return warehouse.query(load_sql("00_warehouse/snapshots"))["snapshot_id"].to_list()


def snapshot_times(warehouse: Warehouse, wanted: Collection[int]) -> dict[int, int]:
    """When some snapshots were written, and the newest: in microseconds since 1970, by their number.

    Args:
        warehouse: in which something was written.
        wanted: numbers of snapshots; those that are not there are left out.
    """
    with warehouse.read() as connection:
        found = connection.execute(load_sql("00_warehouse/snapshot_times"), {"snapshots": sorted(wanted)})
        return dict(found.fetchall())


def bytes_of_snapshots(warehouse: Warehouse, wanted: Collection[int]) -> int:
    """Bytes of the tables' files that make up some snapshots, each file counted once."""
    statement = load_sql("00_warehouse/bytes_of_snapshots").replace("metadata.", f"{warehouse.metadata}.")
    with warehouse.read() as connection:
        row = connection.execute(statement, {"snapshots": sorted(wanted)}).fetchone()
    assert row is not None
    return int(row[0])


def forget_snapshots(warehouse: Warehouse, forgotten: Collection[int]) -> None:
    """Forget snapshots, and delete the files that only they had, and those that killed writes left.

    Killed on the way, it has forgotten what it has; the next call deletes the files. Who is reading one of the
    snapshots right now gets an error.

    Raises:
        WarehouseFault: disk, folder, catalog or server do not allow it.
    """
    with warehouse.write() as connection:
        if forgotten:
            connection.execute(load_sql("00_warehouse/expire_snapshots"), {"versions": sorted(forgotten)})
        connection.execute(load_sql("00_warehouse/delete_noted_files"))
        connection.execute(load_sql("00_warehouse/delete_unknown_files"))
