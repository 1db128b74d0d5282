"""Many processes write the warehouse at once while others read: `python -m benchmarks.soak --minutes 10`.

Each of `--processes` writers materialises its own partitions of scores and selections, in Dagster runs that share one
instance and one warehouse, each time with other numbers. After a third of the time two readers start, who look whether
they see whole partitions only, and one who holds a transaction open. In the end every partition must hold what its last
run said it wrote, and the warehouse must have as many snapshots as there were writes.

`--catalog postgres` starts a server of its own in a temporary folder, with Debian's package `postgresql`.
"""

import argparse
import dataclasses
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import dagster as dg
import duckdb

from assets.keys import SELECTION
from assets.record.provenance import latest_provenance
from assets.selections import CONTENT
from benchmarks.postgres_server import NoServer, running_server
from benchmarks.soak_processes import Read, Soak, Written, fill, hold, read, write
from orchestration.materialize import open_instance
from resources.catalog import POSTGRES, SQLITE
from resources.warehouse import Warehouse

Result = TypeVar("Result")

READERS = 2
ALONE = 1 / 3
"""Share of the time without readers."""


@dataclasses.dataclass
class Ended:
    """What all processes did.

    Attributes:
        written: of each writer that ended by itself.
        readers: of each reader.
        held: of the one with the open transaction.
        died: why processes ended before their time.
    """

    written: list[Written]
    readers: list[Read]
    held: list[Read]
    died: list[str]


@dataclasses.dataclass
class Compared:
    """What the warehouse holds beside what the runs said.

    Attributes:
        partitions: how many were compared.
        lost: rows that are not there.
        doubled: rows that are there more than once.
        other: partitions whose content is not that of their last run.
        snapshots: since the warehouse was filled.
        recorded: Dagster runs that the instance has as successful.
    """

    partitions: int = 0
    lost: int = 0
    doubled: int = 0
    other: int = 0
    snapshots: int = 0
    recorded: int = 0


@contextmanager
def catalog_setting(name: str) -> Iterator[str]:
    if name == SQLITE:
        yield SQLITE
        return
    with running_server() as connection:
        yield POSTGRES + connection


def run_processes(soak: Soak) -> Ended:
    with ProcessPoolExecutor(len(soak.pools) + READERS + 1, multiprocessing.get_context("spawn")) as executor:
        writers = [executor.submit(write, soak, pool) for pool in soak.pools]
        readers = [executor.submit(read, soak, seed) for seed in range(READERS)]
        holder = executor.submit(hold, soak)
    futures = [*writers, *readers, holder]
    died = [f"{type(error).__name__}: {error}" for future in futures if (error := future.exception())]
    return Ended(_results(writers), _results(readers), _results([holder]), died)


def _results(futures: list[Future[Result]]) -> list[Result]:
    return [future.result() for future in futures if not future.exception()]


def compare(soak: Soak, snapshot: int) -> Compared:
    """Compare every partition with what its last run recorded."""
    compared, warehouse = Compared(), soak.warehouse()
    with open_instance(Path(soak.home)) as instance:
        compared.recorded = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
        for asset, table in (
            (dg.AssetKey(["scores", "random"]), "scores.random"),
            (dg.AssetKey(["scores", "token_length"]), "scores.token_length"),
            (SELECTION, "selections.samples"),
        ):
            for key, made in latest_provenance(instance, asset).items():
                partition = _columns(table, str(key))
                said = made.metadata["dagster/partition_row_count"]
                rows, distinct = _rows(warehouse, table, partition)
                compared.partitions += 1
                compared.lost += max(0, said - distinct)
                compared.doubled += rows - distinct
                content = CONTENT if asset == SELECTION else "*"
                compared.other += warehouse.content_hash(table, partition, content) != made.data_version
    compared.snapshots = warehouse.snapshot() - snapshot
    return compared


def _columns(table: str, key: str) -> dict[str, str | None]:
    if table == "selections.samples":
        return {"experiment": key}
    pool, _, model = key.partition("/")
    return {"pool": pool, "model": model or None}


def _rows(warehouse: Warehouse, table: str, partition: dict[str, str | None]) -> tuple[int, int]:
    conditions = " AND ".join(f"{column} IS NOT DISTINCT FROM ${column}" for column in partition)
    sql = f"SELECT count(*), count(DISTINCT each) FROM {table} AS each WHERE {conditions}"
    return warehouse.query(sql, partition).row(0)


def report(arguments: argparse.Namespace, ended: Ended, compared: Compared) -> list[str]:
    """Print the table; what should not have happened."""
    runs = [seconds for each in ended.written for seconds in each.runs]
    alone = [seconds for each in ended.written for seconds in each.alone]
    watched = [seconds for each in ended.written for seconds in each.watched]
    writes = len(alone) + len(watched) + sum(len(each.first) for each in ended.written)
    reads = [seconds for each in ended.readers for seconds in each.reads]
    held = [seconds for each in ended.held for seconds in each.reads]
    failures = [failure for each in ended.written for failure in each.failures]
    faults = [fault for each in [*ended.readers, *ended.held] for fault in each.faults]
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPU cores, DuckDB {duckdb.__version__}, "
        f"Dagster {dg.__version__}; catalog {arguments.catalog}, {arguments.minutes:g} minutes\n"
    )
    rows = {
        "writers, readers, open transactions": f"{arguments.processes}, {READERS}, 1",
        "Dagster runs that succeeded": f"{len(runs):,}",
        "that failed": f"{len(failures):,}",
        "processes that ended early": f"{len(ended.died):,}",
        "seconds of a run, median / worst": spread(runs),
        "writes to the warehouse": f"{writes:,}",
        "snapshots that they made": f"{compared.snapshots:,}",
        "seconds of a write while nobody reads, median / worst": spread(alone),
        "seconds of a write while others read, median / worst": spread(watched),
        "reads": f"{len(reads):,}",
        "of part of a partition, or failed": f"{len(faults):,}",
        "seconds of a read, median / worst": spread(reads),
        "seconds of a read in the open transaction, median / worst": spread(held),
        "partitions compared with what their last run recorded": f"{compared.partitions:,}",
        "of other content": f"{compared.other:,}",
        "rows lost / doubled": f"{compared.lost:,} / {compared.doubled:,}",
    }
    print("| | |\n|---|---:|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    wrong = [*ended.died, *failures, *faults]
    if not runs:
        wrong.append("no run succeeded")
    if compared.lost or compared.doubled or compared.other:
        wrong.append("the warehouse does not hold what the runs wrote")
    if compared.snapshots != writes and not wrong:
        wrong.append(f"{writes:,} writes made {compared.snapshots:,} snapshots")
    if compared.recorded != len(runs) and not wrong:
        wrong.append(f"the instance has {compared.recorded:,} successful runs")
    return wrong


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} / {max(seconds):.2f}" if seconds else "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--catalog", choices=(SQLITE, "postgres"), default=SQLITE)
    parser.add_argument("--processes", type=int, default=8, help="how many write")
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60
    pools = [f"pool{index}" for index in range(arguments.processes)]
    try:
        with (
            tempfile.TemporaryDirectory() as home,
            catalog_setting(arguments.catalog) as setting,
            multiprocessing.Manager() as manager,
        ):
            start = manager.Barrier(arguments.processes + READERS + 1)
            soak = Soak(home, setting, pools, seconds, seconds * ALONE, start)
            fill(soak.warehouse(), pools)
            # Made before the processes want it all at once.
            with open_instance(Path(home)):
                pass
            snapshot = soak.warehouse().snapshot()
            ended = run_processes(soak)
            compared = compare(soak, snapshot)
    except NoServer as error:
        print(error, file=sys.stderr)
        return 1
    wrong = report(arguments, ended, compared)
    for each in wrong[:20]:
        print(f"\n{each}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
