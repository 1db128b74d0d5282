"""Declares, writes and describes the scores of a method."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
import duckdb

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import SCORE_CHECKS, Facts, score_results
from assets.record.metadata import markdown_counts, markdown_histogram
from assets.record.provenance import PARTS
from assets.record.recording import Materialize
from assets.record.settings_used import Used
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.experiments.methods import Method
from sql.queries import load_sql

HISTOGRAM_BINS = 20

BEST_FIRST = "score DESC NULLS LAST, sample_id"
"""The order of stored scores, so that a selection reads the first rows of a table."""


def replace_scores(
    warehouse: Warehouse, method: Method, partition: dict[str, str | None], statement: str, values: dict[str, Any]
) -> dg.MaterializeResult:
    """Write the scores that a statement selects, and describe them."""
    started = time.monotonic()
    table = method.table
    named = {"table": table, **partition}
    summary: Facts = {}

    def verify(connection: duckdb.DuckDBPyConnection) -> None:
        summary.update(connection.execute(load_sql("40_scores/summary"), named).pl().row(0, named=True))
        scored, not_finite = summary["scored"], summary["not_finite"]
        if scored == 0 or not_finite:
            raise PlatformError(
                f"{table} of {partition['pool']}: {scored:,} samples have a score, and {not_finite:,} of these are NaN "
                "or infinite; check the features that the scores are computed from"
            )

    rows = load_sql(f"40_scores/{statement}")
    warehouse.add_score_table(table)
    warehouse.replace(table, partition, rows, values, verify, order=BEST_FIRST)
    with warehouse.read() as connection:
        dropped = dict(connection.execute(load_sql("40_scores/dropped"), named).fetchall())
        with_bins = {**named, "bins": HISTOGRAM_BINS}
        bins = dict(connection.execute(load_sql("40_scores/histogram"), with_bins).fetchall())
        ((correlation, compared),) = connection.execute(load_sql("40_scores/length_correlation"), named).fetchall()
    parts = {
        part_of_scores(*of) or "": version
        for of, version in warehouse.content_hashes(table, partition, ["seed", "budget"]).items()
    }
    return dg.MaterializeResult(
        metadata={
            **({PARTS: dg.MetadataValue.json(parts)} if parts.keys() - {""} else {}),
            "dagster/table_name": table,
            "dagster/partition_row_count": summary["scored"],
            "lowest": summary["lowest"],
            "median": summary["median"],
            "highest": summary["highest"],
            "dropped": markdown_counts(dropped),
            "seconds": time.monotonic() - started,
            "histogram": markdown_histogram(summary["lowest"], summary["highest"], bins, HISTOGRAM_BINS),
        },
        check_results=score_results(summary, correlation, compared, picks_alone=method.picks_alone),
        data_version=dg.DataVersion(warehouse.content_hash(table, partition)),
    )


def part_of_scores(seed: int | None, budget: int | None) -> str | None:
    """The part of a score table that one selection reads, if each seed or budget has its own scores; else None."""
    if seed is None:
        return None if budget is None else f"budget {budget}"
    return f"seed {seed}"


def sql_score(
    profile: Profile,
    partitions: Partitions,
    method: str,
    statement: str,
    deps: list[str],
    settings: Used | None = None,
    **values: Any,
) -> dg.AssetsDefinition:
    """An asset whose scores are a formula: the statement `sql/40_scores/<statement>.sql`.

    Args:
        profile: the profile.
        partitions: the partitions of the profile.
        method: name of the method.
        statement: name of the statement. Its parameters are `$pool`, `$model` if scores depend on one, and `values`.
        deps: names of the assets that it reads.
        settings: settings of the profile that decide `values`.
        values: more parameters of the statement.
    """

    @score_asset(
        profile, partitions, method, deps, {"sql", "duckdb"}, settings=settings or {}, sql=[f"40_scores/{statement}"]
    )
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = scored_partition(profile, method, context.partition_key)
        # A parameter that a statement does not use is an error.
        of_partition = {name: value for name, value in partition.items() if value is not None}
        return replace_scores(warehouse, profile.methods[method], partition, statement, {**of_partition, **values})

    return scores


def score_asset(
    profile: Profile,
    partitions: Partitions,
    method: str,
    deps: Sequence[str | dg.AssetDep],
    kinds: set[str],
    *,
    settings: Used | Callable[[str], Used],
    rendered: Callable[[str], TextSettings] | None = None,
    sql: Sequence[str],
    by: Sequence[str] = (),
    gpu: bool = False,
) -> Callable[[Materialize], dg.AssetsDefinition]:
    """Decorates the function that writes a method's scores. See `platform_asset`."""
    made = profile.methods[method]
    return platform_asset(
        key=["scores", method],
        description=f"{made.summary[0].upper()}{made.summary[1:]}. Table `{made.table}`.",
        partitions=partitions.scored(method),
        deps=deps,
        checks=SCORE_CHECKS,
        group="scores",
        kinds=kinds,
        settings=settings,
        rendered=rendered,
        sql=sql,
        by=by,
        gpu=gpu,
    )


def scored_partition(profile: Profile, method: str, partition_key: str) -> dict[str, str | None]:
    """The values of a score table's partition columns."""
    return profile.scored(method)[partition_key]._asdict()
