"""Disk usage of the home folder, and deletion of what nothing refers to: old snapshots, runs and weights."""

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
"""Snapshots and runs that are younger are kept, because a reader may use them."""


@dataclass(frozen=True)
class Cleaning:
    """What cleaning frees, in bytes.

    Attributes:
        weights: bytes of each experiment whose weights are deleted.
        snapshots: the snapshots of the warehouse that are deleted.
        warehouse: bytes of the files of only these snapshots, and of files that killed writes left.
        runs: ids of Dagster's runs that are deleted.
        dagster: bytes of the events and logs of these runs.
        removed: bytes of each folder that belongs to nothing in the profile.
    """

    weights: dict[str, int]
    snapshots: list[int]
    warehouse: int
    runs: list[str]
    dagster: int
    removed: dict[str, int]

    @property
    def bytes(self) -> int:
        """The sum."""
        return self.warehouse + self.dagster + sum(self.weights.values()) + sum(self.removed.values())


def clean(
    workspace: Workspace,
    *,
    removed: bool = False,
    dry_run: bool = False,
    kept_for: timedelta | None = None,
    own_run: str | None = None,
) -> Cleaning:
    """Delete the weights that the profile does not keep, and old snapshots and runs that nothing refers to.

    A snapshot is kept while the newest materialization of any partition names it, because `verify`, `lineage` and
    `status` read these. The newest snapshot is always kept. Call this only while holding the home folder (`only_run`).

    Args:
        workspace: a new workspace, whose staleness has read nothing yet.
        removed: also delete the folders that belong to nothing in the profile, and the snapshots that only their
            records name.
        dry_run: delete nothing.
        kept_for: keep what is younger; `KEPT_FOR` by default. A transaction that reads an expired snapshot loses
            rows without an error (https://github.com/duckdb/ducklake/issues/1472).
        own_run: id of the Dagster run that calls this.

    Raises:
        PlatformError: a Dagster run is in progress, whose snapshot no materialisation names yet.
        OlderCatalog: the catalog is older than Dagster's records, so newer files look like those of killed writes.
    """
    profile, staleness = workspace.profile, workspace.staleness
    warehouse, artifacts, _ = workspace.resources
    check_catalog(workspace.instance, warehouse)
    # The snapshots are listed before the runs: a run that starts later reads the newest of them or a later one, and a
    # run that started before is either still in progress or has recorded its materialisation.
    there = snapshots(warehouse) if warehouse.exists() else []
    others = [
        run.run_id for run in workspace.instance.get_runs(dg.RunsFilter(statuses=AT_WORK)) if run.run_id != own_run
    ]
    if others and not dry_run:
        raise PlatformError(f"Dagster's run {others[0]} is in progress; wait for it, or stop it in Dagster's UI")
    retention = Retention(profile, staleness, workspace.resources)
    before = datetime.now(UTC) - (KEPT_FOR if kept_for is None else kept_for)
    kept = _needed_snapshots(staleness, removed=removed) | _since(before, warehouse, there)
    dagster, runs = workspace.home / "dagster", old_runs(workspace.instance, before)
    folders = removed_folders(Path(artifacts.folder), in_profile(profile, staleness, artifacts)) if removed else []
    cleaning = Cleaning(
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
            forget_snapshots(warehouse, cleaning.snapshots)
        forget_runs(workspace.instance, dagster, runs)
    return cleaning


def _since(before: datetime, warehouse: Warehouse, there: list[int]) -> set[int]:
    """The snapshots written since a moment, the newest one before it, and the newest of all."""
    written = snapshot_times(warehouse, there) if there else {}
    first = next((at for at, number in enumerate(there) if written[number] >= before.timestamp() * 1e6), len(there))
    return set(there[max(first - 1, 0) :])


def _needed_snapshots(staleness: Staleness, *, removed: bool) -> set[int]:
    ignored = set(staleness.removed()) if removed else set()
    records = (record for node, record in staleness.made().items() if node not in ignored)
    return {record.snapshot for record in records if record.snapshot is not None}


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
        # Features of a pool and a model are in one folder.
        yield artifacts.scoring(partition) / name


def uses(workspace: Workspace) -> list[Use]:
    """The disk usage of the home folder, largest first."""
    profile, staleness = workspace.profile, workspace.staleness
    warehouse, artifacts, _ = workspace.resources
    trained = [key for key, experiment in profile.trained_experiments.items() if experiment.pool is not None]
    entries = artifact_uses(
        Path(artifacts.folder),
        in_profile(profile, staleness, artifacts),
        {key: artifacts.checkpoint(key) for key in trained},
    )
    tables = bytes_of(warehouse.tables)
    live = bytes_of_snapshots(warehouse, {warehouse.snapshot()}) if warehouse.exists() else 0
    entries += [
        Use("warehouse, current rows", None, live),
        Use("warehouse, rows of old snapshots", None, tables - live),
        Use("warehouse, catalog", None, bytes_of(Path(warehouse.folder)) - tables),
        Use("Dagster's instance", None, bytes_of(workspace.home / "dagster")),
    ]
    return sorted((use for use in entries if use.bytes), key=lambda use: -use.bytes)


class CleanConfig(dg.Config):
    """The options of `clean`."""

    removed: bool = False
    dry_run: bool = False
    kept_for_hours: float | None = None


def clean_job(profile: Profile, assets: list[dg.AssetsDefinition]) -> dg.JobDefinition:
    """The command `clean` as a Dagster job."""

    @dg.op(name="free")
    def free(
        context: dg.OpExecutionContext, config: CleanConfig, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> None:
        resources, hours = Resources(warehouse, artifacts, JobLauncher()), config.kept_for_hours
        with only_run(home(profile)):
            cleaning = clean(
                Workspace.of(profile, assets, resources, context.instance),
                removed=config.removed,
                dry_run=config.dry_run,
                kept_for=None if hours is None else timedelta(hours=hours),
                own_run=context.run_id,
            )
        context.add_output_metadata(
            {
                "freed, bytes": cleaning.bytes,
                "snapshots": len(cleaning.snapshots),
                "runs": len(cleaning.runs),
                "weights": list(cleaning.weights),
                "removed": list(cleaning.removed),
            }
        )

    @dg.job(name="clean", description="Deletes weights that the profile does not keep, and old snapshots and runs.")
    def clean_everything() -> None:
        free()

    return clean_everything
