"""Whether files and rows are what was written: every byte of the jobs' folders, every row of the warehouse.

Jobs check only sizes and times before they use a folder, and nothing checks the rows of the warehouse's Parquet files:
there a changed byte often gives another number and no error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import duckdb

from assets.keys import Node
from assets.record.catalog_age import check_catalog
from assets.record.content import Content, recorded_files, recorded_rows
from assets.record.provenance import Provenance, input_name
from assets.record.reuse import Again
from orchestration.cleaning import folders_of
from orchestration.graph import Step
from orchestration.run_lock import only_run
from orchestration.workspace import Workspace
from resources import Resources, readers
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError
from selection_platform.job.folder import MANIFEST, file_hash
from selection_platform.job.integrity import changed_files, is_recorded
from selection_platform.job.progress import progress


@dataclass(frozen=True)
class Fault:
    """Something that is not what was written.

    Attributes:
        made: asset and partition that wrote it.
        where: the file, or the table and its partition.
        what: description of the difference.
        remedy: the command that has it made again.
        of_rows: whether it is in the warehouse, and not in a job's folder.
    """

    made: str
    where: str
    what: str
    remedy: str
    of_rows: bool


@dataclass
class Checked:
    """What was checked, and what came of it.

    Attributes:
        folders: jobs' folders whose files were all read.
        tables: partitions of tables whose rows were all read.
        unknown: what an earlier version wrote without saying what: a folder, or asset and partition.
        faults: what is not as it was written.
    """

    folders: int = 0
    tables: int = 0
    unknown: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def only_rows(self) -> bool:
        """Whether all faults are of rows of tables: the jobs' files that they were made from are whole."""
        return all(fault.of_rows for fault in self.faults)


def check(workspace: Workspace, steps: Sequence[Step]) -> Checked:
    """Read all that some steps wrote, and compare it with what was recorded then. Nothing is changed.

    A run that is at work at the same time may have written what it has not recorded yet.

    Args:
        workspace: of the profile.
        steps: whose files and rows are to be read.
    """
    every = Checked()
    for _, found in _checks(workspace, steps):
        every.folders += found.folders
        every.tables += found.tables
        every.unknown += found.unknown
        every.faults += found.faults
    return every


def damaged(workspace: Workspace, steps: Sequence[Step]) -> dict[Step, Again]:
    """Those among some steps whose files or rows are not what was written, and what of each is to be made again."""
    return {step: "rows" if found.only_rows else "all" for step, found in _checks(workspace, steps) if found.faults}


def _checks(workspace: Workspace, steps: Sequence[Step]) -> Iterator[tuple[Step, Checked]]:
    """What was checked of each step."""
    # What an open connection keeps in memory is not what lies on the disk.
    readers.close(workspace.resources.warehouse.folder)
    with progress("checking", len(steps), "partitions") as counter:
        for step in steps:
            found = Checked()
            for node in step.nodes:
                made = workspace.staleness.provenance(*node)
                # A step that failed may have left a folder that is complete and damaged.
                _check_folders(workspace, node, found, is_made=made is not None)
                if made is not None:
                    _check_rows(workspace, node, made, found)
            yield step, found
            counter.advance()


def _check_folders(workspace: Workspace, node: Node, found: Checked, *, is_made: bool) -> None:
    artifacts = workspace.resources.artifacts
    folder_of = workspace.staleness.graph.declared(node[0]).folder
    needed = folder_of(artifacts, node[1] or "") if folder_of else None
    if is_made and needed is not None and not (needed / MANIFEST).exists():
        found.faults.append(_fault(node, str(needed), "is gone, or not complete"))
    for folder in _complete_folders(node, artifacts):
        if not is_recorded(folder):
            found.unknown.append(str(folder))
            continue
        found.folders += 1
        found.faults += [_fault(node, str(folder / each.file), each.what) for each in changed_files(folder, deep=True)]


def _complete_folders(node: Node, artifacts: ArtifactStore) -> Iterator[Path]:
    """The folders of a partition's jobs: its own, or where it has several, those in it."""
    for folder in folders_of(node, artifacts):
        if (folder / MANIFEST).exists():
            yield folder
        else:
            yield from (manifest.parent for manifest in sorted(folder.glob(f"*/{MANIFEST}")))


def _check_rows(workspace: Workspace, node: Node, made: Provenance, found: Checked) -> None:
    recorded = recorded_rows(made.metadata)
    if not recorded and "dagster/table_name" in made.metadata:
        found.unknown.append(input_name(*node))
    warehouse = workspace.resources.warehouse
    found.tables += len(recorded)
    differences = {str(content): _difference(content, version, warehouse) for content, version in recorded}
    faults = [_fault(node, where, what, of_rows=True) for where, what in differences.items() if what is not None]
    # A file's statistics say which rows a query need not read.
    found.faults += faults or [
        _fault(node, str(file), "has other bytes than were written, around the same rows", of_rows=True)
        for name, written in recorded_files(made.metadata).items()
        if (file := warehouse.tables / name).exists() and file_hash(file) != written
    ]


def _difference(content: Content, version: str, warehouse: Warehouse) -> str | None:
    """Describe how rows differ from the version that was recorded; None if they do not."""
    try:
        now = content.version(warehouse)
    except (duckdb.Error, PlatformError) as error:
        # After some errors a connection answers nothing any more.
        readers.close(warehouse.folder)
        return f"cannot be read: {' '.join(str(error).split())}"
    if now == version:
        return None
    rows, rows_then = (int(each.partition("-")[0]) for each in (now, version))
    return "has other values than were written" if rows == rows_then else f"has {rows:,} rows, and had {rows_then:,}"


def _fault(node: Node, where: str, what: str, *, of_rows: bool = False) -> Fault:
    asset, partition = node
    remedy = f"selection-platform refresh {partition or asset.to_user_string()} --rebuild"
    return Fault(input_name(*node), where, what, remedy, of_rows)


def verify_job(profile: Profile, assets: list[dg.AssetsDefinition]) -> dg.JobDefinition:
    """The command `verify --deep` as a job of Dagster's."""

    @dg.op(name="read_everything")
    def read_everything(context: dg.OpExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse) -> None:
        resources = Resources(warehouse, artifacts, JobLauncher())
        with only_run(home(profile)):
            check_catalog(context.instance, warehouse)
            workspace = Workspace.of(profile, assets, resources, context.instance)
            found = check(workspace, workspace.staleness.graph.steps)
        context.add_output_metadata(
            {"folders": found.folders, "partitions of tables": found.tables, "of earlier versions": len(found.unknown)}
        )
        if found.faults:
            raise dg.Failure(in_words(found.faults), allow_retries=False)

    @dg.job(name="verify", description="Read every file and row, and compare them with what was recorded.")
    def verify_everything() -> None:
        read_everything()

    return verify_everything


def in_words(faults: Sequence[Fault]) -> str:
    """All faults, with what to do."""
    lines = [f"{each.made}: {each.where} {each.what}; `{each.remedy}`" for each in faults]
    return "\n".join([f"{len(faults):,} things are not what was written:", *lines])
