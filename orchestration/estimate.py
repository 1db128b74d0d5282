"""What is still to be made of a profile costs on a machine: hours, memory and disk of each stage."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from assets.record.cost_ledger import entries
from orchestration.expected_time import Expected, ExpectedTime
from orchestration.graph import Step
from orchestration.known_sizes import KnownSizes
from orchestration.workspace import Workspace
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.estimate.fit import Room, messages, too_large
from selection_platform.estimate.machines import Machine, devices_here, host_memory, stated_machine
from selection_platform.estimate.memory import Place
from selection_platform.estimate.task import Task
from selection_platform.estimate.tasks import Tasks
from selection_platform.models.dropped_weights import weight_files
from selection_platform.text.numbers import in_words

Partition = tuple[str, str | None]


class Stage(NamedTuple):
    """What one stage costs.

    Attributes:
        name: what people call it.
        steps: steps that are to be made.
        petaflop: arithmetic of models, in 1e15 operations.
        device_hours: hours of one device, those that work side by side added up.
        hours: by the clock; None where it is not known.
        memory: bytes at the peak, of one device, or of the host where `on_host`.
        on_host: whether the memory is the host's on every machine.
        disk: bytes that stay on the disk.
        fits: whether the memory is there; None where that is not known.
    """

    name: str
    steps: int
    petaflop: float
    device_hours: float
    hours: float | None
    memory: int
    on_host: bool
    disk: float
    fits: bool | None


@dataclass(frozen=True)
class Estimate:
    """What a profile costs.

    Attributes:
        machine: what it would run on.
        stages: what models compute, in order, and last all other steps.
        disk: bytes that are needed at once.
        free: bytes that are free here; None for another machine.
        unknown: steps whose time is not known.
        notes: how the numbers are known.
        faults: what does not fit, one message each.
    """

    machine: Machine
    stages: list[Stage]
    disk: float
    free: int | None
    unknown: int
    notes: list[str]
    faults: list[str]

    @property
    def hours(self) -> float:
        """By the clock, of all steps whose time is known."""
        return sum(stage.hours or 0.0 for stage in self.stages)


def estimate(workspace: Workspace, machine: str | None = None, *, whole: bool = False) -> Estimate:
    """What is due of a profile costs.

    Args:
        workspace: of the profile.
        machine: in words, such as `8 x 80 GB`; this machine if left out.
        whole: count what is made already too.

    Raises:
        PlatformError: a model's configuration cannot be had, or there is no such machine.
    """
    steps = workspace.staleness.graph.steps if whole else to_make(workspace)
    return Estimator(workspace, machine).of(steps, whole=whole)


def to_make(workspace: Workspace) -> list[Step]:
    """The steps that are due, and those that may become due by what they change."""
    staleness = workspace.staleness
    return staleness.graph.downstream([due.step for due in staleness.due()])


class Estimator:
    """The tasks of a profile on one machine, and the time that its steps take there."""

    def __init__(self, workspace: Workspace, machine: str | None = None) -> None:
        ledger = entries(workspace.instance)
        self._workspace, self._sizes = workspace, KnownSizes(workspace, ledger)
        self.machine = _this_machine(self._sizes) if machine is None else stated_machine(machine)
        self.place = Place(self.machine.is_cpu, workspace.profile.dtype, run=workspace.profile.jobs.run)
        self._tasks = Tasks(workspace.profile, self._sizes.known, self.place)
        self.tasks: dict[Partition, Task] = {(task.asset, task.partition): task for task in self._tasks.all()}
        # What steps took here says nothing of another machine.
        self.expected = ExpectedTime(ledger if self.machine.here else (), self.seconds)

    @property
    def processes(self) -> int:
        """How many devices share a job that several can share."""
        return min(self._workspace.profile.jobs.processes, self.machine.count)

    def at_once(self, tasks: Sequence[Task]) -> int:
        """How many such steps work at once, each on devices of its own.

        A CPU's steps share what one of them would have.
        """
        slots = self._workspace.profile.jobs.slots
        if slots is None or self.machine.is_cpu:
            return 1
        each = self.processes if any(task.shared for task in tasks) else 1
        return max(1, min(slots, self.machine.count) // each)

    def seconds(self, step: Step) -> float | None:
        """What a step takes by arithmetic; None if it has none: a model is only copied, or vLLM answers."""
        return sum(task.seconds(self.machine, self.processes) for task in self._of(step)) or None

    def _of(self, step: Step) -> list[Task]:
        names = [key.to_user_string() for key in step.asset.keys]
        found = (self.tasks.get((name, step.partition_key)) for name in names)
        return [task for task in found if task is not None]

    def of(self, steps: Sequence[Step], *, whole: bool = False) -> Estimate:
        """What some steps cost; with `whole` as if none of them was made."""
        by_stage: dict[str, list[Step]] = {}
        for step in steps:
            tasks = self._of(step)
            by_stage.setdefault(tasks[0].stage if tasks else "the rest, on the CPU", []).append(step)
        order = list(dict.fromkeys(task.stage for task in self.tasks.values()))
        names = sorted(by_stage, key=lambda name: order.index(name) if name in order else len(order))
        tasks = [task for step in steps for task in self._of(step)]
        room = self._room()
        large = too_large(tasks, room)
        faults = messages(self._workspace.profile, self._sizes.known, self.place, room, large.values())
        disk, home = self._disk(steps, set() if whole else self._there(steps)), self._workspace.home
        free = shutil.disk_usage(home).free if self.machine.here else None
        return Estimate(
            self.machine,
            [self._stage(name, by_stage[name], room) for name in names],
            disk,
            free,
            self.expected.of(steps).unknown,
            [*self._sizes.notes(), *self.machine.notes, *self._hints(), *self._idle(tasks)],
            # Of the whole, what is made already has its room.
            [*faults, *([] if whole else _no_room(home, disk, free, self._workspace.profile))],
        )

    def _room(self) -> Room:
        return Room(
            self.machine.device.memory, host_memory() if self.machine.here else None, str(self.machine.device.name)
        )

    def _stage(self, name: str, steps: list[Step], room: Room) -> Stage:
        tasks = [task for step in steps for task in self._of(step)]
        expected = self.expected.of(steps)
        largest = max(tasks, key=lambda task: task.memory, default=None)
        there = None if largest is None else room.of(largest)
        return Stage(
            name,
            len(steps),
            sum(task.compute.forward_flops + task.compute.backward_flops for task in tasks) / 1e15,
            sum(task.device_seconds(self.machine) for task in tasks) / 3600,
            None if expected.unknown == len(steps) else expected.seconds / min(self.at_once(tasks), len(steps)) / 3600,
            0 if largest is None else largest.memory,
            largest is not None and largest.on_host,
            self._kept(tasks),
            None if largest is None or there is None else largest.memory <= there,
        )

    def _kept(self, tasks: Sequence[Task]) -> float:
        """Bytes that stay of some tasks: of checkpoints as many as the profile keeps, the largest."""
        settings, pools = self._workspace.profile.checkpoints, len(self._workspace.profile.pools)
        weights = sorted((task.disk for task in tasks if task.asset == "checkpoint"), reverse=True)
        models = len({task.model for task in tasks if task.asset == "checkpoint"})
        slots = self._workspace.profile.jobs.slots or 1
        most = {"all": len(weights), "best": models * (settings.best * pools + slots), "none": min(slots, len(weights))}
        return sum(task.disk for task in tasks if task.asset != "checkpoint") + sum(weights[: most[settings.keep]])

    def _disk(self, steps: Sequence[Step], there: set[Partition]) -> float:
        """Bytes that are needed at once: all that stays, and the largest that is needed besides while it is made.

        Args:
            steps: that are to be made.
            there: what is on the disk already. It stays until its replacement is complete.
        """
        tasks = [(task, (task.asset, task.partition) in there) for step in steps for task in self._of(step)]
        besides = [task.working + (task.disk if again else 0.0) for task, again in tasks]
        kept = self._kept([task for task, again in tasks if not again])
        for pool in {step.partition_key or "" for step in steps if step.names & {"raw_pool", "pool"}}:
            size = self._tasks.pool_on_disk(pool)
            if ("pool", pool) in there:
                besides.append(size)
            else:
                kept += size
        return kept + max(besides, default=0.0)

    def _there(self, steps: Sequence[Step]) -> set[Partition]:
        """What some steps made before, and is on the disk still."""
        staleness, artifacts = self._workspace.staleness, self._workspace.resources.artifacts
        found: set[Partition] = set()
        for step in steps:
            due, key = staleness.cause(step), step.partition_key
            # A checkpoint's weights may be dropped without making it due.
            dropped = "checkpoint" in step.names and not weight_files(artifacts.checkpoint(key or ""))
            if not dropped and (due is None or due.status != "missing"):
                found |= {(name.to_user_string(), key) for name in step.asset.keys}
        return found

    def _hints(self) -> list[str]:
        """Which number type is much faster on this machine than the profile's."""
        # The sentence encoder computes in float32 always.
        if not self.machine.here or not self._sizes.shapes:
            return []
        from selection_platform.estimate.this_machine import precision_hints

        return precision_hints(self.machine, self._workspace.profile.dtype)

    def _idle(self, tasks: Sequence[Task]) -> list[str]:
        """That devices stand idle, where they do."""
        count, used = self.machine.count, self.processes * self.at_once([task for task in tasks if task.shared])
        if used == count or not tasks:
            return []
        hours = sum(task.seconds(self.machine, 1) for task in tasks) / count / 3600
        return [
            f"The profile uses {used} of {count} devices; `jobs: {{run: child, processes: {self.processes}, "
            f"slots: {count}}}` keeps all of them at work: about {hours:,.0f} hours at best."
        ]


def _no_room(home: Path, disk: float, free: int | None, profile: Profile) -> list[str]:
    if free is None or disk <= free:
        return []
    return [
        f"{home}: about {in_words(round(disk))} of disk are needed at once, and {in_words(free)} are free; "
        f"{more_room(profile)}"
    ]


def more_room(profile: Profile) -> str:
    """What to do where the disk is too small."""
    if profile.checkpoints.keep == "none":
        return "free some space"
    return "free some space, or write `checkpoints: {keep: none}`, which drops weights after their evaluation"


def _this_machine(sizes: KnownSizes) -> Machine:
    from selection_platform.estimate.this_machine import measured_machine, unmeasured_machine

    shapes = [*sizes.shapes.values(), *([] if sizes.encoder is None else [sizes.encoder])]
    return measured_machine(max(shapes, key=lambda shape: shape.parameters)) if shapes else unmeasured_machine()


def expected_here(workspace: Workspace, before: ExpectedTime, steps: Sequence[Step]) -> Expected:
    """What steps will take on this machine: by what they took before, and by arithmetic where they were never made.

    Args:
        workspace: of the profile.
        before: what was made before.
        steps: that are to be made.
    """
    expected = before.of(steps)
    if not expected.unknown:
        return expected
    try:
        return Estimator(workspace).expected.of(steps)
    except PlatformError:
        # A model whose sizes cannot be had: `estimate` says why.
        return expected


def memory_faults(workspace: Workspace, wanted: dict[str, list[str]]) -> list[str]:
    """What of some assets' partitions cannot fit the memory of this machine, and what to change.

    Without asking the hub or transformers: a model that only they know is not checked.
    """
    profile = workspace.profile
    # Ray's workers run on other machines.
    if profile.jobs.run == "ray" or not wanted:
        return []
    sizes = KnownSizes(workspace, quick=True)
    if set(profile.used_models) - set(sizes.shapes):
        return []
    found, host = devices_here(profile.jobs.processes), host_memory()
    _, name, memory = found or (1, "this machine", host)
    if memory is None:
        return []
    room = Room(memory, host, name)
    place = Place(found is None, profile.dtype, run=profile.jobs.run)
    tasks = [task for task in Tasks(profile, sizes.known, place).all() if task.partition in wanted.get(task.asset, ())]
    # The estimate is right within a tenth; what may just fit is not refused.
    large = too_large(tasks, room, share=0.9)
    return list(messages(profile, sizes.known, place, room, large.values()))
