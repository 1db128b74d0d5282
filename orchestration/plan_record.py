"""Writes down which runs are planned and which arms are dropped, and why. What is planned is due from then on."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from orchestration.planned import PLAN, has_plan
from orchestration.run_plan import Candidate, RunPlan
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.verdict.chances import HOPELESS
from selection_platform.verdict.verdicts import RANDOM
from sql.queries import load_sql

_COMPARISON = ("measure", "model", "pool", "budget", "method")
_SCHEMA = {
    "planned_at": pl.Datetime, "decision": pl.String, "experiment": pl.String, "reason": pl.String,
    "expected_seconds": pl.Float64, "measure": pl.String, "model": pl.String, "pool": pl.String, "budget": pl.Int32,
    "method": pl.String, "verdict": pl.String, "look": pl.Int32, "looks": pl.Int32, "difference": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "p_adjusted": pl.Float64, "p_same_adjusted": pl.Float64,
    "chance": pl.Float64,
}  # fmt: skip
DROPPED = ("settled", "hopeless", "out of seeds")
"""States in which a comparison gets no more seeds."""

Row = dict[str, Any]


def record(profile: Profile, warehouse: Warehouse, plan: RunPlan, chosen: Sequence[Candidate]) -> None:
    """Add a round to the table of plans, if there is anything to say.

    Args:
        profile: of the plan.
        warehouse: has the table.
        plan: the plan.
        chosen: its comparisons that get more seeds.
    """
    known = _newest(warehouse)
    rows = [*_planned(profile, plan, chosen), *(row for row in _dropped(plan) if _is_new(row, known))]
    if rows:
        moment = datetime.now(UTC).replace(tzinfo=None)
        frame = pl.DataFrame([{"planned_at": moment, **row} for row in rows], schema=_SCHEMA)
        warehouse.replace_from_frame(PLAN, {"round": _last_round(warehouse) + 1}, frame)


def why_dropped(candidate: Candidate) -> str:
    """Why a comparison gets no more seeds, in words."""
    prospect, numbers = candidate.prospect, candidate.prospect.verdict.comparison
    at = f"at look {numbers.look} of {numbers.looks}" if numbers.looks else "with all its seeds"
    if prospect.state == "settled":
        return f"settled: {prospect.verdict.word} {at}"
    if prospect.state == "hopeless":
        return f"hopeless: no look to come settles it in more than {HOPELESS:.0%} of cases"
    return f"out of seeds: open {at}"


def _planned(profile: Profile, plan: RunPlan, chosen: Sequence[Candidate]) -> Iterator[Row]:
    """A row for each run, once; those of random say for whom they are made."""
    users: dict[str, list[Candidate]] = {}
    for candidate in chosen:
        for run in candidate.next_runs:
            users.setdefault(run, []).append(candidate)
    for run, of in users.items():
        is_random = profile.experiments[run].method == RANDOM
        row = {
            "decision": "run",
            "experiment": run,
            "reason": _for_whom(of) if is_random else _why(of[0]),
            "expected_seconds": plan.costs.seconds([run]),
        }
        yield row if is_random else {**row, **_state(of[0])}


def _why(candidate: Candidate) -> str:
    numbers, best = candidate.prospect.verdict.comparison, candidate.prospect.best
    chance = "not known" if best is None else f"{best:.0%} at its best look to come"
    return f"for look {(numbers.look or 0) + 1} of {numbers.looks}; chance to be settled: {chance}"


def _for_whom(candidates: Iterable[Candidate]) -> str:
    each = (candidate.prospect.verdict for candidate in candidates)
    return "for " + ", ".join(f"look {(one.comparison.look or 0) + 1} of {one.method}" for one in each)


def _dropped(plan: RunPlan) -> Iterator[Row]:
    for each in plan.of(*DROPPED):
        if each.prospect.verdict.comparison.looks:
            yield {"decision": "dropped", "reason": why_dropped(each), **_state(each)}


def _state(candidate: Candidate) -> Row:
    """The comparison as it stands."""
    verdict = candidate.prospect.verdict
    numbers = {name: getattr(verdict.comparison, name) for name in _SCHEMA if hasattr(verdict.comparison, name)}
    place = {"measure": verdict.measure, **verdict.cell._asdict(), "method": verdict.method}
    return {**numbers, **place, "verdict": verdict.word, "chance": candidate.prospect.best}


def _newest(warehouse: Warehouse) -> dict[tuple[Any, ...], tuple[str, str]]:
    """The newest decision on each comparison, and the first word of its reason."""
    if not has_plan(warehouse):
        return {}
    rows = warehouse.query(load_sql("60_plan/newest"))
    return {tuple(row[name] for name in _COMPARISON): _decision(row) for row in rows.to_dicts()}


def _is_new(row: Row, known: dict[tuple[Any, ...], tuple[str, str]]) -> bool:
    return known.get(tuple(row[name] for name in _COMPARISON)) != _decision(row)


def _decision(row: Row) -> tuple[str, str]:
    return row["decision"], row["reason"].partition(":")[0]


def _last_round(warehouse: Warehouse) -> int:
    return warehouse.query(load_sql("60_plan/last_round")).item() if has_plan(warehouse) else 0
