"""The cost ledger: what every materialisation cost, and every experiment along its lineage."""

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
    """What one materialisation cost.

    Attributes:
        asset: name of the asset.
        partition: partition key; None where the asset has none.
        run_id: of the run.
        made_at: when, in seconds since 1970.
        data_version: identity of what was made.
        cost: by the names of `Cost`.
    """

    asset: str
    partition: str | None
    run_id: str
    made_at: float
    data_version: str | None
    cost: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Asset and partition."""
        return input_name(dg.AssetKey.from_user_string(self.asset), self.partition)

    @property
    def spent(self) -> Spent:
        """What is summed along lineages."""
        return Spent(*(self.cost[field] for field in Spent._fields))


def entries(instance: dg.DagsterInstance) -> list[Entry]:
    """Every materialisation whose cost was recorded, of each asset the newest first."""
    return [entry for key in sorted(instance.get_asset_keys()) for entry in _entries(instance, key)]


def _entries(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[Entry]:
    for record in materializations(instance, key):
        made = record.asset_materialization
        if made is not None and COST in made.metadata:
            yield Entry(
                asset=key.to_user_string(),
                partition=made.partition,
                run_id=record.run_id,
                made_at=record.timestamp,
                data_version=data_version_of(made),
                cost=cast(dict[str, Any], made.metadata[COST].value),
            )


def spent_by_partition(ledger: list[Entry]) -> dict[str, Spent]:
    """What the content that each partition has now cost, by `asset partition`.

    A partition that is made again and comes out the same cost both times; one that came out otherwise cost what was
    spent since.
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


def costs_of_experiments(profile: Profile, instance: dg.DagsterInstance, ledger: list[Entry]) -> list[ExperimentCost]:
    """What each experiment of the profile that was made cost, part by part."""
    made = {
        input_name(key, partition): provenance
        for key in instance.get_asset_keys()
        for partition, provenance in latest_provenance(instance, key).items()
    }
    made_from = {key: _made_from(key, made) for key in profile.experiments}
    known = {key: names for key, names in made_from.items() if names}
    methods = {key: profile.experiments[key].method for key in known}
    elsewhere = {key for key in known if _elsewhere(made.get(input_name(CHECKPOINT, key)))}
    spent = spent_by_partition(ledger)
    for name, cost in _stated(profile).items():
        spent[name] = spent.get(name, Spent()).plus(cost)
    return experiment_costs(known, methods, spent, elsewhere)


def _stated(profile: Profile) -> dict[str, Spent]:
    """What the user says that scores cost elsewhere, by the partitions of these scores."""
    return {
        input_name(dg.AssetKey(["scores", name]), partition): Spent(arm.cost.cpu_seconds, arm.cost.gpu_seconds)
        for name, arm in profile.arms.items()
        if arm.cost is not None
        for partition in profile.scored(name)
    }


def _elsewhere(checkpoint: Provenance | None) -> bool:
    """Whether a checkpoint was trained elsewhere: what is recorded here is what it cost to copy it."""
    return checkpoint is not None and TRAINED_ELSEWHERE in checkpoint.metadata


def _made_from(experiment: str, made: Mapping[str, Provenance]) -> set[str]:
    waiting = [f"{asset} {experiment}" for asset in ("benchmark_result", "checkpoint", "selection")]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in made and name not in found:
            found.add(name)
            waiting += made[name].inputs
    return found
