"""What each choice of samples cost, and what else could have been had for it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from selection_platform.experiments.keys import Experiment, SubPool
from selection_platform.text.tables import markdown_table

Part = Literal["selecting", "selecting alone", "training", "evaluating"]
PARTS: tuple[Part, ...] = ("selecting", "selecting alone", "training", "evaluating")

PREPARATION = ("raw_pool", "pool", "sub_pool", "benchmark_data", "base_model")
"""Assets that every arm needs, whatever it selects: they are no cost of any."""


class Spent(NamedTuple):
    """What was spent.

    Attributes:
        cpu_seconds: over all cores.
        gpu_seconds: of steps that held a GPU.
        forward_flops: of models' forward passes.
        backward_flops: of their backward passes.
    """

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    forward_flops: float = 0.0
    backward_flops: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of what is scarce: of the GPU where one was used, else of the CPU's cores."""
        return self.gpu_seconds or self.cpu_seconds

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
        parts: what each part cost.
        times_by_seconds: on how many times as much data, picked at random, a model could have been trained for the cost
            of selecting and training; None where no random run of the same model, pool and budget was trained.
        times_by_flops: the same by arithmetic.
    """

    arm: Arm
    parts: Mapping[Part, Spent]
    times_by_seconds: float | None
    times_by_flops: float | None

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
    made_from: Mapping[str, Iterable[str]], methods: Mapping[str, str], spent: Mapping[str, Spent]
) -> list[ExperimentCost]:
    """Sum the costs along each experiment's lineage.

    "selecting" takes of each feature that several methods use an equal share for each of these methods; "selecting
    alone" takes all of it, as if no other method were run. Seeds are no methods: each run of a method is charged with
    the whole choice.

    Args:
        made_from: of each experiment the partitions that it was made from, itself included, as `asset partition`.
        methods: of each experiment.
        spent: on each partition; one that is missing cost nothing that is known.
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
        costs += [ExperimentCost(experiment, part, parts[part]) for part in PARTS]
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
        key: Arm(each.method, each.model, each.pool, each.budget, each.pool_size) for key, each in experiments.items()
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
        chosen = parts["selecting"]
        found.append(ArmCost(arm, parts, _times(chosen, random, "seconds"), _times(chosen, random, "flops")))
    return found


def _mean(spent: Sequence[Spent]) -> Spent:
    return Spent(*(sum(values) / len(spent) for values in zip(*spent, strict=True)))


def _times(chosen: Spent, random_training: Spent, unit: Literal["seconds", "flops"]) -> float | None:
    one_run = getattr(random_training, unit)
    return 1 + getattr(chosen, unit) / one_run if one_run else None


def break_even(cost: ArmCost) -> str:
    """What an arm's cost would have bought at random, in words; nothing where that is not known."""
    if cost.times_by_seconds is None or cost.times_by_flops is None or cost.arm.method == "random":
        return ""
    device = "GPU" if cost.parts["training"].gpu_seconds else "CPU"
    return (
        f"{cost.arm.method} costs as much as training on {cost.times_by_seconds:.1f}x the data at random by {device} "
        f"time, {cost.times_by_flops:.1f}x by arithmetic"
    )


def markdown_costs(arms: Sequence[ArmCost]) -> str:
    """A table of what each arm cost, part by part."""
    rows = [
        [
            each.name,
            *(f"{each.parts[part].seconds:,.1f}" for part in PARTS),
            *(f"{each.parts[part].flops / 1e12:,.2f}" for part in ("selecting", "training")),
        ]
        for each in arms
    ]
    units = ["selecting, TFLOP", "training, TFLOP"]
    return markdown_table(["arm · model · pool · samples", *(f"{part}, s" for part in PARTS), *units], rows)
