"""The warehouse's snapshots: list them, measure them, forget them."""

from collections.abc import Collection

from resources.warehouse import Warehouse
from sql.queries import load_sql


def snapshots(warehouse: Warehouse) -> list[int]:
    """Every snapshot that can be queried, the newest last."""
    return warehouse.query(load_sql("00_warehouse/snapshots"))["snapshot_id"].to_list()


def snapshot_times(warehouse: Warehouse, wanted: Collection[int]) -> dict[int, int]:
    """When some snapshots and the newest one were written: microseconds since 1970, by snapshot number.

    Args:
        warehouse: a warehouse that has been written to.
        wanted: numbers of snapshots. Numbers that do not exist are left out.
    """
    with warehouse.read() as connection:
        found = connection.execute(load_sql("00_warehouse/snapshot_times"), {"snapshots": sorted(wanted)})
        return dict(found.fetchall())


def bytes_of_snapshots(warehouse: Warehouse, wanted: Collection[int]) -> int:
    """Bytes of the files that make up some snapshots. Each file counts once."""
    statement = load_sql("00_warehouse/bytes_of_snapshots").replace("metadata.", f"{warehouse.metadata}.")
    with warehouse.read() as connection:
        row = connection.execute(statement, {"snapshots": sorted(wanted)}).fetchone()
    assert row is not None
    return int(row[0])


def forget_snapshots(warehouse: Warehouse, forgotten: Collection[int]) -> None:
    """Forget snapshots, and delete the files that only they used, and files that killed writes left behind.

    If it is killed, some snapshots may be forgotten and their files still there; the next call deletes them. A process
    that is reading one of the snapshots gets an error.

    Raises:
        WarehouseFault: the disk, folder, catalog or server does not allow it.
    """
    with warehouse.write() as connection:
        if forgotten:
            connection.execute(load_sql("00_warehouse/expire_snapshots"), {"versions": sorted(forgotten)})
        connection.execute(load_sql("00_warehouse/delete_noted_files"))
        connection.execute(load_sql("00_warehouse/delete_unknown_files"))
