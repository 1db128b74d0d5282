"""The proxy card: does a cheaper scorer pick what a dearer one picks, and what does it save?

A cheaper scorer is whatever the tables already hold: the same method with another model of the profile; LESS with the
first checkpoints of its warm-up alone; one of SelectIT's raters, with all wordings or with the first alone. Cheaper is
what does less arithmetic, which is the same on any machine; where that of one of the two is not known, there is no row.
Scores come from the methods' own statements.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class Scorer:
    """One way to score a pool.

    Attributes:
        name: of the scorer.
        spent: what selecting by it costs, if nothing else does; nothing where the ledger does not have it.
        read: gives the scores.
    """

    name: str
    spent: Spent
    read: Callable[[], pl.DataFrame]

    @cached_property
    def scores(self) -> pl.DataFrame:
        """Columns sample_id and score, with a row for each sample of the pool: read once, and only if asked for."""
        return self.read().select("sample_id", "score")


def has_cheaper_scorers(profile: Profile) -> bool:
    """Whether the tables of a profile's results may hold a cheaper scorer of any arm."""
    alone = {LESS.name, "selectit"} if profile.selectit.helpers else {LESS.name}
    arms = [profile.methods[name] for name in profile.arms]
    several = len(profile.fine_tuned_models) > 1
    return any(arm.without_targets in alone or (several and _by_model(arm)) for arm in arms)


def proxy_rows(profile: Profile, query: "Query", spent: Mapping[str, Spent]) -> pl.DataFrame:
    """The rows of `reports.proxy_card`, in the profile's order.

    Args:
        profile: the profile.
        query: reads the warehouse.
        spent: the cost of each partition's content, by `asset partition`.

    Raises:
        PlatformError: see `agreement`.
    """
    costs = _costs(query)
    rows: list[dict[str, Any]] = []
    for experiments in _by_scores(profile):
        whole = _of_model(profile, query, experiments[0], costs)
        for one in _scorers(profile, query, experiments[0], whole, costs, spent):
            # What was not counted is not known to be cheaper.
            if 0 < one.spent.flops < whole.spent.flops:
                # Of all samples, any scorer picks the same.
                chosen = [each for each in experiments if (each.budget or 0) < whole.scores.height]
                rows += [_row(profile.methods[each.method], each, one, whole) for each in chosen]
    return pl.DataFrame(rows, schema=SCHEMA)


def _by_scores(profile: Profile) -> list[list[Experiment]]:
    """The first selections by the same scores: one for each budget."""
    groups: dict[tuple[str, str | None, str | None], list[Experiment]] = {}
    for each in profile.first_selections.values():
        if _by_model(profile.methods[each.method]):
            groups.setdefault((each.method, each.pool, each.model), []).append(each)
    return list(groups.values())


def _by_model(method: Method) -> bool:
    """Whether a method's scores are the model's: where they come from a draw too, two models share the draw."""
    return method.scored_per == "scoring" and not method.seeded_scores and not method.budgeted_scores


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


def _of_model(profile: Profile, query: "Query", experiment: Experiment, costs: Mapping[str, Spent]) -> Scorer:
    """The scorer of an experiment: what is in its method's table."""
    table = profile.methods[experiment.method].table
    values = {"table": table, "pool": experiment.pool, "model": experiment.model}
    read = partial(query, load_sql("90_reports/scores_of"), values)
    return Scorer(f"model {experiment.model}", costs.get(experiment.key, Spent()), read)


def _scorers(
    profile: Profile,
    query: "Query",
    experiment: Experiment,
    whole: Scorer,
    costs: Mapping[str, Spent],
    spent: Mapping[str, Spent],
) -> Iterator[Scorer]:
    """The other ways to score for an experiment, cheaper or not."""
    for model in profile.fine_tuned_models:
        if model != experiment.model:
            yield _of_model(profile, query, replace(experiment, model=model), costs)
    method = profile.methods[experiment.method]
    if method.without_targets == LESS.name:
        yield from _first_checkpoints(query, experiment, method, whole)
    if experiment.method == "selectit" and len(profile.raters_of(experiment.base_model)) > 1:
        yield from _single_raters(profile, query, experiment, spent)


def _first_checkpoints(query: "Query", experiment: Experiment, method: Method, whole: Scorer) -> Iterator[Scorer]:
    """LESS by the first checkpoints of its warm-up; each costs as much as any other, in training and in the pass."""
    direction = "adam" if method.targets == DEFAULT_TARGETS else f"adam/{method.targets}"
    of = {"pool": experiment.pool, "model": experiment.model, "direction": direction}
    rates = query(load_sql("90_reports/warmup_epochs"), of)["mean_learning_rate"].to_list()
    for kept in range(1, len(rates)):
        values = {**of, "weights": [rate if place < kept else 0.0 for place, rate in enumerate(rates)]}
        read = partial(query, load_sql("40_scores/less"), values)
        yield Scorer(f"{kept} of {len(rates)} checkpoints", Spent().plus(whole.spent, kept / len(rates)), read)


def _single_raters(
    profile: Profile, query: "Query", experiment: Experiment, spent: Mapping[str, Spent]
) -> Iterator[Scorer]:
    """SelectIT by one of several raters, with all wordings and with the first of them."""
    for rater in profile.raters_of(experiment.base_model):
        rating = spent.get(f"rating_probability {Scoring(experiment.pool or '', rater).key}", Spent())
        for level, said, share in (("sentence", "five wordings", 1.0), ("token", "one wording", 1 / 5)):
            values = {
                "pool": experiment.pool,
                "raters": [rater],
                "weights": [1.0],
                "alpha": profile.selectit.alpha,
                "level": level,
                "softmax_twice": False,
            }
            read = partial(query, load_sql("40_scores/selectit"), values)
            yield Scorer(f"rater {rater}, {said}", Spent().plus(rating, share), read)
