"""The cost ledger: the cost of every materialisation, and of every experiment along its lineage."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import dagster as dg

from assets.keys import CHECKPOINT
from assets.record.cost_meter import COST
from assets.record.provenance import Provenance, data_version_of, input_name, latest_provenance, materializations
from selection_platform.configuration.profile import Profile
from selection_platform.models.files import TRAINED_ELSEWHERE
from selection_platform.report.costs import ExperimentCost, Spent, experiment_costs


class Entry(NamedTuple):
    """The cost of one materialisation.

    Attributes:
        asset: name of the asset.
        partition: partition key; None if the asset has no partitions.
        run_id: id of the run.
        made_at: time of the materialisation, in seconds since 1970.
        data_version: identity of the content.
        cost: values by the names of `Cost`.
        step: Dagster's name of the step in the run; several assets can have one.
    """

    asset: str
    partition: str | None
    run_id: str
    made_at: float
    data_version: str | None
    cost: Mapping[str, Any]
    step: str | None = None

    @property
    def name(self) -> str:
        """Asset and partition."""
        return input_name(dg.AssetKey.from_user_string(self.asset), self.partition)

    @property
    def spent(self) -> Spent:
        """The costs that are summed along lineages."""
        return Spent(*(self.cost[field] for field in Spent._fields))


def entries(instance: dg.DagsterInstance) -> list[Entry]:
    """Every materialisation with a recorded cost, the newest of each asset first."""
    return [entry for key in sorted(instance.get_asset_keys()) for entry in _entries(instance, key)]


def _entries(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[Entry]:
    for record in materializations(instance, key):
        materialization = record.asset_materialization
        if materialization is not None and COST in materialization.metadata:
            yield Entry(
                asset=key.to_user_string(),
                partition=materialization.partition,
                run_id=record.run_id,
                step=record.event_log_entry.step_key,
                made_at=record.timestamp,
                data_version=data_version_of(materialization),
                cost=cast(dict[str, Any], materialization.metadata[COST].value),
            )


def spent_by_partition(ledger: list[Entry]) -> dict[str, Spent]:
    """The cost of each partition's current content, by `asset partition`.

    If a partition is computed again with the same content, both costs count. If its content changes, only the costs
    since then count.
    """
    spent: dict[str, Spent] = {}
    newest: dict[str, str | None] = {}
    older: set[str] = set()
    for entry in ledger:
        name = entry.name
        if newest.setdefault(name, entry.data_version) != entry.data_version:
            older.add(name)
        if name not in older:
            spent[name] = spent.get(name, Spent()).plus(entry.spent)
    return spent


def made_together(ledger: list[Entry]) -> dict[str, set[str]]:
    """What the step that made a partition's newest content made, by `asset partition`: this partition, and others."""
    steps: dict[str, tuple[str, str | None]] = {}
    for entry in ledger:
        steps.setdefault(entry.name, (entry.run_id, entry.step))
    made: dict[tuple[str, str | None], set[str]] = {}
    for name, step in steps.items():
        made.setdefault(step, set()).add(name)
    return {name: made[step] for name, step in steps.items()}


def costs_of_experiments(profile: Profile, instance: dg.DagsterInstance, ledger: list[Entry]) -> list[ExperimentCost]:
    """The cost of each part of the profile's materialised experiments.

    An experiment that needs one of the assets of a step pays for all of them: one forward pass makes several features.
    """
    records = {
        input_name(key, partition): provenance
        for key in instance.get_asset_keys()
        for partition, provenance in latest_provenance(instance, key).items()
    }
    beside = made_together(ledger)
    lineages = {
        key: {other for name in _lineage(key, records) for other in beside.get(name, {name})}
        for key in profile.experiments
    }
    materialised = {key: names for key, names in lineages.items() if names}
    methods = {key: profile.experiments[key].method for key in materialised}
    elsewhere = {key for key in materialised if _elsewhere(records.get(input_name(CHECKPOINT, key)))}
    spent = spent_by_partition(ledger)
    for name, cost in _stated(profile).items():
        spent[name] = spent.get(name, Spent()).plus(cost)
    return experiment_costs(materialised, methods, spent, elsewhere)


def _stated(profile: Profile) -> dict[str, Spent]:
    """What the user says that scores cost elsewhere, by the partitions of these scores."""
    return {
        input_name(dg.AssetKey(["scores", name]), partition): Spent(arm.cost.cpu_seconds, arm.cost.gpu_seconds)
        for name, arm in profile.arms.items()
        if arm.cost is not None
        for partition in profile.scored(name)
    }


def _elsewhere(checkpoint: Provenance | None) -> bool:
    """Whether a checkpoint was trained elsewhere, so that its recorded cost is only that of copying it."""
    return checkpoint is not None and TRAINED_ELSEWHERE in checkpoint.metadata


def _lineage(experiment: str, records: Mapping[str, Provenance]) -> set[str]:
    waiting = [f"{asset} {experiment}" for asset in ("benchmark_result", "checkpoint", "selection")]
    lineage: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in records and name not in lineage:
            lineage.add(name)
            waiting += records[name].inputs
    return lineage
