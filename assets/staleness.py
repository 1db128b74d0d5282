"""What is missing or stale, and why in words.

Dagster computes the staleness of partitions on demand only, not transitively, and not at all for a partition with 100
inputs or more; and it knows nothing of a profile's settings.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, KeysView, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import duckdb

from assets.provenance import Provenance, input_name, latest_provenance
from assets.settings_used import settings_used
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.manifest import read_manifest
from selection_platform.profile import Profile
from selection_platform.queries import load_sql

Node = tuple[dg.AssetKey, str | None]
"""One partition of one asset."""

Reader = Callable[[], duckdb.DuckDBPyConnection]
"""Gives a connection to the warehouse."""


@dataclass(frozen=True)
class Step:
    """What one run materialises: one partition of one asset, or of the assets that one computation gives together."""

    asset: dg.AssetsDefinition
    partition_key: str | None

    @property
    def name(self) -> str:
        """The assets' names, as the UI shows them."""
        return ", ".join(sorted(key.to_user_string() for key in self.asset.keys))

    def __str__(self) -> str:
        """The assets' names and the partition."""
        return f"{self.name}  {self.partition_key or ''}".rstrip()

    @property
    def names(self) -> set[str | None]:
        """What the step can be asked for by: the name of each asset, and the partition."""
        return {*(key.to_user_string() for key in self.asset.keys), self.partition_key}

    @property
    def nodes(self) -> list[Node]:
        """Each asset's partition."""
        return [(key, self.partition_key) for key in sorted(self.asset.keys)]


@dataclass(frozen=True)
class Due:
    """A step that has to be done, and why.

    Attributes:
        step: what has to be materialised.
        status: "missing" where it never was, or its files are gone; "stale" where it would come out otherwise now.
        causes: why, in words.
    """

    step: Step
    status: Literal["missing", "stale"]
    causes: tuple[str, ...]


class Staleness:
    """Compares what each partition was made from with what it would be made from now."""

    def __init__(
        self,
        profile: Profile,
        assets: list[dg.AssetsDefinition],
        instance: dg.DagsterInstance,
        resources: Mapping[str, Any],
    ) -> None:
        """Takes every asset of the profile, upstream before downstream, and the resources of its home folder."""
        self._profile, self._assets, self._instance = profile, assets, instance
        self._artifacts: ArtifactStore = resources["artifacts"]
        self._warehouse: Warehouse = resources["warehouse"]
        self._definitions = {key: asset for asset in assets for key in asset.keys}
        self._known: dict[dg.AssetKey, dict[str | None, Provenance]] = {}
        self._inverted: dict[int, dict[str | None, list[str]]] = {}
        self.inputs = cache(self._find_inputs)
        self._partition_keys = cache(self._find_partition_keys)

    @cached_property
    def steps(self) -> list[Step]:
        """Every step of the profile, upstream before downstream."""
        return [Step(asset, key) for asset in self._assets for key in self._partition_keys(next(iter(asset.keys)))]

    def due(self) -> list[Due]:
        """Every step that is due by itself, upstream before downstream. Others may become due by what they change."""
        with self._reader() as reader:
            return [due for step in self.steps if (due := self._cause(step, reader))]

    def downstream(self, of: Iterable[Step]) -> list[Step]:
        """The steps, and all that are made from them, directly or not; upstream before downstream."""
        touched = {node for step in of for node in step.nodes}
        found: list[Step] = []
        for step in self.steps:
            inputs = {node for own in step.nodes for node in self.inputs(own)}
            if touched & inputs or touched.intersection(step.nodes):
                touched |= set(step.nodes)
                found.append(step)
        return found

    def upstream(self, of: Iterable[Step]) -> list[Step]:
        """The steps, and all that they are made from, directly or not; upstream before downstream."""
        wanted = {node for step in of for node in step.nodes}
        found: list[Step] = []
        for step in reversed(self.steps):
            if wanted.intersection(step.nodes):
                wanted |= {node for own in step.nodes for node in self.inputs(own)}
                found.insert(0, step)
        return found

    def removed(self) -> list[Node]:
        """Partitions that were materialised and are in the profile no more. They stay as they are."""
        made = {key: self._latest(key).keys() for key in sorted(self._instance.get_asset_keys())}
        return [
            (key, partition)
            for key, partitions in made.items()
            for partition in sorted(partitions - self._partition_keys(key), key=str)
        ]

    def cause(self, step: Step) -> Due | None:
        """Why a step is due, or None where it is not."""
        with self._reader() as reader:
            return self._cause(step, reader)

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        """Opens the warehouse where it is needed, and then once: that takes longer than a hundred questions."""
        with ExitStack() as stack:
            yield cache(lambda: stack.enter_context(self._warehouse.read()))

    def _cause(self, step: Step, reader: Reader) -> Due | None:
        made = {node: self._latest(node[0]).get(node[1]) for node in step.nodes}
        if not all(made.values()):
            return Due(step, "missing", ("never materialised",))
        gone = self._missing_files(step)
        if gone is not None:
            return Due(step, "missing", (f"its files are gone: {gone}",))
        causes = [
            cause for node, provenance in made.items() if provenance for cause in self._causes(node, provenance, reader)
        ]
        return Due(step, "stale", tuple(dict.fromkeys(causes))) if causes else None

    def provenance(self, asset: dg.AssetKey, partition_key: str | None) -> Provenance | None:
        """What a partition was made from; None where it never was."""
        return self._latest(asset).get(partition_key)

    def code_version(self, asset: dg.AssetKey) -> str | None:
        """The code version that an asset has now."""
        return self._definitions[asset].code_versions_by_key[asset]

    def look_again(self, step: Step) -> None:
        """Look at a step's partition anew: it was just materialised."""
        for key, partition in step.nodes:
            newest = latest_provenance(self._instance, key, None if partition is None else [partition])
            self._known.setdefault(key, {}).update(newest)

    def _latest(self, asset: dg.AssetKey) -> dict[str | None, Provenance]:
        if asset not in self._known:
            self._known[asset] = latest_provenance(self._instance, asset)
        return self._known[asset]

    def _causes(self, node: Node, made: Provenance, reader: Reader) -> Iterator[str]:
        key, partition = node
        code_version = self.code_version(key)
        if made.code_version != code_version:
            yield f"code version {made.code_version} -> {code_version}"
        yield from _changed_settings(made.settings, settings_used(self._profile, key, partition))
        inputs = {input_name(*node): node for node in self.inputs(node)}
        now = {name: self._latest(key).get(partition) for name, (key, partition) in inputs.items()}
        for name, provenance in now.items():
            if provenance is None or name not in made.inputs:
                yield f"{name} is new"
            elif provenance.data_version != made.inputs[name]:
                yield f"{name} changed" + self._changed_ids(inputs[name], made, reader)
        yield from (f"{name} is in the profile no more" for name in made.inputs if name not in inputs)

    def _changed_ids(self, changed: Node, made: Provenance, reader: Reader) -> str:
        """How many ids of a selection are others than those that a checkpoint was made from."""
        if changed[0] != dg.AssetKey("selection") or made.snapshot is None:
            return ""
        values = {"experiment": changed[1], "snapshot": made.snapshot}
        ((other, size),) = reader().execute(load_sql("50_selections/changed"), values).fetchall()
        return f", {other:,} of {size:,} ids" if other else ", the order of its ids alone"

    def _missing_files(self, step: Step) -> Path | None:
        """The folder that others read from, where it is not whole."""
        for key, partition in step.nodes:
            folder = self._folder(key.to_user_string(), partition or "")
            if folder is not None and read_manifest(folder) is None:
                return folder
        return None

    def _folder(self, asset: str, partition: str) -> Path | None:
        if asset == "checkpoint" and self._profile.experiments[partition].pool is None:
            # The base model's own.
            return None
        folders = {
            "raw_pool": self._artifacts.raw_pool,
            "base_model": self._artifacts.base_model,
            "pre_experience_checkpoint": self._artifacts.pre_experience_checkpoint,
            "warmup_checkpoint": self._artifacts.warmup_checkpoint,
            "checkpoint": self._artifacts.checkpoint,
        }
        return folders[asset](partition) if asset in folders else None

    def _find_inputs(self, node: Node) -> list[Node]:
        """The partitions that a partition would be made from now."""
        key, partition = node
        asset = self._definitions[key]
        return [
            (upstream, upstream_key)
            for upstream in sorted(asset.asset_deps[key])
            for upstream_key in self._upstream_keys(asset, upstream, partition)
        ]

    def _upstream_keys(
        self, asset: dg.AssetsDefinition, upstream: dg.AssetKey, partition: str | None
    ) -> Collection[str | None]:
        keys = self._partition_keys(upstream)
        if asset.partitions_def is None or self._definitions[upstream].partitions_def is None:
            return keys
        mapping = asset.get_partition_mapping(upstream)
        if mapping is None or isinstance(mapping, dg.IdentityPartitionMapping):
            return [partition] if partition in keys else []
        if isinstance(mapping, dg.StaticPartitionMapping):
            return self._static_inputs(mapping).get(partition, [])
        if isinstance(mapping, dg.AllPartitionMapping):
            return keys
        raise TypeError(f"{asset.keys} reads {upstream} by {type(mapping).__name__}, which is not understood here")

    def _find_partition_keys(self, key: dg.AssetKey) -> KeysView[str | None]:
        """The partition keys of an asset, in order: None alone without partitions, none at all outside the profile."""
        if key not in self._definitions:
            return dict[str | None, None]().keys()
        partitions = self._definitions[key].partitions_def
        return dict.fromkeys(partitions.get_partition_keys() if partitions else [None]).keys()

    def _static_inputs(self, mapping: dg.StaticPartitionMapping) -> Mapping[str | None, list[str]]:
        """The upstream keys of each downstream key, made once a mapping."""
        if id(mapping) not in self._inverted:
            inverted: dict[str | None, list[str]] = {}
            for upstream_key, downstream_keys in mapping.downstream_partition_keys_by_upstream_partition_key.items():
                for downstream_key in downstream_keys:
                    inverted.setdefault(downstream_key, []).append(upstream_key)
            self._inverted[id(mapping)] = inverted
        return self._inverted[id(mapping)]


def _changed_settings(made: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for path in sorted(made.keys() | now.keys()):
        if made.get(path) != now.get(path):
            yield f"{path} {_text(made.get(path))} -> {_text(now.get(path))}"


def _text(value: Any) -> str:
    return "unset" if value is None else str(value)
