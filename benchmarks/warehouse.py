"""Seconds that the warehouse takes to select from score tables, and to replace one: `python -m benchmarks.warehouse`.

A temporary warehouse gets one table of random scores for each scored method of the paper, `--rows` samples for each
draw: the seeds of a method that draws, the budgets of one whose scores depend on them (where only as many samples
have a score), one for all others.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import duckdb

from assets.record.score_table import BEST_FIRST
from resources.warehouse import Warehouse
from selection_platform.experiments.methods import METHODS, Method
from sql.queries import load_sql

POOL, MODEL = "million", "qwen2-7b"
SEEDS = (0, 1, 2, 3, 4)
BUDGETS = (10_000, 50_000)
REPETITIONS = 5
SELECT = "50_selections/highest_scores"
SCORES = """
    SELECT
        unnest($seeds::INTEGER[]) AS seed,
        unnest($budgets::INTEGER[]) AS budget,
        md5(sample::VARCHAR) AS sample_id,
        CASE
            WHEN budget IS NULL OR sample < budget
                THEN md5_number_lower(concat_ws('/', $method::VARCHAR, seed, budget, sample)) / 18446744073709551616.0
        END AS score
    FROM range($rows::BIGINT) AS samples(sample)
"""


def partition(method: Method) -> dict[str, str | None]:
    return {"pool": POOL, "model": MODEL if method.scored_per == "scoring" else None}


def fill(warehouse: Warehouse, method: Method, rows: int) -> int:
    """Put random scores into the method's table; the number of rows."""
    seeds = list(SEEDS) if method.seeded_scores else [None]
    budgets = list(BUDGETS) if method.budgeted_scores else [None]
    # unnest of two lists pairs them.
    values = {
        "seeds": [seed for seed in seeds for _ in budgets],
        "budgets": [budget for _ in seeds for budget in budgets],
        "method": method.name,
        "rows": rows,
    }
    return warehouse.replace(method.table, partition(method), SCORES, values, order=BEST_FIRST)


def top(connection: duckdb.DuckDBPyConnection, method: Method, budget: int) -> int:
    """Select as the graph does; the number of samples."""
    values = {
        "table": method.table,
        **partition(method),
        "seed": SEEDS[0] if method.seeded_scores else None,
        "scores_budget": BUDGETS[0] if method.budgeted_scores else None,
        "sub_pool": None,
        "budget": budget,
    }
    return connection.execute(load_sql(SELECT), values).to_arrow_table().num_rows


def repeated(work: Callable[[], Any]) -> list[float]:
    """Seconds of each repetition."""
    seconds: list[float] = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return seconds


def measure(warehouse: Warehouse, methods: list[Method], rows: int, budget: int) -> dict[str, list[float]]:
    one = next(method for method in methods if not method.seeded_scores and not method.budgeted_scores)

    def opened() -> None:
        with warehouse.read() as connection:
            top(connection, one, budget)

    results = {f"top {budget:,} of one table, warehouse opened for it": repeated(opened)}
    with warehouse.read() as connection:
        results[f"top {budget:,} of one table"] = repeated(lambda: top(connection, one, budget))
        results[f"top {budget:,} of all {len(methods)} tables, one after another"] = repeated(
            lambda: [top(connection, method, budget) for method in methods]
        )
    results[f"one partition of {rows:,} rows replaced"] = repeated(lambda: fill(warehouse, one, rows))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="samples of the pool")
    parser.add_argument("--budget", type=int, default=10_000, help="samples that are selected")
    arguments = parser.parse_args()
    methods = [method for method in METHODS.values() if method.scored_per and not method.variant_of]
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(folder=folder)
        total = sum(fill(warehouse, method, arguments.rows) for method in methods)
        results = measure(warehouse, methods, arguments.rows, arguments.budget)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPU cores, DuckDB {duckdb.__version__}; "
        f"{len(methods)} tables of scores with {total:,} rows, {REPETITIONS} repetitions\n"
    )
    print("| seconds | median | min | max |\n|---|---:|---:|---:|")
    for name, seconds in results.items():
        print(f"| {name} | {statistics.median(seconds):.3f} | {min(seconds):.3f} | {max(seconds):.3f} |")


if __name__ == "__main__":
    main()
