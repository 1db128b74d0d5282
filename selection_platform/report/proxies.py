"""The proxy card: does a cheaper scorer pick what a dearer one picks, and what does it save?

A cheaper scorer is whatever the tables already hold: the same method with another, cheaper model of the profile; LESS
with the first checkpoints of its warm-up alone; one of SelectIT's raters, with all wordings or with the first alone.
Scores come from the methods' own statements.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from selection_platform.configuration.profile import Profile
from selection_platform.experiments.keys import Experiment, Scoring
from selection_platform.experiments.methods import DEFAULT_TARGETS, LESS, Method
from selection_platform.report.agreement import agreement
from selection_platform.report.costs import Spent
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.report.data import Query

SCHEMA = {
    **dict.fromkeys(["method", "pool", "model", "proxy"], pl.String),
    "budget": pl.Int32,
    **dict.fromkeys(["samples", "unscored", "picks", "shared"], pl.Int64),
    **dict.fromkeys(["share_low", "share_high", "by_chance"], pl.Float64),
    **dict.fromkeys(["correlation", "correlation_low", "correlation_high"], pl.Float64),
    "good_enough": pl.Boolean,
    **dict.fromkeys(["flops", "whole_flops", "cpu_seconds", "whole_cpu_seconds"], pl.Float64),
    **dict.fromkeys(["gpu_seconds", "whole_gpu_seconds"], pl.Float64),
}
"""The columns of `reports.proxy_card`."""


class Scorer(NamedTuple):
    """One way to score a pool.

    Attributes:
        name: of the scorer.
        scores: columns sample_id and score.
        spent: what selecting by it costs, if nothing else does.
    """

    name: str
    scores: pl.DataFrame
    spent: Spent


def has_cheaper_scorers(profile: Profile) -> bool:
    """Whether the tables of a profile's results hold a cheaper scorer of any arm."""
    alone = {LESS.name, "selectit"} if profile.selectit.helpers else {LESS.name}
    arms = [profile.methods[name] for name in profile.arms]
    several = len(profile.fine_tuned_models) > 1
    return any(arm.without_targets in alone or (several and arm.scored_per == "scoring") for arm in arms)


def proxy_rows(profile: Profile, query: "Query") -> pl.DataFrame:
    """The rows of `reports.proxy_card`, in the profile's order.

    Raises:
        PlatformError: see `agreement`.
    """
    costs = _costs(query)
    rows: list[dict[str, Any]] = []
    for experiment in profile.first_selections.values():
        method, others = profile.methods[experiment.method], _other_models(profile, experiment)
        # A table of scores has a row for each sample of the pool, and is not read in vain.
        if others or method.without_targets == LESS.name or _rated_by_several(profile, experiment):
            whole = _by_table(method, query, experiment, costs)
            cheaper = [_by_table(method, query, other, costs) for other in others]
            if method.without_targets == LESS.name:
                cheaper += _first_checkpoints(query, experiment, method, whole)
            if _rated_by_several(profile, experiment):
                cheaper += _single_raters(profile, query, experiment)
            rows += [_row(method, experiment, one, whole) for one in cheaper if _price(one.spent) < _price(whole.spent)]
    return pl.DataFrame(rows, schema=SCHEMA)


def _other_models(profile: Profile, experiment: Experiment) -> list[Experiment]:
    """The same selections with other models; none where scores do not depend on the model."""
    if profile.methods[experiment.method].scored_per != "scoring":
        return []
    models = (model for model in profile.fine_tuned_models if model != experiment.model)
    return [replace(experiment, model=model) for model in models]


def _rated_by_several(profile: Profile, experiment: Experiment) -> bool:
    """Whether a selection is by the ratings of several models."""
    return experiment.method == "selectit" and len(profile.raters_of(experiment.base_model)) > 1


def _row(method: Method, experiment: Experiment, proxy: Scorer, whole: Scorer) -> dict[str, Any]:
    budget = experiment.budget or 0
    found = agreement(proxy.scores, whole.scores, budget, f"{experiment.key} and {proxy.name}")
    if method.picks_alone:
        # Ranks of a few picks that both happen to have say nothing of the others.
        found = found._replace(correlation=None, correlation_low=None, correlation_high=None)
    return {
        "method": experiment.method,
        "pool": experiment.pool,
        "model": experiment.model,
        "proxy": proxy.name,
        "budget": budget,
        **found._asdict(),
        "good_enough": found.good_enough,
        **_spent("", proxy.spent),
        **_spent("whole_", whole.spent),
    }


def _spent(prefix: str, spent: Spent) -> dict[str, float]:
    return {f"{prefix}{unit}": getattr(spent, unit) for unit in ("flops", "cpu_seconds", "gpu_seconds")}


def _costs(query: "Query") -> dict[str, Spent]:
    """What selecting costs each experiment, if no other method is run."""
    rows = query("FROM reports.experiment_costs", {}).filter(pl.col("part") == "selecting alone")
    return {experiment: Spent(*spent) for experiment, *spent in rows.select("experiment", *Spent._fields).iter_rows()}


def _by_table(method: Method, query: "Query", experiment: Experiment, costs: Mapping[str, Spent]) -> Scorer:
    """The scorer of an experiment: what is in its method's table."""
    values = {
        "table": method.table,
        "pool": experiment.pool,
        "model": experiment.model,
        "seed": experiment.seed if method.seeded_scores else None,
        "budget": experiment.budget if method.budgeted_scores else None,
    }
    scores = query(load_sql("90_reports/scores_of"), values)
    return Scorer(f"model {experiment.model}", scores, costs.get(experiment.key, Spent()))


def _first_checkpoints(query: "Query", experiment: Experiment, method: Method, whole: Scorer) -> Iterator[Scorer]:
    """LESS by the first checkpoints of its warm-up; each costs as much as any other, in training and in the pass."""
    direction = "adam" if method.targets == DEFAULT_TARGETS else f"adam/{method.targets}"
    of = {"pool": experiment.pool, "model": experiment.model, "direction": direction}
    rates = query(load_sql("90_reports/warmup_epochs"), of)["mean_learning_rate"].to_list()
    for kept in range(1, len(rates)):
        weights = [rate if place < kept else 0.0 for place, rate in enumerate(rates)]
        scores = query(load_sql("40_scores/less"), {**of, "weights": weights}).select("sample_id", "score")
        yield Scorer(f"{kept} of {len(rates)} checkpoints", scores, Spent().plus(whole.spent, kept / len(rates)))


def _single_raters(profile: Profile, query: "Query", experiment: Experiment) -> Iterator[Scorer]:
    """SelectIT by one of several raters, with all wordings and with the first of them."""
    rows = query(load_sql("90_reports/rating_costs"), {}).select("partition", *Spent._fields).iter_rows()
    costs = {partition: Spent(*spent) for partition, *spent in rows}
    for rater in profile.raters_of(experiment.base_model):
        spent = costs.get(Scoring(experiment.pool or "", rater).key, Spent())
        for level, said, share in (("sentence", "five wordings", 1.0), ("token", "one wording", 1 / 5)):
            values = {
                "pool": experiment.pool,
                "raters": [rater],
                "weights": [1.0],
                "alpha": profile.selectit.alpha,
                "level": level,
                "softmax_twice": False,
            }
            scores = query(load_sql("40_scores/selectit"), values).select("sample_id", "score")
            yield Scorer(f"rater {rater}, {said}", scores, Spent().plus(spent, share))


def _price(spent: Spent) -> tuple[float, float, float]:
    """What a cost is ordered by: arithmetic, which is the same on any machine, before time."""
    return spent.flops, spent.gpu_seconds, spent.cpu_seconds
