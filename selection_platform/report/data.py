"""The data of a report: tables of the warehouse, the paper's numbers, or a table of results from elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl

from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import FineTuningSettings
from selection_platform.experiments.methods import METHODS, Method
from selection_platform.features.rescored import is_rescored
from selection_platform.report.card_section import gains_by_card
from selection_platform.report.contamination import with_and_without
from selection_platform.report.costs import ArmCost, ExperimentCost, Part, Spent, arm_costs, arms_of
from selection_platform.report.item_outcomes import counted, won_and_lost
from selection_platform.report.proxies import has_cheaper_scorers
from selection_platform.report.recipe import recipe
from selection_platform.report.rescored import rescored_rows
from selection_platform.verdict.results_table import paper_runs, read_results
from selection_platform.verdict.tables import run_rows, verdict_rows
from selection_platform.verdict.verdicts import LOSS, named_measure, verdicts
from sql.queries import load_sql

TRAINING = "experiments.training"
CONTAMINATION = "pools.contamination"
PROXY_CARD = "reports.proxy_card"
MOST_PICKS = 10
"""Most picks of an experiment that are shown."""
_CELL = {"model": pl.String, "pool": pl.String, "budget": pl.Int64}
PICK_SCHEMA = {"experiment": pl.String, "method": pl.String, **_CELL, "seed": pl.Int64, "position": pl.Int64} | {
    "sample_id": pl.String, "source": pl.String, "licence": pl.String,
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
}  # fmt: skip
ITEM_SCHEMA = (
    {"method": pl.String, **_CELL}
    | dict.fromkeys(["benchmark", "task", "item_id", "outcome"], pl.String)
    | {"difference": pl.Float64}
)

Query = Callable[[str, Mapping[str, Any]], pl.DataFrame]
"""Returns the result of a SELECT with parameters."""


@dataclass(frozen=True)
class Margins:
    """Differences that are too small to matter.

    Attributes:
        points: margin of benchmarks, in percentage points.
        loss: margin of the held-out loss, in bits per byte.
    """

    points: float
    loss: float

    def of(self, measure: str) -> float:
        """The margin of a measure, in its unit."""
        return self.loss if measure == LOSS else self.points


@dataclass(frozen=True)
class ReportData:
    """The data of a page. A section without rows is left out.

    Attributes:
        title: the origin of the numbers.
        description: a description in a sentence or two.
        margins: differences that are too small to matter.
        runs: the runs, with the columns of `verdict.tables.RUN_SCHEMA`.
        verdict: rows of `reports.verdict`.
        disclaimer: what the numbers do not say.
        tables: rows of the other tables of `reports`, by the table's name; `training`, of `experiments.training`; and
            what is counted of the items: `items_won_and_lost`, `answer_card` and `contamination`; and `rescored`.
        paper: rows as of `reports.verdict`, of the paper's published averages; none where the report is about these.
        costs: of each arm.
        snapshot: of the warehouse; None where the numbers come from elsewhere.
        written: when that snapshot was written, in UTC.
        picks: what each arm picks first, rows of `90_reports/picks.sql`. No text of rows without a licence.
        items: the benchmark items that each arm wins and loses, as `items.won_and_lost` names the columns.
        card_gains: how much of each arm's gain comes from items whose answer card differs; see `gains_by_card`.
        recipe: what the numbers were made with, by what it is of.
        fine_tuning: the recipe of the trainings.
        summaries: what each method picks, in one line, by its name.
    """

    title: str
    description: str
    margins: Margins
    runs: pl.DataFrame
    verdict: pl.DataFrame
    disclaimer: str | None = None
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    paper: pl.DataFrame | None = None
    costs: Sequence[ArmCost] = ()
    picks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PICK_SCHEMA))
    items: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ITEM_SCHEMA))
    card_gains: pl.DataFrame | None = None
    snapshot: int | None = None
    written: str | None = None
    recipe: Mapping[str, str] = field(default_factory=dict)
    fine_tuning: FineTuningSettings | None = None
    summaries: Mapping[str, str] = field(default_factory=lambda: summaries_of(METHODS))

    def table(self, name: str) -> pl.DataFrame | None:
        """The rows of `reports.<name>`; None if there are none."""
        rows = self.tables.get(name)
        return None if rows is None or rows.is_empty() else rows


def own_data(profile: Profile, query: Query, snapshot: int) -> ReportData:
    """The data of the report on a profile's own results."""
    names = ["cost_ledger", "experiment_costs"]
    # A table still has rows of arms that were removed from the profile.
    names += ["selection_overlap", "selection_profile"] if profile.first_selections else []
    names += ["pool_size_curve"] if profile.sub_pools else []
    names += ["diversity_ablation"] if profile.cluster_pairs else []
    margins = Margins(profile.verdict.margin, profile.verdict.loss_margin)
    tables = {name: query(f"FROM reports.{name}", {}) for name in names}
    # Homes of an earlier version have no such tables before the first write.
    present = set(query(load_sql("00_warehouse/columns"), {})["name"])
    if TRAINING in present:
        tables["training"] = _training(profile, query(f"FROM {TRAINING}", {}))
    differences = query(load_sql("90_reports/item_differences"), {})
    if PROXY_CARD in present and has_cheaper_scorers(profile):
        tables["proxy_card"] = query(f"FROM {PROXY_CARD}", {})
    if is_rescored(profile):
        tables["rescored"] = rescored_rows(profile, query)
    if CONTAMINATION in present:
        tables["contamination"] = with_and_without(differences, query(load_sql("90_reports/contamination"), {}))
    tables["items_won_and_lost"] = counted(differences)
    tables["answer_card"] = query(load_sql("90_reports/answer_card"), {})
    return ReportData(
        title=f"Profile {profile.name}",
        description=profile.description,
        disclaimer=profile.disclaimer,
        margins=margins,
        runs=query(load_sql("90_reports/runs"), {}),
        verdict=query("FROM reports.verdict", {}),
        tables=tables,
        costs=_arm_costs(profile, tables["experiment_costs"]),
        paper=_paper_verdicts(margins),
        picks=query(load_sql("90_reports/picks"), {"experiments": list(profile.first_selections), "most": MOST_PICKS}),
        items=won_and_lost(differences),
        card_gains=gains_by_card(differences),
        snapshot=snapshot,
        written=_written(query, snapshot),
        recipe=recipe(profile),
        fine_tuning=profile.fine_tuning,
        summaries=summaries_of(profile.methods),
    )


def summaries_of(methods: Mapping[str, Method]) -> dict[str, str]:
    """What each method picks, in one line, by its name."""
    return {name: method.summary for name, method in methods.items()}


def _written(query: Query, snapshot: int) -> str | None:
    """The time of a snapshot, in UTC."""
    times = dict(query(load_sql("00_warehouse/snapshot_times"), {"snapshots": [snapshot]}).iter_rows())
    moment = times.get(snapshot)
    return None if moment is None else f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%d %H:%M} UTC"


def _training(profile: Profile, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of `experiments.training` of the profile's experiments, in their order, with the columns of their keys.

    `pool` is the pool or sub-pool of the selection; `budget` is null if all of it is selected.
    """
    arms = pl.DataFrame(
        [
            (key, each.base_model, each.selects_from, each.budget, each.method, each.seed)
            for key, each in profile.trained_experiments.items()
        ],
        schema={
            "experiment": pl.String, "model": pl.String, "pool": pl.String, "budget": pl.Int64, "method": pl.String,
            "seed": pl.Int64,
        },
        orient="row",
    )  # fmt: skip
    return arms.join(rows, on="experiment", maintain_order="left")


def _arm_costs(profile: Profile, rows: pl.DataFrame) -> list[ArmCost]:
    """The costs of the profile's arms, from rows of `reports.experiment_costs`."""
    arms = arms_of(profile.experiments)
    costs = [
        ExperimentCost(experiment, cast(Part, part), Spent(*spent))
        for experiment, part, *spent in rows.select("experiment", "part", *Spent._fields).iter_rows()
        if experiment in arms
    ]
    return arm_costs(costs, arms)


def paper_data(profile: Profile) -> ReportData:
    """The paper's published averages, with the profile's margins."""
    margins = Margins(profile.verdict.margin, profile.verdict.loss_margin)
    return ReportData(
        title="The paper's published averages",
        description=(
            'Numbers from "Rethinking Data Selection at Scale: Random Selection is Almost All You Need" (arXiv '
            "2410.09335): averages over five benchmarks, 10,000 samples, five random runs, one run of each method. Its "
            "script sets the training seed to 0: the random runs differ by the draw, but not by the order of training."
        ),
        margins=margins,
        runs=run_rows(paper_runs()),
        verdict=_paper_verdicts(margins),
    )


def table_data(profile: Profile, path: Path, primary: str | None) -> ReportData:
    """Results from elsewhere, with the profile's margins.

    Args:
        profile: the profile with the margins.
        path: the file; see `verdict.results_table`.
        primary: the primary measure; see `primary_of`.

    Raises:
        PlatformError: the file is not a table of results, or does not have the measure.
    """
    margins = Margins(profile.verdict.margin, profile.verdict.loss_margin)
    results = read_results(path)
    comparisons = verdicts(results.runs, {LOSS: margins.loss}, margins.points, named_measure(primary, results.runs))
    runs = {(run.cell, run.method, run.seed) for run in results.runs}
    return ReportData(
        title=f"Results in {path.name}",
        description=f"{len(runs)} runs that were trained and evaluated elsewhere.",
        margins=margins,
        runs=run_rows(results.runs),
        verdict=verdict_rows(comparisons, results.intervals),
    )


def _paper_verdicts(margins: Margins) -> pl.DataFrame:
    return verdict_rows(verdicts(paper_runs(), {LOSS: margins.loss}, margins.points), {})
