"""What takes room in the home folder, and freeing what nothing refers to: old snapshots, runs and dropped weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from assets.keys import Node
from assets.record.catalog_age import check_catalog
from orchestration.disk_usage import Use, artifact_uses, beside, bytes_of, remove_folders, removed_folders
from orchestration.materialize import AT_WORK
from orchestration.retention import Retention
from orchestration.run_history import bytes_of_runs, forget_runs, old_runs
from orchestration.run_lock import only_run
from orchestration.staleness import Staleness
from orchestration.workspace import Workspace
from resources import Resources
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.snapshots import bytes_of_snapshots, forget_snapshots, snapshot_times, snapshots
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError

KEPT_FOR = timedelta(hours=1)
"""For how long snapshots and runs stay in any case: somebody may be reading them."""


@dataclass(frozen=True)
class Cleaning:
    """What cleaning frees, in bytes.

    Attributes:
        weights: of each experiment whose weights go.
        snapshots: the snapshots of the warehouse that go.
        warehouse: the files that only these had, and those that killed writes left.
        runs: ids of Dagster's runs that go.
        dagster: the events and logs of these.
        removed: of each folder that belongs to nothing in the profile.
    """

    weights: dict[str, int]
    snapshots: list[int]
    warehouse: int
    runs: list[str]
    dagster: int
    removed: dict[str, int]

    @property
    def bytes(self) -> int:
        """All together."""
        return self.warehouse + self.dagster + sum(self.weights.values()) + sum(self.removed.values())


def clean(
    workspace: Workspace,
    *,
    removed: bool = False,
    dry_run: bool = False,
    kept_for: timedelta | None = None,
    own_run: str | None = None,
) -> Cleaning:
    """Drop the weights that the profile does not keep, and what of warehouse's and Dagster's past nothing refers to.

    A snapshot stays while the newest materialization of any partition was made at it: `verify`, `lineage` and `status`
    read these. The newest snapshot stays always. To be called while the home folder is held.

    Args:
        workspace: fresh, so that its staleness has seen nothing yet.
        removed: also remove the folders that belong to nothing in the profile, and forget what only these refer to.
        dry_run: only say what would be done.
        kept_for: what is younger stays; `KEPT_FOR` if left out. A transaction that reads an expired snapshot loses
            rows without an error (https://github.com/duckdb/ducklake/issues/1472).
        own_run: id of the Dagster run that this is part of.

    Raises:
        PlatformError: a Dagster run is at work, whose snapshot no materialisation names yet.
        OlderCatalog: the catalog is older than the work, whose files would be those of killed writes to it.
    """
    profile, staleness = workspace.profile, workspace.staleness
    warehouse, artifacts, _ = workspace.resources
    check_catalog(workspace.instance, warehouse)
    # In this order: what starts after this reads the newest of these or a later one, and what started before is either
    # still at work or has left its materialisation.
    there = snapshots(warehouse) if warehouse.exists() else []
    others = [
        run.run_id for run in workspace.instance.get_runs(dg.RunsFilter(statuses=AT_WORK)) if run.run_id != own_run
    ]
    if others and not dry_run:
        raise PlatformError(f"Dagster's run {others[0]} is at work; wait for it, or end it in Dagster's UI")
    retention = Retention(profile, staleness, workspace.resources)
    before = datetime.now(UTC) - (KEPT_FOR if kept_for is None else kept_for)
    kept = _needed_snapshots(staleness, removed=removed) | _since(before, warehouse, there)
    dagster, runs = workspace.home / "dagster", old_runs(workspace.instance, before)
    folders = removed_folders(Path(artifacts.folder), in_profile(profile, staleness, artifacts)) if removed else []
    found = Cleaning(
        weights=retention.droppable(),
        snapshots=[snapshot for snapshot in there if snapshot not in kept],
        warehouse=_old_bytes(warehouse, kept),
        runs=runs,
        dagster=bytes_of_runs(dagster, runs),
        removed={str(folder): sum(map(bytes_of, beside(folder))) for folder in folders},
    )
    if not dry_run:
        retention.drop()
        remove_folders(folders)
        if there:
            forget_snapshots(warehouse, found.snapshots)
        forget_runs(workspace.instance, dagster, runs)
    return found


def _since(before: datetime, warehouse: Warehouse, there: list[int]) -> set[int]:
    """The snapshots that were written since a moment, the one that was the newest then, and the newest of all."""
    written = snapshot_times(warehouse, there) if there else {}
    first = next((at for at, number in enumerate(there) if written[number] >= before.timestamp() * 1e6), len(there))
    return set(there[max(first - 1, 0) :])


def _needed_snapshots(staleness: Staleness, *, removed: bool) -> set[int]:
    made = staleness.made()
    gone = set(staleness.removed()) if removed else set()
    return {each.snapshot for node, each in made.items() if each.snapshot is not None and node not in gone}


def _old_bytes(warehouse: Warehouse, kept: set[int]) -> int:
    if not warehouse.exists():
        return 0
    return bytes_of(warehouse.tables) - bytes_of_snapshots(warehouse, kept)


def in_profile(profile: Profile, staleness: Staleness, artifacts: ArtifactStore) -> set[Path]:
    """Every folder of artifacts that belongs to something in the profile."""
    nodes = (node for step in staleness.graph.steps for node in step.nodes)
    return {folder for node in nodes for folder in folders_of(node, artifacts)} | {Path(artifacts.folder) / "held_out"}


def folders_of(node: Node, artifacts: ArtifactStore) -> Iterator[Path]:
    """Where a partition's files lie, if it has any."""
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


def uses(workspace: Workspace) -> list[Use]:
    """What takes room in the home folder, largest first."""
    profile, staleness = workspace.profile, workspace.staleness
    warehouse, artifacts, _ = workspace.resources
    trained = [key for key, each in profile.trained_experiments.items() if each.pool is not None]
    found = artifact_uses(
        Path(artifacts.folder),
        in_profile(profile, staleness, artifacts),
        {key: artifacts.checkpoint(key) for key in trained},
    )
    tables = bytes_of(warehouse.tables)
    live = bytes_of_snapshots(warehouse, {warehouse.snapshot()}) if warehouse.exists() else 0
    found += [
        Use("warehouse, rows as they are now", None, live),
        Use("warehouse, rows as they were before", None, tables - live),
        Use("warehouse, catalog", None, bytes_of(Path(warehouse.folder)) - tables),
        Use("Dagster's instance", None, bytes_of(workspace.home / "dagster")),
    ]
    return sorted((use for use in found if use.bytes), key=lambda use: -use.bytes)


class CleanConfig(dg.Config):
    """What `clean` is asked for."""

    removed: bool = False
    dry_run: bool = False
    kept_for_hours: float | None = None


def clean_job(profile: Profile, assets: list[dg.AssetsDefinition]) -> dg.JobDefinition:
    """The command `clean` as a job of Dagster's."""

    @dg.op(name="free")
    def free(
        context: dg.OpExecutionContext, config: CleanConfig, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> None:
        resources, hours = Resources(warehouse, artifacts, JobLauncher()), config.kept_for_hours
        with only_run(home(profile)):
            found = clean(
                Workspace.of(profile, assets, resources, context.instance),
                removed=config.removed,
                dry_run=config.dry_run,
                kept_for=None if hours is None else timedelta(hours=hours),
                own_run=context.run_id,
            )
        context.add_output_metadata(
            {
                "freed, bytes": found.bytes,
                "snapshots": len(found.snapshots),
                "runs": len(found.runs),
                "weights": list(found.weights),
                "removed": list(found.removed),
            }
        )

    @dg.job(name="clean", description="Drop weights that the profile does not keep, and old snapshots and runs.")
    def clean_everything() -> None:
        free()

    return clean_everything
