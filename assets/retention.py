"""What stays on the disk: the weights of which checkpoints, and which snapshots of the warehouse."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg

from assets.benchmarks import evaluation_spec
from assets.checkpoints import model_folder
from assets.graph import Node, Step
from assets.staleness import Staleness
from resources.artifact_store import ArtifactStore
from resources.snapshots import bytes_of_snapshots, forget_snapshots, snapshots, tables_folder
from resources.warehouse import Warehouse
from selection_platform.disk_usage import Use, artifact_uses, beside, bytes_of, remove_folders, removed_folders
from selection_platform.dropped_weights import drop_weights, weight_files, weights_bytes, weights_dropped
from selection_platform.experiments import Experiment
from selection_platform.manifest import remove_job_folder
from selection_platform.profile import Profile
from selection_platform.queries import load_sql
from selection_platform.settings import CheckpointSettings

CHECKPOINT, BENCHMARK_RESULT = dg.AssetKey("checkpoint"), dg.AssetKey("benchmark_result")
AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class Retention:
    """Drops the weights of checkpoints as the profile says, and knows when one has to be trained again."""

    def __init__(self, profile: Profile, staleness: Staleness, resources: Mapping[str, Any]) -> None:
        """Takes what compares the profile with what was made, and the resources of the home folder."""
        self._profile, self._staleness = profile, staleness
        self._artifacts: ArtifactStore = resources["artifacts"]
        self._warehouse: Warehouse = resources["warehouse"]
        self._steps = {node: step for step in staleness.graph.steps for node in step.nodes}

    def droppable(self, settings: CheckpointSettings | None = None) -> dict[str, int]:
        """The experiments whose weights are to go, and their bytes.

        Only what is evaluated and up to date: weights that wait for their evaluation stay.

        Args:
            settings: what to keep; by default what the profile says.
        """
        settings = settings or self._profile.checkpoints
        if settings.keep == "all" or not self._warehouse.exists():
            return {}
        trained = [each for each in self._profile.trained_experiments.values() if each.pool is not None]
        evaluated = [each for each in trained if self._is_current(each.key)]
        kept = self._best(evaluated, settings.best) if settings.keep == "best" else set()
        folders = {each.key: self._artifacts.checkpoint(each.key) for each in evaluated if each.key not in kept}
        return {key: weights_bytes(folder) for key, folder in folders.items() if weight_files(folder)}

    def drop(self) -> dict[str, int]:
        """Delete the weights that are to go; of each experiment the bytes that were freed."""
        return {key: drop_weights(self._artifacts.checkpoint(key)) for key in self.droppable()}

    def decides_by(self, step: Step) -> bool:
        """Whether a step has just made what is decided by."""
        return BENCHMARK_RESULT in step.asset.keys

    def rebuilt_for(self, step: Step) -> Step | None:
        """The checkpoint that has to be trained again before a step, because its weights went and the step needs them.

        An evaluation of the same conversations with the same settings is there already, and needs none.
        """
        if BENCHMARK_RESULT not in step.asset.keys:
            return None
        experiment = self._profile.experiments[step.partition_key or ""]
        if not weights_dropped(model_folder(experiment, self._artifacts)):
            return None
        from selection_platform.evaluation.harness import is_evaluated

        spec = evaluation_spec(self._profile, experiment, self._artifacts, self._warehouse)
        if is_evaluated(spec, self._artifacts.benchmark_result(experiment.key)):
            return None
        return self._steps[CHECKPOINT, experiment.key]

    def forget(self, steps: Iterable[Step]) -> None:
        """Remove the folders of those checkpoints among the steps whose weights were dropped, to be trained again."""
        for step in steps:
            if CHECKPOINT in step.asset.keys and step.partition_key is not None:
                folder = self._artifacts.checkpoint(step.partition_key)
                if weights_dropped(folder):
                    remove_job_folder(folder)

    def _is_current(self, experiment: str) -> bool:
        return not any(self._staleness.cause(self._steps[key, experiment]) for key in (CHECKPOINT, BENCHMARK_RESULT))

    def _best(self, experiments: Sequence[Experiment], count: int) -> set[str]:
        """The best of each pool and base model, of equals the first in the profile; and those without an average."""
        averages = dict(self._warehouse.query(load_sql("70_benchmarks/averages")).iter_rows())

        def group(experiment: Experiment) -> tuple[str, str]:
            return experiment.pool or "", experiment.model

        ranked = [each for each in experiments if each.key in averages]
        ranked.sort(key=lambda each: (group(each), -averages[each.key]))
        best = {each.key for _, rivals in groupby(ranked, group) for each in list(rivals)[:count]}
        return best | {each.key for each in experiments if each.key not in averages}


def by_experiment(steps: Sequence[Step]) -> list[Step]:
    """The steps, each evaluation right after its training, so that the weights need not wait for all the others."""
    results = {step.partition_key: step for step in steps if BENCHMARK_RESULT in step.asset.keys}
    ordered: dict[Step, None] = {}
    for step in steps:
        ordered[step] = None
        if CHECKPOINT in step.asset.keys and step.partition_key in results:
            ordered[results[step.partition_key]] = None
    return list(ordered)


@dataclass(frozen=True)
class Cleaning:
    """What cleaning frees, in bytes.

    Attributes:
        weights: of each experiment whose weights go.
        snapshots: the snapshots of the warehouse that go.
        warehouse: the files that only these had, and those that killed writes left.
        removed: of each folder that belongs to nothing in the profile.
    """

    weights: dict[str, int]
    snapshots: list[int]
    warehouse: int
    removed: dict[str, int]


def clean(
    profile: Profile,
    staleness: Staleness,
    resources: Mapping[str, Any],
    instance: dg.DagsterInstance,
    *,
    removed: bool = False,
    dry_run: bool = False,
    own_run: str | None = None,
) -> Cleaning:
    """Drop the weights that the profile does not keep, and what of the warehouse's past nothing refers to.

    A snapshot stays while the newest materialisation of any partition was made at it: `verify`, `lineage` and `status`
    read these. The newest snapshot stays always. To be called while the home folder is held.

    Args:
        profile: what is run in this home folder.
        staleness: fresh, so that it has seen nothing yet.
        resources: of the home folder.
        instance: of the home folder.
        removed: also remove the folders that belong to nothing in the profile, and forget what only these refer to.
        dry_run: only say what would be done.
        own_run: id of the Dagster run that this is part of.

    Raises:
        ValueError: a Dagster run is at work, whose snapshot no materialisation names yet.
    """
    warehouse: Warehouse = resources["warehouse"]
    artifacts: ArtifactStore = resources["artifacts"]
    # In this order: what starts after this reads the newest of these or a later one, and what started before is either
    # still at work or has left its materialisation.
    there = snapshots(warehouse) if warehouse.exists() else []
    others = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=AT_WORK)) if run.run_id != own_run]
    if others and not dry_run:
        raise ValueError(f"Dagster's run {others[0]} is at work; wait for it, or end it in Dagster's UI")
    retention = Retention(profile, staleness, resources)
    kept = _needed_snapshots(staleness, removed=removed) | set(there[-1:])
    folders = removed_folders(Path(artifacts.folder), in_profile(profile, staleness, artifacts)) if removed else []
    found = Cleaning(
        weights=retention.droppable(),
        snapshots=[snapshot for snapshot in there if snapshot not in kept],
        warehouse=_old_bytes(warehouse, kept),
        removed={str(folder): sum(map(bytes_of, beside(folder))) for folder in folders},
    )
    if not dry_run:
        retention.drop()
        remove_folders(folders)
        if there:
            forget_snapshots(warehouse, found.snapshots)
    return found


def _needed_snapshots(staleness: Staleness, *, removed: bool) -> set[int]:
    made = staleness.made()
    gone = set(staleness.removed()) if removed else set()
    return {each.snapshot for node, each in made.items() if each.snapshot is not None and node not in gone}


def _old_bytes(warehouse: Warehouse, kept: set[int]) -> int:
    if not warehouse.exists():
        return 0
    return bytes_of(tables_folder(warehouse)) - bytes_of_snapshots(warehouse, kept)


def in_profile(profile: Profile, staleness: Staleness, artifacts: ArtifactStore) -> set[Path]:
    """Every folder of artifacts that belongs to something in the profile."""
    nodes = (node for step in staleness.graph.steps for node in step.nodes)
    return {folder for node in nodes for folder in _folders(node, artifacts)} | {Path(artifacts.folder) / "held_out"}


def _folders(node: Node, artifacts: ArtifactStore) -> Iterator[Path]:
    key, partition = node
    name = key.to_user_string()
    group, _, method = name.partition("/")
    if partition is None:
        yield Path(artifacts.folder) / name
    elif group == "scores":
        yield artifacts.picks(method, partition)
    else:
        yield Path(artifacts.folder, name, partition)
        # What is computed for a pool with a model lies together.
        yield artifacts.scoring(partition) / name


def uses(profile: Profile, staleness: Staleness, resources: Mapping[str, Any], home: Path) -> list[Use]:
    """What takes room in the home folder, largest first."""
    warehouse: Warehouse = resources["warehouse"]
    artifacts: ArtifactStore = resources["artifacts"]
    trained = [key for key, each in profile.trained_experiments.items() if each.pool is not None]
    found = artifact_uses(
        Path(artifacts.folder),
        in_profile(profile, staleness, artifacts),
        {key: artifacts.checkpoint(key) for key in trained},
    )
    tables = bytes_of(tables_folder(warehouse))
    live = bytes_of_snapshots(warehouse, {warehouse.snapshot()}) if warehouse.exists() else 0
    found += [
        Use("warehouse, rows as they are now", None, live),
        Use("warehouse, rows as they were before", None, tables - live),
        Use("warehouse, catalog", None, bytes_of(Path(warehouse.folder)) - tables),
        Use("Dagster's instance", None, bytes_of(home / "dagster")),
    ]
    return sorted((use for use in found if use.bytes), key=lambda use: -use.bytes)
