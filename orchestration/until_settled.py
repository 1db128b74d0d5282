"""Run until every verdict is settled: plan the next runs, make them, look again."""

import time
from collections.abc import Sequence

from orchestration.plan_record import DROPPED, record, why_dropped
from orchestration.refresh import Tell, refresh
from orchestration.run_lock import only_run
from orchestration.run_plan import Candidate, RunPlan, run_plan, runs_of_round
from orchestration.workspace import open_workspace
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError
from selection_platform.text.numbers import duration
from selection_platform.verdict.words import cell_name


def run_until_settled(profile: Profile, hours: float | None = None, *, tell: Tell) -> None:
    """Make what is due, and then round after round of planned runs, until no comparison is open.

    A round takes each open comparison one look further. It is written down before it is run, so that a killed run goes
    on with it: what is planned is due.

    Args:
        profile: the profile; some arm has a range of seeds.
        hours: by the clock, from now; no further round is planned that would end later, by what is expected of it. What
            is due already is made in any case. None: there is no limit.
        tell: called with lines of progress.

    Raises:
        PlatformError: no arm has seeds to add, or a step failed with an error that the user can fix.
    """
    if not profile.only_if_planned:
        raise PlatformError(
            "--until-settled: no arm has seeds to add; in a new experiment, before its runs, write for example "
            "`random: {seeds: {first: 3, max: 10}}`, and the same for the arms to settle"
        )
    end = None if hours is None else time.monotonic() + 3600 * hours
    while True:
        refresh(profile, tell=tell)
        with only_run(home(profile)), open_workspace(profile) as workspace:
            plan = run_plan(workspace)
            chosen = plan.next_round(None if end is None else end - time.monotonic())
            record(profile, workspace.resources.warehouse, plan, chosen)
        if not chosen:
            break
        tell_round(plan, chosen, tell)
    for line in ending(plan):
        tell(line)


def tell_round(plan: RunPlan, chosen: Sequence[Candidate], tell: Tell) -> None:
    """Say which runs come next, for how many comparisons, and what they take."""
    runs = runs_of_round(chosen)
    seconds = plan.costs.seconds(runs)
    took = "in a time that is not known" if seconds is None else duration(seconds)
    tell(f"Next: {len(runs)} runs, {took}, for one more look at {len(chosen)} of {len(plan.candidates)} comparisons:")
    for run in runs:
        tell(f"    {run}")


def ending(plan: RunPlan) -> list[str]:
    """What was settled, what was not, and why, one line for each comparison that seeds are added to."""
    lines = [f"{_name(each)}: {why_dropped(each)}" for each in plan.of(*DROPPED)]
    for each in plan.of("open", "first seeds"):
        why = "the hours are used" if each.next_runs else f"its runs have no value of {plan.measure}"
        lines.append(f"{_name(each)}: open, and {why}")
    return lines


def _name(candidate: Candidate) -> str:
    verdict = candidate.prospect.verdict
    return f"{verdict.method}, {cell_name(verdict.cell)}"
