"""What is missing or stale, and why in words.

Dagster computes the staleness of partitions on demand only, not transitively, and not at all for a partition with 100
inputs or more; and it knows nothing of a profile's settings.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from assets.keys import SELECTION, Node
from assets.record.provenance import Provenance, input_name, latest_provenance
from orchestration.graph import Graph, Step
from resources import Resources
from selection_platform.configuration.profile import Profile
from selection_platform.job.folder import read_manifest
from sql.queries import load_sql

CODE_VERSION = "code version"
Status = Literal["missing", "stale"]


@dataclass(frozen=True)
class Due:
    """A step that has to be done, and why.

    Attributes:
        step: what has to be materialised.
        status: "missing" where it never was, or its files are gone; "stale" where it would come out otherwise now.
        causes: why, in words.
    """

    step: Step
    status: Status
    causes: tuple[str, ...]

    @property
    def by_code_alone(self) -> bool:
        """Whether nothing changed but code versions."""
        return self.status == "stale" and all(cause.startswith(f"{CODE_VERSION} ") for cause in self.causes)


@dataclass(frozen=True)
class _ChangedSelection:
    """That an experiment's selection is another than that of a snapshot."""

    experiment: str
    snapshot: int

    def __str__(self) -> str:
        return f"{input_name(SELECTION, self.experiment)} changed"


class Staleness:
    """Compares what each partition was made from with what it would be made from now."""

    def __init__(
        self,
        profile: Profile,
        assets: list[dg.AssetsDefinition],
        instance: dg.DagsterInstance,
        resources: Resources,
    ) -> None:
        """Takes every asset of the profile, upstream before downstream, and the resources of its home folder."""
        self.graph = Graph(assets)
        self._profile, self._instance = profile, instance
        self._artifacts = resources.artifacts
        self._warehouse = resources.warehouse
        self._known: dict[dg.AssetKey, dict[str | None, Provenance]] = {}

    def due(self) -> list[Due]:
        """Every step that is due by itself, upstream before downstream. Others may become due by what they change."""
        return self._due(self.graph.steps)

    def cause(self, step: Step) -> Due | None:
        """Why a step is due, or None where it is not."""
        return next(iter(self._due([step])), None)

    def removed(self) -> list[Node]:
        """Partitions that were materialised, and then removed from the profile. They stay as they are."""
        return [node for node in self.made() if node[1] not in self.graph.partition_keys(node[0])]

    def other_speed(self) -> dict[str, int]:
        """Changed settings of speed, in words, and how many partitions were made with the earlier value.

        None of these is due for it: made again, last digits would differ.
        """
        changed: dict[str, int] = {}
        for key, partition in (node for step in self.graph.steps for node in step.nodes):
            made = self._latest(key).get(partition)
            # What an earlier version made does not say.
            if made is not None and made.speed:
                for cause in _changed_settings(made.speed, self.graph.declared(key).speed(partition)):
                    changed[cause] = changed.get(cause, 0) + 1
        return changed

    def made(self) -> dict[Node, Provenance]:
        """Every partition that was ever materialised, in the profile or not, in order; what it was made from last."""
        return {
            (key, partition): provenance
            for key in sorted(self._instance.get_asset_keys())
            for partition, provenance in sorted(self._latest(key).items(), key=lambda item: str(item[0]))
        }

    def provenance(self, asset: dg.AssetKey, partition_key: str | None) -> Provenance | None:
        """What a partition was made from; None where it never was."""
        return self._latest(asset).get(partition_key)

    def look_again(self, step: Step) -> None:
        """Look at a step's partition again: it was just materialised."""
        for key, partition in step.nodes:
            newest = latest_provenance(self._instance, key, None if partition is None else [partition])
            self._known.setdefault(key, {}).update(newest)

    def _latest(self, asset: dg.AssetKey) -> dict[str | None, Provenance]:
        if asset not in self._known:
            self._known[asset] = latest_provenance(self._instance, asset)
        return self._known[asset]

    def _due(self, steps: Iterable[Step]) -> list[Due]:
        found = [(step, *found) for step in steps if (found := self._found(step))]
        counts = self._changed_ids(
            cause for *_, causes in found for cause in causes if isinstance(cause, _ChangedSelection)
        )
        return [
            Due(step, status, tuple(dict.fromkeys(counts.get(cause, str(cause)) for cause in causes)))
            for step, status, causes in found
        ]

    def _found(self, step: Step) -> tuple[Status, list["str | _ChangedSelection"]] | None:
        """The status of a step that is due, and its causes; None where it is not."""
        made = {node: self._latest(node[0]).get(node[1]) for node in step.nodes}
        if not all(made.values()):
            return "missing", ["never materialised"]
        gone = self._missing_files(step)
        if gone is not None:
            return "missing", [f"its files are gone: {gone}"]
        causes = [cause for node, provenance in made.items() if provenance for cause in self._causes(node, provenance)]
        return ("stale", causes) if causes else None

    def _causes(self, node: Node, made: Provenance) -> Iterator["str | _ChangedSelection"]:
        key, partition = node
        code_version = self.graph.code_version(key)
        if made.code_version != code_version:
            yield f"{CODE_VERSION} {made.code_version} -> {code_version}"
        yield from _changed_settings(made.settings, self.graph.declared(key).content(partition))
        inputs = {input_name(*upstream): upstream for upstream in self.graph.inputs(node)}
        part = self.graph.declared(key).part_of_inputs(partition)
        for name, (upstream, upstream_key) in inputs.items():
            now = self._latest(upstream).get(upstream_key)
            if now is None or name not in made.inputs:
                yield f"{name} is new"
            elif not now.has_version(made.inputs[name], part):
                of_ids = upstream == SELECTION and made.snapshot is not None
                yield _ChangedSelection(upstream_key or "", made.snapshot or 0) if of_ids else f"{name} changed"
        yield from (f"{name} was removed from the profile" for name in made.inputs if name not in inputs)

    def _changed_ids(self, changed: Iterable["_ChangedSelection"]) -> dict["str | _ChangedSelection", str]:
        """How many ids of selections are others than those that checkpoints were made from, in words.

        One question for each snapshot: the checkpoints that one run trained all saw the same.
        """
        experiments: dict[int, list[str]] = {}
        for each in changed:
            experiments.setdefault(each.snapshot, []).append(each.experiment)
        words: dict[str | _ChangedSelection, str] = {}
        for snapshot, keys in experiments.items():
            values = {"snapshot": snapshot, "experiments": keys}
            for key, other, size in self._warehouse.query(load_sql("50_selections/changed"), values).iter_rows():
                each = _ChangedSelection(key, snapshot)
                words[each] = f"{each}, {other:,} of {size:,} ids" if other else f"{each}, the order of its ids alone"
        return words

    def _missing_files(self, step: Step) -> Path | None:
        """The folder that others read from, where it is not whole."""
        for key, partition in step.nodes:
            folder_of = self.graph.declared(key).folder
            folder = folder_of(self._artifacts, partition or "") if folder_of else None
            if folder is not None and read_manifest(folder) is None:
                return folder
        return None


def _changed_settings(made: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for path in sorted(made.keys() | now.keys()):
        if made.get(path) != now.get(path):
            yield f"{path} {_text(made.get(path))} -> {_text(now.get(path))}"


def _text(value: Any) -> str:
    return "unset" if value is None else str(value)
