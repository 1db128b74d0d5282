"""What is missing or stale, and why.

Dagster computes the staleness of partitions only on demand, not transitively, and not at all for a partition with 100
inputs or more. It knows nothing about a profile's settings.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from assets.keys import SELECTION, Node
from assets.record.provenance import Provenance, input_name, latest_provenance
from orchestration.graph import Graph, Step
from orchestration.planned import not_wanted
from resources import Resources
from selection_platform.configuration.profile import Profile
from selection_platform.job.folder import FILES, JOB, previous_folder, read_manifest
from sql.queries import load_sql

CODE_VERSION = "code version"
NANOSECONDS = re.compile(r"(?<=:\d\d)\.\d{9}(?= UTC)")
Status = Literal["missing", "stale"]


@dataclass(frozen=True)
class Due:
    """A step that is due, and why.

    Attributes:
        step: the step.
        status: "missing" if it was never materialised, or its files are gone or not finished; "stale" if its content
            may change now.
        causes: the causes, as text.
    """

    step: Step
    status: Status
    causes: tuple[str, ...]

    @property
    def by_code_alone(self) -> bool:
        """Whether only code versions changed."""
        return self.status == "stale" and all(cause.startswith(f"{CODE_VERSION} ") for cause in self.causes)


@dataclass(frozen=True)
class _ChangedSelection:
    """The cause that an experiment's selection differs from that of a snapshot."""

    experiment: str
    snapshot: int

    def __str__(self) -> str:
        return f"{input_name(SELECTION, self.experiment)} changed"


class Staleness:
    """Compares the recorded inputs, settings and code of each partition with the current ones."""

    def __init__(
        self,
        profile: Profile,
        assets: list[dg.AssetsDefinition],
        instance: dg.DagsterInstance,
        resources: Resources,
    ) -> None:
        """Take all assets of the profile, upstream before downstream, and the resources of its home folder."""
        self._profile, self._instance = profile, instance
        self._artifacts = resources.artifacts
        self._warehouse = resources.warehouse
        self._known: dict[dg.AssetKey, dict[str | None, Provenance]] = {}
        self.graph = Graph(assets, not_wanted(profile, self._warehouse, self._latest))

    def due(self) -> list[Due]:
        """Every step that is due now, upstream before downstream. Their results may make more steps due."""
        return self._due(self.graph.steps)

    def cause(self, step: Step) -> Due | None:
        """Why a step is due; None if it is not."""
        return next(iter(self._due([step])), None)

    def removed(self) -> list[Node]:
        """The partitions that were materialised, and then removed from the profile. They do not change."""
        return [node for node in self.made() if node[1] not in self.graph.partition_keys(node[0])]

    def other_speed(self) -> dict[str, int]:
        """Changed settings of speed, as text, and the number of partitions with the earlier value.

        They make nothing due: computed again, only the last digits would differ.
        """
        changed: dict[str, int] = {}
        for key, partition in (node for step in self.graph.steps for node in step.nodes):
            record = self._latest(key).get(partition)
            # Records of earlier versions do not have these settings.
            if record is not None and record.speed:
                for cause in _changed_settings(record.speed, self.graph.declared(key).speed(partition)):
                    changed[cause] = changed.get(cause, 0) + 1
        return changed

    def made(self) -> dict[Node, Provenance]:
        """The newest record of every partition that was ever materialised, in the profile or not, in order."""
        return {
            (key, partition): provenance
            for key in sorted(self._instance.get_asset_keys())
            for partition, provenance in sorted(self._latest(key).items(), key=lambda item: str(item[0]))
        }

    def provenance(self, asset: dg.AssetKey, partition_key: str | None) -> Provenance | None:
        """The newest record of a partition; None if it was never materialised."""
        return self._latest(asset).get(partition_key)

    def look_again(self, step: Step) -> None:
        """Read the records of a step's partition again, after it was materialised."""
        for key, partition in step.nodes:
            newest = latest_provenance(self._instance, key, None if partition is None else [partition])
            self._known.setdefault(key, {}).update(newest)

    def _latest(self, asset: dg.AssetKey) -> dict[str | None, Provenance]:
        if asset not in self._known:
            self._known[asset] = latest_provenance(self._instance, asset)
        return self._known[asset]

    def _due(self, steps: Iterable[Step]) -> list[Due]:
        due = [(step, *state) for step in steps if (state := self._state(step))]
        counts = self._changed_ids(
            cause for *_, causes in due for cause in causes if isinstance(cause, _ChangedSelection)
        )
        return [
            Due(step, status, tuple(dict.fromkeys(counts.get(cause, str(cause)) for cause in causes)))
            for step, status, causes in due
        ]

    def _state(self, step: Step) -> tuple[Status, list["str | _ChangedSelection"]] | None:
        """The status of a step that is due, and its causes; None if it is not due."""
        records = {node: self._latest(node[0]).get(node[1]) for node in step.nodes}
        if not all(records.values()):
            return "missing", ["never materialised"]
        folder = self._missing_files(step)
        if folder is not None:
            return "missing", [f"{_what_became_of(folder)}: {folder}"]
        causes = [cause for node, record in records.items() if record for cause in self._causes(node, record)]
        return ("stale", causes) if causes else None

    def _causes(self, node: Node, record: Provenance) -> Iterator["str | _ChangedSelection"]:
        key, partition = node
        code_version = self.graph.code_version(key)
        if record.code_version != code_version:
            yield f"{CODE_VERSION} {record.code_version} -> {code_version}"
        yield from _changed_settings(record.settings, self.graph.declared(key).content(partition))
        inputs = {input_name(*upstream): upstream for upstream in self.graph.inputs(node)}
        part = self.graph.declared(key).part_of_inputs(partition)
        for name, (upstream, upstream_key) in inputs.items():
            now = self._latest(upstream).get(upstream_key)
            if now is None or name not in record.inputs:
                yield f"{name} is new"
            elif not now.has_version(record.inputs[name], part):
                of_ids = upstream == SELECTION and record.snapshot is not None
                yield _ChangedSelection(upstream_key or "", record.snapshot or 0) if of_ids else f"{name} changed"
        for name in record.inputs:
            if name not in inputs:
                yield f"{name} is read no longer" if name in self._names else f"{name} was removed from the profile"

    @cached_property
    def _names(self) -> set[str]:
        """The names of all partitions of the profile."""
        return {input_name(*node) for step in self.graph.steps for node in step.nodes}

    def _changed_ids(self, changed: Iterable["_ChangedSelection"]) -> dict["str | _ChangedSelection", str]:
        """Causes with the number of changed ids of the selections that checkpoints were trained on.

        One query per snapshot: the checkpoints of one run all read the same snapshot.
        """
        experiments: dict[int, list[str]] = {}
        for cause in changed:
            experiments.setdefault(cause.snapshot, []).append(cause.experiment)
        texts: dict[str | _ChangedSelection, str] = {}
        for snapshot, keys in experiments.items():
            values = {"snapshot": snapshot, "experiments": keys}
            for key, other, size in self._warehouse.query(load_sql("50_selections/changed"), values).iter_rows():
                cause = _ChangedSelection(key, snapshot)
                texts[cause] = f"{cause}, {other:,} of {size:,} ids" if other else f"{cause}, only the order of its ids"
        return texts

    def _missing_files(self, step: Step) -> Path | None:
        """A folder of the step that downstream steps read, if it is not complete."""
        for key, partition in step.nodes:
            folder_of = self.graph.declared(key).folder
            folder = folder_of(self._artifacts, partition or "") if folder_of else None
            if folder is not None and read_manifest(folder) is None:
                return folder
        return None


def _what_became_of(folder: Path) -> str:
    """Whether a folder that is not complete was lost, or is made again by a job that was stopped or still runs."""
    # A job writes JOB first, and FILES at its end. Before the first, there is only the result that it put aside.
    begun = (folder / JOB).exists() and not (folder / FILES).exists()
    if begun or previous_folder(folder).exists():
        return "it is made again and not finished yet; run goes on with it"
    return "its files are gone"


def _changed_settings(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for path in sorted(recorded.keys() | now.keys()):
        if recorded.get(path) != now.get(path):
            yield f"{path} {' -> '.join(_differing(_text(recorded.get(path)), _text(now.get(path))))}"


def _text(value: Any) -> str:
    return "unset" if value is None else str(value)


def _differing(*texts: str) -> list[str]:
    """The texts with times to the second, unless they are the same then."""
    short = [NANOSECONDS.sub("", text) for text in texts]
    return short if len(set(short)) > 1 else list(texts)
