"""Selections: the sample ids that each experiment trains on."""

from typing import Any

import dagster as dg
import duckdb

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import SELECTION_CHECKS, Facts, selection_results
from assets.record.metadata import markdown_links, markdown_picks, partition_link
from assets.record.score_table import part_of_scores
from resources.replacement import Replacement, Verifier
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.experiments.methods import Method
from sql.queries import load_sql

CONTENT = '"position", sample_id'
"""The content of a selection. Scores are left out: the same ids in the same order give the same training."""


PICKS_SHOWN = 3


def selection_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    scored = [name for name in profile.arms if profile.methods[name].scored_per is not None]

    @platform_asset(
        partitions=partitions.experiments,
        deps=[
            *partitions.pools_to_experiments(),
            *(
                dg.AssetDep(["scores", name], partition_mapping=partitions.scores_to_experiments(name))
                for name in scored
            ),
        ],
        checks=SELECTION_CHECKS,
        group="selections",
        kinds={"sql", "duckdb"},
        settings={},
        sql=["50_selections/whole_pool", "50_selections/highest_scores", "50_selections/experiment"],
        part=lambda key: _part_of_scores(*_with_method(profile, key)),
    )
    def selection(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The samples that an experiment trains on, best first. Table `selections.samples`."""
        experiment, method = _with_method(profile, context.partition_key)
        partition = {"experiment": experiment.key}
        rows, values = selection_query(experiment, method)
        facts: Facts = {}
        verify = _verifier(experiment, facts)
        count, _ = warehouse.replace_together(
            Replacement("selections.samples", partition, rows, values, verify),
            Replacement("experiments.keys", partition, load_sql("50_selections/experiment"), _columns(experiment)),
        )
        return dg.MaterializeResult(
            metadata={
                "made from": markdown_links(_made_from(partitions, experiment)),
                "dagster/table_name": "selections.samples",
                "dagster/partition_row_count": count,
                **{name: value for name, value in _columns(experiment).items() if value is not None},
                "picked first": markdown_picks(_first_picks(experiment, warehouse)),
            },
            check_results=selection_results(facts),
            data_version=dg.DataVersion(warehouse.content_hash("selections.samples", partition, CONTENT)),
        )

    return [selection]


def _with_method(profile: Profile, key: str) -> tuple[Experiment, Method]:
    experiment = profile.experiments[key]
    return experiment, profile.methods[experiment.method]


def _made_from(partitions: Partitions, experiment: Experiment) -> list[str]:
    scores = partitions.scores_of_experiment(experiment)
    return [
        *([] if scores is None else [partition_link(f"scores/{experiment.method}", scores)]),
        *([] if experiment.pool is None else [partition_link("pool", experiment.pool)]),
    ]


def _first_picks(experiment: Experiment, warehouse: Warehouse) -> list[dict[str, Any]]:
    values = {"experiment": experiment.key, "pool": experiment.pool, "count": PICKS_SHOWN}
    return warehouse.query(load_sql("50_selections/first_picks"), values).to_dicts()


def _columns(experiment: Experiment) -> dict[str, Any]:
    return {
        "method": experiment.method,
        "pool": experiment.pool,
        "model": experiment.model,
        "budget": experiment.budget,
        "seed": experiment.seed,
        "pool_size": experiment.pool_size,
    }


def selection_query(experiment: Experiment, method: Method) -> tuple[str, dict[str, Any]]:
    """The statement that selects by the method of an experiment, and its parameters."""
    if method.scored_per is None:
        # The base model has no pool, so it selects nothing.
        return load_sql("50_selections/whole_pool"), {"pool": experiment.selects_from}
    source = scores_of(experiment, method)
    assert source is not None
    # If the scores are of the pool or sub-pool to select from, all of them are used.
    sub_pool = None if source["pool"] == experiment.selects_from else experiment.selects_from
    return load_sql("50_selections/highest_scores"), {**source, "sub_pool": sub_pool, "budget": experiment.budget}


def scores_of(experiment: Experiment, method: Method) -> dict[str, Any] | None:
    """The scores that an experiment selects by: the table, and the values of its partition columns.

    None for arms that need no scores.
    """
    if method.scored_per is None or experiment.pool is None:
        return None
    pool = experiment.selects_from if method.set_dependent else experiment.pool
    return {
        "table": method.table,
        "pool": pool,
        "model": None if method.scored_per == "pool" else experiment.model,
        "seed": experiment.seed if method.seeded_scores else None,
        "scores_budget": experiment.budget if method.budgeted_scores else None,
    }


def _part_of_scores(experiment: Experiment, method: Method) -> str | None:
    source = scores_of(experiment, method)
    return part_of_scores(source["seed"], source["scores_budget"]) if source else None


def _verifier(experiment: Experiment, facts: Facts) -> Verifier:
    """A check of the selection inside its transaction, so that a wrong selection is never committed.

    It writes its counts to `facts`.
    """

    def verify(connection: duckdb.DuckDBPyConnection) -> None:
        values = {"experiment": experiment.key, "pool": experiment.selects_from}
        faults = connection.execute(load_sql("50_selections/faults"), values).pl().row(0, named=True)
        counts = [f"{count:,} {fault}" for fault, count in faults.items() if count]
        if counts:
            raise PlatformError(f"the selection has {', '.join(counts)}; materialise the method's scores again")
        selected, pool_size = connection.execute(load_sql("50_selections/size"), values).fetchall()[0]
        wanted = pool_size if experiment.budget is None else experiment.budget
        facts.update(faults, selected=selected, wanted=wanted)
        if selected != wanted:
            raise PlatformError(
                f"{wanted:,} samples are wanted, but only {selected:,} have a score; lower the budget, or enlarge the "
                "pool (the column `dropped` of the method's scores says why a sample has no score)"
            )

    return verify
