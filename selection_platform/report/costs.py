"""What each choice of samples cost, and what else could have been had for it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from selection_platform.experiments.keys import Experiment, SubPool
from selection_platform.text.tables import TextTable

Part = Literal["selecting", "selecting alone", "training", "evaluating"]
PARTS: tuple[Part, ...] = ("selecting", "selecting alone", "training", "evaluating")

Time = Literal["gpu_seconds", "cpu_seconds"]
TIMES: Mapping[Time, str] = {"gpu_seconds": "GPU time", "cpu_seconds": "CPU time"}
"""Kinds of time, what is scarce first. They are never added, nor is one divided by the other."""
Unit = Literal[Time, "flops"]
UNITS: Mapping[Unit, str] = {**TIMES, "flops": "arithmetic"}

NOT_KNOWN = "not known"
"""The cost of a training that was done elsewhere."""

PREPARATION = ("raw_pool", "pool", "sub_pool", "benchmark_data", "base_model")
"""Assets that every arm needs, whatever it selects: no arm is charged for them."""


class Spent(NamedTuple):
    """What was spent.

    Attributes:
        cpu_seconds: over all cores.
        gpu_seconds: by the clock, of steps that held a GPU.
        forward_flops: of models' forward passes.
        backward_flops: of their backward passes.
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
        """Both together, of the other a share."""
        return Spent(*(one + share * more for one, more in zip(self, other, strict=True)))


class Arm(NamedTuple):
    """Runs that differ by nothing but their seed.

    Attributes:
        method: the arm.
        model: the base model.
        pool: the whole pool; None for the base model.
        budget: samples selected; None for all.
        pool_size: samples of the sub-pool that is selected from; None for the whole pool.
    """

    method: str
    model: str
    pool: str | None
    budget: int | None
    pool_size: int | None = None


class ExperimentCost(NamedTuple):
    """What one part of an experiment cost."""

    experiment: str
    part: Part
    spent: Spent


class ArmCost(NamedTuple):
    """What an arm cost, on average over its seeds, beside random selection.

    Attributes:
        arm: which.
        parts: what each part cost. Training that was done elsewhere is missing: its cost is not known.
        times: on how many times as much data, picked at random, a model could have been trained for the cost of
            selecting and training: by each unit in which the training of the random runs of the same model, pool and
            budget cost something.
    """

    arm: Arm
    parts: Mapping[Part, Spent]
    times: Mapping[Unit, float]

    @property
    def name(self) -> str:
        """The arm in a line."""
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

    "selecting" takes of each feature that several methods use an equal share for each of these methods; "selecting
    alone" takes all of it, as if no other method were run. Seeds are no methods: each run of a method is charged with
    the whole choice.

    Args:
        made_from: of each experiment the partitions that it was made from, itself included, as `asset partition`.
        methods: of each experiment.
        spent: on each partition; one that is missing cost nothing that is known.
        elsewhere: experiments that were trained elsewhere: they have no costs of training, as those are not known.
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
    """The costs of each arm, on average over its experiments, in order of appearance.

    Args:
        costs: of `experiment_costs`.
        arms: of each experiment.
    """
    by_arm: dict[Arm, dict[Part, list[Spent]]] = {}
    for experiment, part, spent in costs:
        by_arm.setdefault(arms[experiment], {}).setdefault(part, []).append(spent)
    means: dict[Arm, dict[Part, Spent]] = {
        arm: {part: _mean(spent) for part, spent in parts.items()} for arm, parts in by_arm.items()
    }
    found = []
    for arm, parts in means.items():
        random = means.get(arm._replace(method="random", pool_size=None), {}).get("training", Spent())
        found.append(ArmCost(arm, parts, _times(parts["selecting"], random)))
    return found


def _mean(spent: Sequence[Spent]) -> Spent:
    return Spent(*(sum(values) / len(spent) for values in zip(*spent, strict=True)))


def _times(chosen: Spent, random_training: Spent) -> dict[Unit, float]:
    return {
        unit: 1 + getattr(chosen, unit) / getattr(random_training, unit)
        for unit in UNITS
        if getattr(random_training, unit)
    }


def times_used(spent: Iterable[Spent]) -> list[Time]:
    """The kinds of time of which any was spent."""
    together = Spent()
    for each in spent:
        together = together.plus(each)
    return [time for time in TIMES if getattr(together, time)]


def break_even(cost: ArmCost) -> str:
    """What an arm's cost would have bought at random, in words; nothing where that is not known."""
    if not cost.times or cost.arm.method == "random":
        return ""
    first, *others = [(f"{times:.1f}x", f"by {UNITS[unit]}") for unit, times in cost.times.items()]
    words = [" the data at random ".join(first), *map(" ".join, others)]
    return f"{cost.arm.method} costs as much as training on {', '.join(words)}"


def markdown_costs(arms: Sequence[ArmCost]) -> str:
    """The tables of `cost_tables` in Markdown."""
    return "\n\n".join(table.markdown() for table in cost_tables(arms))


def cost_tables(arms: Sequence[ArmCost]) -> list[TextTable]:
    """What each arm cost, part by part: a table for each kind of time."""
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
