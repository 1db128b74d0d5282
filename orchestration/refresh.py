"""Bring the graph up to date: one step after another, upstream first, only where content changes."""

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from assets.keys import TASK_DATASET
from assets.record.cost_ledger import entries
from assets.record.reuse import Again
from orchestration.damage import damaged
from orchestration.estimate import expected_here
from orchestration.expected_time import Expected, ExpectedTime
from orchestration.graph import Step
from orchestration.long_benchmarks import LONG, long_benchmarks
from orchestration.materialize import end_killed_runs, limit_gpu_steps
from orchestration.preflight import preflight
from orchestration.retention import Retention, by_experiment
from orchestration.run_lock import only_run
from orchestration.side_by_side import ReadySteps
from orchestration.staleness import Due
from orchestration.step_run import run_step
from orchestration.step_workers import Ran, StepWorkers
from orchestration.workspace import Workspace, open_workspace
from resources.kept_writer import kept_writer
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError
from selection_platform.evaluation.spec import CODE_TASK
from selection_platform.experiments.keys import MOST_NEAR, find, nearest
from selection_platform.job.slots import slots_here
from selection_platform.text.numbers import duration, in_words

DAMAGED = "its files or rows are not what was written"
NEWEST = "the newest commits on the hub are taken"

Tell = Callable[[str], None]
"""Called with each line of progress."""


def refresh(profile: Profile, of: Sequence[str] = (), *, rebuild: bool = False, tell: Tell) -> None:
    """Materialise what is due among some assets or partitions and everything upstream of them.

    Args:
        profile: the profile to run.
        of: names of assets or partitions; empty for all.
        rebuild: also make those among them again whose files or rows are not what was written (where only rows are not,
            complete jobs are kept), train the checkpoints again whose weights were dropped, and fetch the newest
            commits of datasets that benchmarks' tasks read.
        tell: called with lines of progress.

    Raises:
        PlatformError: a name is not known, or a step failed with an error that the user can fix.
    """
    with only_run(home(profile)), open_workspace(profile) as workspace:
        tell_left_out(profile, tell)
        _tell_one_slot(profile, tell)
        try:
            with kept_writer(workspace.resources.warehouse.folder):
                _Refresh(workspace, tell).run(of, rebuild=rebuild)
        finally:
            gc.unfreeze()


@dataclass(frozen=True)
class Plan:
    """The steps of a refresh, before it runs.

    Attributes:
        due: the steps that are due.
        perhaps: the steps downstream of these, which become due if the results of these change.
        faults: problems that would stop it, one message each.
        expected: the expected time of all these steps.
        long: messages about steps that take long and could be shorter.
    """

    due: list[Due]
    perhaps: list[Step]
    faults: list[str]
    expected: Expected
    long: list[str]


def plan(profile: Profile, of: Sequence[str] = (), *, rebuild: bool = False) -> Plan:
    """Plan a `refresh` with the same arguments, without running it.

    Raises:
        PlatformError: a name is not known.
    """
    with open_workspace(profile) as workspace:
        return _Refresh(workspace, print).plan(of, rebuild=rebuild)


class _Refresh:
    """One refresh of a workspace."""

    def __init__(self, workspace: Workspace, tell: Tell) -> None:
        self._workspace, self._tell = workspace, tell
        self._staleness = workspace.staleness
        self._retention = Retention(workspace.profile, workspace.staleness, workspace.resources)
        self._expected = ExpectedTime(entries(workspace.instance))
        self._slots = slots_here(workspace.profile.jobs)
        self._seconds: dict[str, float] = {}
        self._again: dict[Step, Again] = {}
        self._damaged: dict[Step, Again] = {}

    def plan(self, of: Sequence[str], *, rebuild: bool) -> Plan:
        named = self._named(of) if rebuild else []
        again = {step: Due(step, "missing", (self._why_again(step),)) for step in self._made_again(named)}
        again |= {step: Due(step, "missing", ("its weights were dropped",)) for step in self._retention.dropped(named)}
        rebuilt = list(again)
        steps = self._steps(of, rebuilt)
        due = [due for step in steps if (due := self._staleness.cause(step) or again.get(step))]
        due_steps = {one.step for one in due}
        perhaps = [step for step in steps if step not in due_steps]
        faults, long = preflight(self._workspace, steps, rebuilt), list(long_benchmarks(self._workspace, steps))
        expected = expected_here(self._workspace, self._expected, steps)
        expected = expected._replace(seconds=expected.seconds / self._at_once(steps))
        return Plan(due, perhaps, faults, expected, long)

    def run(self, of: Sequence[str], *, rebuild: bool) -> None:
        started = time.monotonic()
        end_killed_runs(self._workspace.instance, of_scripts=True)
        if rebuild:
            self._again = self._made_again(self._named(of))
            self._retention.want(self._named(of))
        steps = by_experiment(self._steps(of, list(self._again)))
        self._preflight(steps)
        for line in long_benchmarks(self._workspace, steps):
            self._tell(line)
        limit_gpu_steps(self._workspace.instance, self._slots)
        if self._at_once(steps) > 1:
            self._run_side_by_side(steps)
        else:
            self._run_in_turn(steps)
        if not of:
            self._drop_weights()
        for name, spent in self._seconds.items():
            self._tell(f"{spent:8.1f} s  {name}")
        self._tell(f"{time.monotonic() - started:8.1f} s  in all\n")

    def _run_in_turn(self, steps: Sequence[Step]) -> None:
        for index, step in enumerate(steps, start=1):
            self._tell(f"[{index}/{len(steps)}] {step}")
            if self._is_due(step):
                started = time.monotonic()
                before = self._trained_again(step)
                for each in before:
                    run_step(self._workspace, each, self._again.get(each))
                    self._made([each])
                rows = run_step(self._workspace, step, self._again.get(step))
                self._made([step])
                self._ended(Ran(step, before, rows, time.monotonic() - started, None), "")
                self._tell_time_left(steps[index:])

    def _run_side_by_side(self, steps: Sequence[Step]) -> None:
        """Run the steps in worker processes, each as soon as its inputs are made and a slot is free.

        Raises:
            Exception: the error of the first step that failed, after those that were at work have ended.
        """
        ready = ReadySteps(self._staleness.graph, steps, first=self._retention.is_evaluation)
        failed: Exception | None = None
        with StepWorkers(self._workspace, self._slots) as workers:
            while (failed is None and ready.left) or workers.at_work:
                while failed is None and workers.has_room and (step := ready.next()):
                    self._tell(f"[{ready.started}/{len(steps)}] {step}")
                    if self._is_due(step):
                        workers.start(step, self._trained_again(step), self._again.get)
                    else:
                        ready.done(step)
                for ran in workers.wait() if workers.at_work else []:
                    if ran.error is not None:
                        self._tell_failed(ran, workers.at_work, last=failed is None)
                        failed = failed or ran.error
                        continue
                    self._made([*ran.before, ran.step])
                    ready.done(ran.step)
                    self._ended(ran, f"{ran.step}: ", workers.at_work)
                    self._tell_time_left(ready.not_done)
        if failed is not None:
            raise failed

    def _tell_failed(self, ran: Ran, at_work: Sequence[Step], *, last: bool) -> None:
        """Say that a step failed. Why is the `last` thing that a run says of the first one, and said here of others."""
        why = "" if last else f" too: {ran.error}"
        rest = f"; still at work: {', '.join(map(str, at_work))}" if at_work else ""
        self._tell(f"    {ran.step}: failed{why}{rest}")

    def _preflight(self, steps: Sequence[Step]) -> None:
        """Check the steps before the first one runs.

        Raises:
            PlatformError: a problem would stop them.
        """
        faults = preflight(self._workspace, steps)
        if faults:
            raise PlatformError("\n".join(faults))

    def _tell_time_left(self, steps: Sequence[Step]) -> None:
        left = self._expected.of(steps)
        seconds = left.seconds / self._at_once(steps)
        if seconds >= LONG:
            rest = f", and the time of {left.unknown} steps that never ran" if left.unknown else ""
            self._tell(f"    {duration(seconds)} left{rest}")

    def _at_once(self, steps: Sequence[Step]) -> int:
        """How many of some steps work at once; fewer do where they wait for each other."""
        return max(1, min(self._slots, len(steps)))

    def _steps(self, of: Sequence[str], rebuilt: Sequence[Step] = ()) -> list[Step]:
        """The steps that are due or trained again, and the steps that these may make due."""
        steps = self._staleness.graph.downstream([*(due.step for due in self._staleness.due()), *rebuilt])
        if not of:
            return steps
        wanted = set(self._staleness.graph.upstream(self._named(of)))
        return [step for step in steps if step in wanted]

    def _made_again(self, named: Sequence[Step]) -> dict[Step, Again]:
        """The steps among some that are made again though nothing else is due, and what of each."""
        newest: dict[Step, Again] = {step: "all" for step in named if TASK_DATASET in step.asset.keys}
        self._damaged = damaged(self._workspace, named)
        return newest | self._damaged

    def _why_again(self, step: Step) -> str:
        return DAMAGED if step in self._damaged else NEWEST

    def _named(self, of: Sequence[str]) -> list[Step]:
        """The steps of some assets or partitions."""
        chosen: list[Step] = []
        for name in of:
            chosen += self._steps_of(name)
        return chosen

    def _steps_of(self, name: str) -> list[Step]:
        steps = self._staleness.graph.steps
        named = [step for step in steps if name in step.names]
        if not named:
            matches = [experiment.key for experiment in find(self._workspace.profile.experiments, name)]
            if len(matches) == 1:
                named = [step for step in steps if matches[0] in step.names]
                if not named:
                    raise PlatformError(f"{matches[0]} is not planned; let `run --until-settled` plan it, or raise "
                                        "`first` of the arm's seeds in the profile")  # fmt: skip
                return named
            near = matches or nearest(sorted({known for step in steps for known in step.names if known}), name)
            suggestion = f"; did you mean {', '.join(near[:MOST_NEAR])}?" if near else ";"
            raise PlatformError(
                f"no asset or partition {name!r}{suggestion} `selection-platform status` lists what is due"
            )
        return named

    def _is_due(self, step: Step) -> bool:
        """Whether a step is still due when its turn comes. Prints the reason."""
        due = self._staleness.cause(step)
        if step in self._again:
            self._tell(f"    {self._why_again(step)}")
            return True
        if due is None:
            self._tell("    its inputs did not change")
        elif due.status == "stale":
            for cause in due.causes:
                self._tell(f"    {cause}")
        return due is not None

    def _trained_again(self, step: Step) -> list[Step]:
        """The checkpoint that is trained again before a step, if its weights were dropped."""
        checkpoint = self._retention.rebuilt_for(step)
        if checkpoint is None:
            return []
        self._tell("    the weights of the checkpoint were dropped, so it is trained again first")
        self._retention.forget([checkpoint])
        return [checkpoint]

    def _made(self, steps: Iterable[Step]) -> None:
        """Take note that steps were made."""
        for step in steps:
            self._staleness.look_again(step)
            self._again.pop(step, None)

    def _ended(self, ran: Ran, named: str, at_work: Iterable[Step] = ()) -> None:
        """Drop weights where a step was the last to need them, and say how long it took."""
        if self._retention.is_evaluation(ran.step):
            # Drop them now, so that the disk never has the weights of all experiments.
            self._drop_weights(at_work)
        self._expected.add(ran.step, ran.seconds)
        self._seconds[ran.step.name] = self._seconds.get(ran.step.name, 0) + ran.seconds
        self._tell(f"    {named}{ran.seconds:.1f} s" + ("" if ran.rows is None else f", {ran.rows:,} rows"))

    def _drop_weights(self, at_work: Iterable[Step] = ()) -> None:
        for experiment, freed in self._retention.drop(at_work).items():
            self._tell(f"    dropped the weights of {experiment}, {in_words(freed)}")


def _tell_one_slot(profile: Profile, tell: Tell) -> None:
    """Say so where the profile has more slots than are used."""
    slots = profile.jobs.slots or 1
    if slots > 1 and profile.jobs.run == "in_process" and slots_here(profile.jobs) == 1:
        tell(
            f"jobs.slots: {slots}: one is used, as a job in its step's process takes the first GPU; write `run: child`"
        )


def tell_left_out(profile: Profile, tell: Tell) -> None:
    """Print which benchmarks are left out because generated code is not run."""
    evaluation = profile.evaluation
    names = [name for name, each in evaluation.benchmarks.items() if each.task == CODE_TASK]
    if names and evaluation.run_generated_code != "sandboxed":
        cannot = "generated code cannot be contained on this machine"
        why = cannot if profile.decided_by_machine else "run_generated_code is never"
        tell(f"{', '.join(names)}: left out, because {why} (docs/security.md)")
