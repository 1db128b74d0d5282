"""The costs of each arm, and how much random data the same cost would train."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from selection_platform.experiments.keys import Experiment, SubPool
from selection_platform.text.tables import TextTable

Part = Literal["selecting", "selecting alone", "training", "evaluating"]
PARTS: tuple[Part, ...] = ("selecting", "selecting alone", "training", "evaluating")

Time = Literal["gpu_seconds", "cpu_seconds"]
TIMES: Mapping[Time, str] = {"gpu_seconds": "GPU time", "cpu_seconds": "CPU time"}
"""Kinds of time, the scarcer first. They are never added to or divided by each other."""
Unit = Literal[Time, "flops"]
UNITS: Mapping[Unit, str] = {**TIMES, "flops": "arithmetic"}

NOT_KNOWN = "not known"
"""Text for the cost of a training elsewhere."""

PREPARATION = ("raw_pool", "pool", "sub_pool", "benchmark_data", "task_dataset", "base_model")
"""Assets that every arm needs. They are not part of any arm's cost."""


class Spent(NamedTuple):
    """A cost.

    Attributes:
        cpu_seconds: CPU time over all cores.
        gpu_seconds: wall time of jobs on GPUs, times their processes.
        forward_flops: operations of models' forward passes.
        backward_flops: operations of their backward passes.
    """

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    forward_flops: float = 0.0
    backward_flops: float = 0.0

    @property
    def flops(self) -> float:
        """Forward and backward together."""
        return self.forward_flops + self.backward_flops

    def plus(self, other: "Spent", share: float = 1.0) -> "Spent":
        """The sum of this and a share of another cost."""
        return Spent(*(one + share * more for one, more in zip(self, other, strict=True)))


class Arm(NamedTuple):
    """Runs that differ only by their seed.

    Attributes:
        method: name of the arm.
        model: the base model.
        pool: the whole pool; None for the base model.
        budget: number of selected samples; None for all.
        pool_size: number of samples in the sub-pool; None for the whole pool.
    """

    method: str
    model: str
    pool: str | None
    budget: int | None
    pool_size: int | None = None


class ExperimentCost(NamedTuple):
    """The cost of one part of an experiment."""

    experiment: str
    part: Part
    spent: Spent


class ArmCost(NamedTuple):
    """The cost of an arm, as a mean over its seeds, compared with random selection.

    Attributes:
        arm: the arm.
        parts: the cost of each part. It is missing for training elsewhere, whose cost is not known.
        times: how many times as much random data a model could be trained on for the cost of selecting and training,
            by each unit in which the random runs of the same model, pool and budget have a training cost above 0.
    """

    arm: Arm
    parts: Mapping[Part, Spent]
    times: Mapping[Unit, float]

    @property
    def name(self) -> str:
        """The arm on one line."""
        arm = self.arm
        if arm.pool is None:
            return f"{arm.method} · {arm.model}"
        pool = arm.pool if arm.pool_size is None else SubPool(arm.pool, arm.pool_size).name
        samples = "all" if arm.budget is None else f"{arm.budget:,}"
        return " · ".join([arm.method, arm.model, pool, samples])


def experiment_costs(
    made_from: Mapping[str, Iterable[str]],
    methods: Mapping[str, str],
    spent: Mapping[str, Spent],
    elsewhere: Collection[str] = (),
) -> list[ExperimentCost]:
    """Sum the costs along each experiment's lineage.

    If several methods use a feature, "selecting" counts an equal share of it for each of them, and "selecting alone"
    counts all of it, as if no other method were run. The cost is not shared between seeds: each run of a method has the
    full cost of selecting.

    Args:
        made_from: the partitions in each experiment's lineage, with its own, as `asset partition`.
        methods: the method of each experiment.
        spent: the cost of each partition; a missing one counts as 0.
        elsewhere: experiments that were trained elsewhere. They have no training cost, because it is not known.
    """
    users: dict[str, set[str]] = {}
    for experiment, names in made_from.items():
        for name in names:
            users.setdefault(name, set()).add(methods[experiment])
    costs = []
    for experiment, names in made_from.items():
        parts: dict[Part, Spent] = {part: Spent() for part in PARTS}
        for name in sorted(names):
            cost = spent.get(name, Spent())
            for part, share in _parts(name, len(users[name])):
                parts[part] = parts[part].plus(cost, share)
        known: list[Part] = [part for part in PARTS if part != "training" or experiment not in elsewhere]
        costs += [ExperimentCost(experiment, part, parts[part]) for part in known]
    return costs


def _parts(name: str, users: int) -> list[tuple[Part, float]]:
    asset = name.partition(" ")[0]
    if asset in PREPARATION:
        return []
    if asset == "checkpoint":
        return [("training", 1)]
    if asset == "benchmark_result":
        return [("evaluating", 1)]
    return [("selecting", 1 / users), ("selecting alone", 1)]


def arms_of(experiments: Mapping[str, Experiment]) -> dict[str, Arm]:
    """The arm of each experiment, by its key."""
    return {
        key: Arm(each.method, each.model or "no base model", each.pool, each.budget, each.pool_size)
        for key, each in experiments.items()
    }


def arm_costs(costs: Sequence[ExperimentCost], arms: Mapping[str, Arm]) -> list[ArmCost]:
    """The costs of each arm, as means over its experiments, in order of appearance.

    Args:
        costs: the result of `experiment_costs`.
        arms: the arm of each experiment.
    """
    by_arm: dict[Arm, dict[Part, list[Spent]]] = {}
    for experiment, part, spent in costs:
        by_arm.setdefault(arms[experiment], {}).setdefault(part, []).append(spent)
    means: dict[Arm, dict[Part, Spent]] = {
        arm: {part: _mean(spent) for part, spent in parts.items()} for arm, parts in by_arm.items()
    }
    costs_of_arms = []
    for arm, parts in means.items():
        random = means.get(arm._replace(method="random", pool_size=None), {}).get("training", Spent())
        costs_of_arms.append(ArmCost(arm, parts, _times(parts["selecting"], random)))
    return costs_of_arms


def _mean(spent: Sequence[Spent]) -> Spent:
    return Spent(*(sum(values) / len(spent) for values in zip(*spent, strict=True)))


def _times(chosen: Spent, random_training: Spent) -> dict[Unit, float]:
    return {
        unit: 1 + getattr(chosen, unit) / getattr(random_training, unit)
        for unit in UNITS
        if getattr(random_training, unit)
    }


def times_used(spent: Iterable[Spent]) -> list[Time]:
    """The kinds of time that are not 0."""
    total = Spent()
    for cost in spent:
        total = total.plus(cost)
    return [time for time in TIMES if getattr(total, time)]


def break_even(cost: ArmCost) -> str:
    """A sentence about how much random data an arm's cost would train; empty if it is not known."""
    if not cost.times or cost.arm.method == "random":
        return ""
    first, *rest = [(f"{times:.1f}x", f"by {UNITS[unit]}") for unit, times in cost.times.items()]
    parts = [" the random data ".join(first), *map(" ".join, rest)]
    return f"{cost.arm.method} costs as much as training on {', '.join(parts)}"


def markdown_costs(arms: Sequence[ArmCost]) -> str:
    """The tables of `cost_tables` in Markdown."""
    return "\n\n".join(table.markdown() for table in cost_tables(arms))


def cost_tables(arms: Sequence[ArmCost]) -> list[TextTable]:
    """The cost of each arm's parts: a table for each kind of time."""
    used = times_used(spent for each in arms for spent in each.parts.values())
    return [_cost_table(arms, time) for time in used]


def _cost_table(arms: Sequence[ArmCost], time: Time) -> TextTable:
    rows = [
        [
            each.name,
            *(_cell(each.parts.get(part), time, 1, 1) for part in PARTS),
            *(_cell(each.parts.get(part), "flops", 1e12, 2) for part in ("selecting", "training")),
        ]
        for each in arms
    ]
    seconds = [f"{part}, {TIMES[time].split()[0]} s" for part in PARTS]
    return TextTable(["arm · model · pool · samples", *seconds, "selecting, TFLOP", "training, TFLOP"], rows)


def _cell(spent: Spent | None, unit: Unit, scale: float, digits: int) -> str:
    return NOT_KNOWN if spent is None else f"{getattr(spent, unit) / scale:,.{digits}f}"
