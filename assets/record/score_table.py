"""How a method's scores are written, whatever they are made of, and what is shown of them."""

import time
from typing import Any

import dagster as dg
import duckdb

from assets.record.checks import Facts, score_results
from assets.record.metadata import markdown_counts, markdown_histogram
from resources.warehouse import Warehouse
from selection_platform.errors import PlatformError
from selection_platform.experiments.methods import METHODS
from sql.queries import load_sql

HISTOGRAM_BINS = 20

BEST_FIRST = "score DESC NULLS LAST, sample_id"
"""The order in which scores are stored, so that a selection reads the head of a table."""


def replace_scores(
    warehouse: Warehouse, method: str, partition: dict[str, str | None], statement: str, values: dict[str, Any]
) -> dg.MaterializeResult:
    """Write the partition's scores, which a statement gives, and describe them."""
    started = time.monotonic()
    table = METHODS[method].table
    named = {"table": table, **partition}
    summary: Facts = {}

    def verify(connection: duckdb.DuckDBPyConnection) -> None:
        summary.update(connection.execute(load_sql("40_scores/summary"), named).pl().row(0, named=True))
        scored, not_finite = summary["scored"], summary["not_finite"]
        if scored == 0 or not_finite:
            raise PlatformError(
                f"{table} of {partition['pool']}: {scored:,} samples have a score, {not_finite:,} of them NaN or "
                "infinite; look at the features that the scores are made of"
            )

    rows = load_sql(f"40_scores/{statement}")
    warehouse.replace(table, partition, rows, values, verify, order=BEST_FIRST)
    with warehouse.read() as connection:
        dropped = dict(connection.execute(load_sql("40_scores/dropped"), named).fetchall())
        with_bins = {**named, "bins": HISTOGRAM_BINS}
        bins = dict(connection.execute(load_sql("40_scores/histogram"), with_bins).fetchall())
        ((correlation, compared),) = connection.execute(load_sql("40_scores/length_correlation"), named).fetchall()
    return dg.MaterializeResult(
        metadata={
            "dagster/table_name": table,
            "dagster/partition_row_count": summary["scored"],
            "lowest": summary["lowest"],
            "median": summary["median"],
            "highest": summary["highest"],
            "dropped": markdown_counts(dropped),
            "seconds": time.monotonic() - started,
            "histogram": markdown_histogram(summary["lowest"], summary["highest"], bins, HISTOGRAM_BINS),
        },
        check_results=score_results(summary, correlation, compared, picks_alone=METHODS[method].picks_alone),
        data_version=dg.DataVersion(warehouse.content_hash(table, partition)),
    )
