"""The graph of single partitions: the steps, and the inputs of each."""

from collections.abc import Collection, Iterable, KeysView, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import dagster as dg

from assets.keys import Node
from assets.record.settings_used import Declared, declared


@dataclass(frozen=True)
class Step:
    """What one run materialises: one partition of an asset, or of several assets from one computation."""

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
        """The names that select the step: the name of each asset, and the partition."""
        return {*(key.to_user_string() for key in self.asset.keys), self.partition_key}

    @property
    def nodes(self) -> list[Node]:
        """Each asset's partition."""
        return [(key, self.partition_key) for key in sorted(self.asset.keys)]


class Graph:
    """Every partition of a profile's assets, and the dependencies between them."""

    def __init__(self, assets: list[dg.AssetsDefinition], without: Collection[Node] = ()) -> None:
        """Read all assets of the profile, upstream before downstream, except some partitions."""
        self._assets, self._without = assets, without
        self._definitions = {key: asset for asset in assets for key in asset.keys}
        self._declared = declared(assets)
        self._inverted: dict[int, dict[str | None, list[str]]] = {}
        self.inputs = cache(self._find_inputs)
        self.partition_keys = cache(self._find_partition_keys)

    @cached_property
    def steps(self) -> list[Step]:
        """Every step of the profile, upstream before downstream."""
        return [Step(asset, key) for asset in self._assets for key in self.partition_keys(next(iter(asset.keys)))]

    def downstream(self, of: Iterable[Step]) -> list[Step]:
        """The steps, and all steps that depend on them, directly or not; upstream before downstream."""
        touched = {node for step in of for node in step.nodes}
        steps: list[Step] = []
        for step in self.steps:
            inputs = {node for own in step.nodes for node in self.inputs(own)}
            if touched & inputs or touched.intersection(step.nodes):
                touched |= set(step.nodes)
                steps.append(step)
        return steps

    def upstream(self, of: Iterable[Step]) -> list[Step]:
        """The steps, and all steps that they depend on, directly or not; upstream before downstream."""
        wanted = {node for step in of for node in step.nodes}
        steps: list[Step] = []
        for step in reversed(self.steps):
            if wanted.intersection(step.nodes):
                wanted |= {node for own in step.nodes for node in self.inputs(own)}
                steps.insert(0, step)
        return steps

    def code_version(self, asset: dg.AssetKey) -> str | None:
        """The current code version of an asset."""
        return self._definitions[asset].code_versions_by_key[asset]

    def declared(self, asset: dg.AssetKey) -> Declared:
        """The declaration of an asset."""
        return self._declared[asset]

    def _find_inputs(self, node: Node) -> list[Node]:
        """The current inputs of a partition."""
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
        keys = self.partition_keys(upstream)
        if asset.partitions_def is None or self._definitions[upstream].partitions_def is None:
            return keys
        mapping = asset.get_partition_mapping(upstream)
        if mapping is None or isinstance(mapping, dg.IdentityPartitionMapping):
            return [partition] if partition in keys else []
        if isinstance(mapping, dg.StaticPartitionMapping):
            return [each for each in self._static_inputs(mapping).get(partition, []) if each in keys]
        if isinstance(mapping, dg.AllPartitionMapping):
            return keys
        raise TypeError(f"{asset.keys} reads {upstream} by {type(mapping).__name__}, which is not supported here")

    def _find_partition_keys(self, key: dg.AssetKey) -> KeysView[str | None]:
        """The partition keys of an asset, in order: only None without partitions, empty if not in the profile."""
        if key not in self._definitions:
            return dict[str | None, None]().keys()
        partitions = self._definitions[key].partitions_def
        keys = partitions.get_partition_keys() if partitions else [None]
        return dict.fromkeys(each for each in keys if (key, each) not in self._without).keys()

    def _static_inputs(self, mapping: dg.StaticPartitionMapping) -> Mapping[str | None, list[str]]:
        """The upstream keys of each downstream key, computed once per mapping."""
        if id(mapping) not in self._inverted:
            inverted: dict[str | None, list[str]] = {}
            for upstream_key, downstream_keys in mapping.downstream_partition_keys_by_upstream_partition_key.items():
                for downstream_key in downstream_keys:
                    inverted.setdefault(downstream_key, []).append(upstream_key)
            self._inverted[id(mapping)] = inverted
        return self._inverted[id(mapping)]
