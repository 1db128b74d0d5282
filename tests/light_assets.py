"""The assets of a profile as they declare themselves, without Dagster's definitions: built in a third of the time."""

from typing import Any

import dagster as dg
import pytest

from assets import build_assets


class LightAsset:
    """What an asset declares, under the names that Dagster's definition has for it."""

    def __init__(self, specs: list[dg.AssetSpec], partitions: dg.PartitionsDefinition[str] | None):
        self.specs, self.partitions_def, self.node_def = specs, partitions, self
        self.keys = {spec.key for spec in specs}
        self.dependency_keys = {dep.asset_key for spec in specs for dep in spec.deps}


def _asset(*, key, deps, group_name, partitions_def, **_):
    return lambda _: LightAsset([dg.AssetSpec(key, deps=deps, group_name=group_name)], partitions_def)


def _multi_asset(*, specs, partitions_def, **_):
    return lambda _: LightAsset(specs, partitions_def)


def light_assets(profile) -> list[Any]:
    """Stands in for `build_assets`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dg, "asset", _asset)
        patch.setattr(dg, "multi_asset", _multi_asset)
        return build_assets(profile)
