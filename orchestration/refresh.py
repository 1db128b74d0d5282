"""Bring the graph up to date: one step after the other, upstream first, as far as content changes."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assets.record.cost_ledger import entries
from orchestration.estimate import expected_here
from orchestration.expected_time import Expected, ExpectedTime
from orchestration.graph import Step
from orchestration.long_benchmarks import LONG, long_benchmarks
from orchestration.materialize import end_killed_runs, materialize_step
from orchestration.preflight import preflight
from orchestration.retention import Retention, by_experiment
from orchestration.run_lock import only_run
from orchestration.staleness import Due
from orchestration.workspace import Workspace, open_workspace
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError, is_fixable, message_of
from selection_platform.evaluation.spec import CODE_TASK
from selection_platform.experiments.keys import MOST_NEAR, find, nearest
from selection_platform.text.numbers import duration, in_words

Tell = Callable[[str], None]
"""Says one line to whoever waits."""


def refresh(profile: Profile, of: Sequence[str] = (), *, rebuild: bool = False, tell: Tell) -> None:
    """Materialise what is due of some assets or partitions and of what they are made from, or all that is due.

    Args:
        profile: what to run.
        of: names of assets or partitions; all where there are none.
        rebuild: also train those checkpoints among them again whose weights were dropped.
        tell: is told of each step.

    Raises:
        PlatformError: a name is not known, or a step failed for something that the user can put right.
    """
    with only_run(home(profile)), open_workspace(profile) as workspace:
        tell_left_out(profile, tell)
        try:
            _Refresh(workspace, tell).run(of, rebuild=rebuild)
        finally:
            gc.unfreeze()


@dataclass(frozen=True)
class Plan:
    """What a refresh would do.

    Attributes:
        due: the steps that are due.
        perhaps: those that are made from these, and are due where these come out otherwise.
        faults: what would stop it, one message each.
        expected: the time that all of them would take.
        long: what will take long and could be shorter.
    """

    due: list[Due]
    perhaps: list[Step]
    faults: list[str]
    expected: Expected
    long: list[str]


def plan(profile: Profile, of: Sequence[str] = (), *, rebuild: bool = False) -> Plan:
    """What `refresh` would do with the same arguments, without doing anything.

    Raises:
        PlatformError: a name is not known.
    """
    with open_workspace(profile) as workspace:
        return _Refresh(workspace, print).plan(of, rebuild=rebuild)


class _Refresh:
    """One refresh of a workspace, which this process holds."""

    def __init__(self, workspace: Workspace, tell: Tell) -> None:
        self._workspace, self._tell = workspace, tell
        self._staleness = workspace.staleness
        self._retention = Retention(workspace.profile, workspace.staleness, workspace.resources)
        self._expected = ExpectedTime(entries(workspace.instance))
        self._seconds: dict[str, float] = {}

    def plan(self, of: Sequence[str], *, rebuild: bool) -> Plan:
        rebuilt = self._retention.dropped(self._named(of)) if rebuild else []
        dropped = {step: Due(step, "missing", ("its weights were dropped",)) for step in rebuilt}
        steps = self._steps(of, rebuilt)
        due = [due for step in steps if (due := self._staleness.cause(step) or dropped.get(step))]
        made = {each.step for each in due}
        perhaps = [step for step in steps if step not in made]
        faults, long = preflight(self._workspace, steps, rebuilt), list(long_benchmarks(self._workspace, steps))
        return Plan(due, perhaps, faults, expected_here(self._workspace, self._expected, steps), long)

    def run(self, of: Sequence[str], *, rebuild: bool) -> None:
        started = time.monotonic()
        end_killed_runs(self._workspace.instance, of_scripts=True)
        if rebuild:
            self._retention.want(self._named(of))
        steps = by_experiment(self._steps(of))
        self._preflight(steps)
        for line in long_benchmarks(self._workspace, steps):
            self._tell(line)
        for index, step in enumerate(steps, start=1):
            self._tell(f"[{index}/{len(steps)}] {step}")
            if self._is_due(step):
                self._seconds[step.name] = self._seconds.get(step.name, 0) + self._make_due(step)
                self._tell_time_left(steps[index:])
        if not of:
            self._drop_weights()
        for name, spent in self._seconds.items():
            self._tell(f"{spent:8.1f} s  {name}")
        self._tell(f"{time.monotonic() - started:8.1f} s  in all\n")

    def _preflight(self, steps: Sequence[Step]) -> None:
        """Say now, and not after hours, what would stop the steps.

        Raises:
            PlatformError: there is something.
        """
        faults = preflight(self._workspace, steps)
        if faults:
            raise PlatformError("\n".join(faults))

    def _tell_time_left(self, steps: Sequence[Step]) -> None:
        left = self._expected.of(steps)
        if left.seconds >= LONG:
            beside = f", and {left.unknown} steps whose time is not known" if left.unknown else ""
            self._tell(f"    {duration(left.seconds)} left{beside}")

    def _steps(self, of: Sequence[str], rebuilt: Sequence[Step] = ()) -> list[Step]:
        """The steps that are due or trained again, and those that may become due by what they change."""
        steps = self._staleness.graph.downstream([*(due.step for due in self._staleness.due()), *rebuilt])
        if not of:
            return steps
        wanted = set(self._staleness.graph.upstream(self._named(of)))
        return [step for step in steps if step in wanted]

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
            meant = [each.key for each in find(self._workspace.profile.experiments, name)]
            if len(meant) == 1:
                return [step for step in steps if meant[0] in step.names]
            near = meant or nearest(sorted({each for step in steps for each in step.names if each}), name)
            listed = f"; did you mean {', '.join(near[:MOST_NEAR])}?" if near else ";"
            raise PlatformError(
                f"no asset and no partition {name!r}{listed} `selection-platform status` lists those that are due"
            )
        return named

    def _is_due(self, step: Step) -> bool:
        """Whether a step is still due when its turn comes; says why, or why not."""
        due = self._staleness.cause(step)
        if due is None:
            self._tell("    what it is made from came out the same")
        elif due.status == "stale":
            for cause in due.causes:
                self._tell(f"    {cause}")
        return due is not None

    def _make_due(self, step: Step) -> float:
        """Make a step, and before it the weights that it needs and that were dropped; gives the seconds it took."""
        started = time.monotonic()
        checkpoint = self._retention.rebuilt_for(step)
        if checkpoint is not None:
            self._tell("    the checkpoint's weights were dropped, so it is trained again first")
            self._retention.forget([checkpoint])
            self._make(checkpoint)
        metadata = self._make(step)
        rows = metadata.get("dagster/partition_row_count", metadata.get("dagster/row_count"))
        if self._retention.is_evaluation(step):
            # At once, so that the disk never has to hold the weights of all experiments.
            self._drop_weights()
        spent = time.monotonic() - started
        self._expected.add(step, spent)
        self._tell(f"    {spent:.1f} s" + (f", {rows:,} rows" if isinstance(rows, int) else ""))
        return spent

    def _make(self, step: Step) -> dict[str, object]:
        workspace = self._workspace
        # Each training looks for garbage. Going through all modules and definitions for it takes longer than its steps.
        gc.collect()
        gc.freeze()
        try:
            metadata = materialize_step(step, workspace.assets, workspace.resources, workspace.instance)
        except Exception as error:
            if is_fixable(error):
                raise PlatformError(f"{step}: {message_of(error)}") from error
            error.add_note(f"in the step {step}")
            raise
        self._staleness.look_again(step)
        return metadata

    def _drop_weights(self) -> None:
        for experiment, freed in self._retention.drop().items():
            self._tell(f"    dropped the weights of {experiment}, {in_words(freed)}")


def tell_left_out(profile: Profile, tell: Tell) -> None:
    """Say which benchmarks are left out, as the code that models write is not run."""
    evaluation = profile.evaluation
    names = [name for name, each in evaluation.benchmarks.items() if each.task == CODE_TASK]
    if names and evaluation.run_generated_code != "sandboxed":
        cannot = "generated code cannot be contained on this machine"
        why = cannot if profile.decided_by_machine else "run_generated_code is never"
        tell(f"{', '.join(names)}: left out, as {why} (docs/security.md)")
