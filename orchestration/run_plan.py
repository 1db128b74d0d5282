"""Which runs would settle which open comparison, what they cost, and in which order to make them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from assets.keys import BENCHMARK_RESULT
from orchestration.planned import has_plan
from orchestration.run_costs import RunCosts
from orchestration.workspace import Workspace
from resources.warehouse import Warehouse
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.verdict.looks import Look, Looks, Schedule, schedule
from selection_platform.verdict.prospects import Prospect, prospects
from selection_platform.verdict.runs import Cell, Run
from selection_platform.verdict.tables import runs_of
from selection_platform.verdict.verdicts import CONTROLS, LOSS, RANDOM, primary_of, verdicts, with_random
from sql.queries import load_sql


@dataclass(frozen=True)
class Candidate:
    """A comparison with the runs that may settle it.

    Attributes:
        prospect: what is known of it.
        next_runs: keys of the runs that its next look needs, if they are not made or planned; those of random last.
        runs: the same of the look that is the best buy: the fewest seconds for its chance; of a comparison without more
            seeds, none.
        of_random: how many of `runs` are of random.
        seconds: what `runs`, or those of `needed`, take; None if it is not known.
        chance: the chance of that look to settle the comparison; None if it is not known, or there is no such look.
        needed: of a comparison without more seeds: runs of the arm and of random that are missing to `seeds_needed`.
    """

    prospect: Prospect
    next_runs: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    of_random: int = 0
    seconds: float | None = None
    chance: float | None = None
    needed: tuple[int, int] | None = None

    @property
    def price(self) -> tuple[bool, float, int]:
        """Seconds for one settled comparison, to sort by; what is not known comes last, few runs before many.

        Of comparisons without more seeds, the seconds of the runs that are needed, which have one chance for all.
        """
        chance = self.chance if self.needed is None else 1.0
        if self.seconds is None or not chance:
            return True, 0.0, len(self.runs)
        return False, self.seconds / chance, len(self.runs)


@dataclass(frozen=True)
class RunPlan:
    """A plan of the next runs.

    Attributes:
        measure: the primary measure.
        candidates: every comparison of a method; those that are open first, the best buy before the others.
        due: partitions that are due already. The plan does not know their results.
        costs: what runs take.
        notes: what does not fit the rule that verdicts are made by.
    """

    measure: str
    candidates: list[Candidate]
    due: int
    costs: RunCosts
    notes: list[str]

    def of(self, *states: str) -> list[Candidate]:
        """The comparisons in some states, in order."""
        return [each for each in self.candidates if each.prospect.state in states]

    def next_round(self, seconds: float | None = None) -> list[Candidate]:
        """The open comparisons that are looked at once more, the best buy first.

        Args:
            seconds: time that is left; comparisons with which the round would take longer are passed over, but not
                those whose time is not known, while some is left. None: there is no limit.
        """
        chosen: list[Candidate] = []
        for each in self.of("open"):
            added = self.costs.seconds(runs_of_round([*chosen, each]))
            if each.next_runs and (seconds is None or (added or 0.0) <= seconds):
                chosen.append(each)
        return chosen


def runs_of_round(candidates: Iterable[Candidate]) -> list[str]:
    """The runs of the next look at some comparisons, each once."""
    return list(dict.fromkeys(run for each in candidates for run in each.next_runs))


def run_plan(workspace: Workspace) -> RunPlan:
    """Plan the next runs from the results so far.

    Raises:
        PlatformError: no arm of the profile is evaluated beside a random run on the primary measure yet, or the profile
            has no random run to compare with.
    """
    profile, warehouse = workspace.profile, workspace.resources.warehouse
    rows = warehouse.query(load_sql("90_reports/runs")) if warehouse.exists() else None
    # The leaderboard may still have what was removed from the profile.
    known = {_place(each) for each in profile.trained_experiments.values()}
    runs = [] if rows is None else with_random(run for run in runs_of(rows) if _in_profile(run, known))
    if RANDOM not in profile.arms:
        raise PlatformError("arms: there is no `random` to compare with; add `random: {seeds: {first: 3, max: 10}}`")
    if not runs:
        raise PlatformError("no arm is evaluated beside a random run yet: run `selection-platform run` first")
    rules, by_looks = profile.verdict, schedule(profile.arms)
    found = verdicts(runs, {LOSS: rules.loss_margin}, rules.margin, rules.primary, by_looks)
    measure = primary_of((run.measure for run in runs), rules.primary)
    if not any(each.role == "primary" and each.family == "method" for each in found):
        raise PlatformError(
            f"no comparison of a method with random on {measure} yet: run `selection-platform run` first"
        )
    margin = rules.loss_margin if measure == LOSS else rules.margin
    planner = _Planner(workspace, by_looks)
    candidates = [planner.candidate(each) for each in prospects(found, by_looks, margin)]
    order = ("open", "first seeds", "out of seeds", "hopeless", "settled")
    candidates.sort(key=lambda each: (order.index(each.prospect.state), each.price))
    due = len(workspace.staleness.due())
    return RunPlan(measure, candidates, due, planner.costs, _notes(warehouse, by_looks))


class _Planner:
    def __init__(self, workspace: Workspace, by_looks: Schedule) -> None:
        self._by_looks, self.costs = by_looks, RunCosts(workspace)
        # What is made or planned already.
        self._there = workspace.staleness.graph.partition_keys(BENCHMARK_RESULT)
        self._keys = {_place(each): key for key, each in workspace.profile.trained_experiments.items()}

    def candidate(self, prospect: Prospect) -> Candidate:
        verdict, looks = prospect.verdict, self._by_looks.get(prospect.verdict.method)
        if prospect.state == "out of seeds":
            return self._without_seeds(prospect)
        if looks is None or prospect.state not in ("open", "hopeless"):
            return Candidate(prospect)
        of_looks = [self._runs(verdict.method, verdict.cell, looks, look) for look in prospect.later]
        tried = [
            Candidate(
                prospect, sum(of_looks[0], ()), arm + random, len(random), self.costs.seconds(arm + random), chance
            )
            for (arm, random), chance in zip(of_looks, prospect.chances or [None] * len(of_looks), strict=True)
        ]
        return min(tried, key=lambda each: each.price)

    def _runs(self, method: str, cell: Cell, looks: Looks, look: Look) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The runs of a look that are neither made nor planned, of the arm and of random."""
        of_arm, of_random = looks.arm[: look.arm_runs], looks.random[: look.random_runs]
        return self._missing(method, cell, of_arm), self._missing(RANDOM, cell, of_random)

    def _missing(self, method: str, cell: Cell, seeds: Iterable[int]) -> tuple[str, ...]:
        keys = (self._keys[method, cell, seed] for seed in seeds)
        return tuple(key for key in keys if key not in self._there)

    def _without_seeds(self, prospect: Prospect) -> Candidate:
        """What a profile with more seeds would have to make."""
        verdict = prospect.verdict
        if verdict.seeds_needed is None:
            return Candidate(prospect)
        runs = verdict.comparison.arm_runs, verdict.comparison.random_runs
        missing = max(0, verdict.seeds_needed - runs[0]), max(0, verdict.seeds_needed - runs[1])
        each = [self._seconds_of_one(arm, verdict.cell) for arm in (verdict.method, RANDOM)]
        known = [count * seconds for count, seconds in zip(missing, each, strict=True) if seconds is not None]
        return Candidate(prospect, seconds=sum(known) if len(known) == len(each) else None, needed=missing)

    def _seconds_of_one(self, method: str, cell: Cell) -> float | None:
        key = next((key for (arm, of, _), key in self._keys.items() if (arm, of) == (method, cell)), None)
        return None if key is None else self.costs.seconds([key])


def _place(experiment: Experiment) -> tuple[str, Cell | None, int]:
    whole = experiment.pool is not None and experiment.pool_size is None and experiment.budget is not None
    cell = Cell(experiment.base_model, experiment.pool or "", experiment.budget or 0) if whole else None
    return experiment.method, cell, experiment.seed


def _in_profile(run: Run, known: Collection[tuple[str, Cell | None, int]]) -> bool:
    """Whether the profile makes a run; those of controls are in every cell, as they have no budget."""
    return (run.method, None if run.method in CONTROLS else run.cell, run.seed) in known


def _notes(warehouse: Warehouse, by_looks: Schedule) -> list[str]:
    """Arms whose number of looks was changed after their first plan."""
    if not has_plan(warehouse):
        return []
    changed = {
        method: looks
        for method, looks in warehouse.query(load_sql("60_plan/looks")).iter_rows()
        if method in by_looks and looks != len(by_looks[method].all)
    }
    return [
        f"arms.{method}.seeds: {looks} looks were planned before, and now {len(by_looks[method].all)} are. The error "
        "rate of 5% is for a number of looks that was named before the runs"
        for method, looks in changed.items()
    ]
