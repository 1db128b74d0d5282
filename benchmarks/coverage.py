"""How long `coverage_*` takes for a million samples, and how much memory.

Run by hand:

    python -m benchmarks.coverage --rows 1000000 --clusters 1000 --picks 10000 --vectors 50000 --dim 1024

Three parts: DuckDB ranks the scores of all rows (the statement `40_scores/candidates`); `cluster_centres` reads vectors
from Parquet; greedy search picks. The first and the third are of all rows. The second is of fewer and shorter vectors,
and worked out for a million of 3,584 dimensions (Qwen2-7B): its time is proportional to rows x dimensions.

Clusters are of uneven size, and their centres lie near each other in groups, so that picks count for several clusters.
"""

import argparse
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.methods.coverage import cluster_centres, cover, spread_among
from sql.queries import load_sql

Result = TypeVar("Result")
PAPER_ROWS, PAPER_DIM = 1_000_000, 3584
SIMILARITY, POWER = 0.9, 0.8


def timed(part: str, work: Callable[[], Result]) -> tuple[Result, float]:
    """The result and its CPU seconds, printed with the process's peak memory so far."""
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    cpu, peak = time.process_time() - cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {part} | {time.monotonic() - wall:.1f} | {cpu:.1f} | {peak:,.0f} |", flush=True)
    return result, cpu


def database(rows: int, clusters: np.ndarray) -> duckdb.DuckDBPyConnection:
    """The two tables that the statement reads; ids are 32 hex digits, as the platform's are."""
    connection = duckdb.connect(":memory:", config={"threads": 2})
    connection.execute("CREATE SCHEMA features; CREATE SCHEMA scores")
    connection.register("given", pa.table({"cluster": clusters}))
    connection.execute(
        "CREATE TABLE features.sample_cluster AS SELECT 'p' AS pool, 'm' AS model, md5(rowid::VARCHAR) AS sample_id, "
        "cluster FROM (SELECT row_number() OVER () AS rowid, cluster FROM given)"
    )
    connection.execute(
        "CREATE TABLE scores.ifd AS SELECT pool, model, sample_id, md5_number_lower(sample_id)::DOUBLE AS score "
        "FROM features.sample_cluster"
    )
    assert connection.execute("SELECT count(*) FROM scores.ifd").fetchall() == [(rows,)]
    return connection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--picks", type=int, default=10_000)
    parser.add_argument("--vectors", type=int, default=50_000, help="rows whose vectors are read")
    parser.add_argument("--dim", type=int, default=1024)
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    uneven = generator.dirichlet(np.ones(given.clusters))
    clusters = generator.choice(given.clusters, given.rows, p=uneven).astype(np.int32)
    groups = generator.standard_normal((given.clusters // 10, given.dim), dtype=np.float32)
    directions = groups[np.arange(given.clusters) % len(groups)] + 0.2 * generator.standard_normal(
        (given.clusters, given.dim), dtype=np.float32
    )
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPU cores")
    print("\n| part | s | CPU s | peak memory of the process so far, MB |\n|---|---:|---:|---:|")
    connection = database(given.rows, clusters)
    values = {"scores": "scores.ifd", "scores_pool": "p", "scores_model": "m", "pool": "p", "model": "m"}
    found, _ = timed("ranks", lambda: connection.execute(load_sql("40_scores/candidates"), values).pl())
    with tempfile.TemporaryDirectory() as folder:
        file, ids = Path(folder) / "part.parquet", found["sample_id"][: given.vectors].to_list()
        of_ids = found["cluster"][: given.vectors].to_numpy()
        noise = generator.standard_normal((given.vectors, given.dim), dtype=np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array((directions[of_ids] + noise).ravel()), given.dim)
        pq.write_table(pa.table({"sample_id": ids, "embedding": column}), file, use_dictionary=False)
        del noise, column
        (_, samples), cpu = timed("centres", lambda: cluster_centres([file], "embedding", ids, of_ids))
    assert samples.sum() == given.vectors
    counts = np.bincount(clusters, minlength=given.clusters)
    spread, _ = timed("similar centres", lambda: spread_among(directions.astype(float), counts, SIMILARITY))
    of_rows = found["cluster"].to_numpy(), found["quality"].to_numpy()
    picked, _ = timed("greedy search", lambda: cover(*of_rows, spread, given.picks, POWER))
    whole = cpu * PAPER_ROWS * PAPER_DIM / given.vectors / given.dim
    print(
        f"\n{given.rows:,} rows, {given.clusters:,} clusters, {spread.pairs:,} pairs of similar ones; {len(picked):,}"
    )
    print(f"picks. The centres of {PAPER_ROWS:,} x {PAPER_DIM:,} take about {whole / 60:.1f} minutes of CPU time.")


if __name__ == "__main__":
    main()
