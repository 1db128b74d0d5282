"""The settings of the profile that an asset's content depends on, as the asset declares them.

`status` compares them with a partition's record. A change of a setting that is not declared would go unnoticed, so
`tests/assets/record/test_settings_used.py` changes each setting of a profile and looks for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg

from resources.artifact_store import ArtifactStore
from selection_platform.configuration.base import Settings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.text_settings import PAPER, TextSettings
from selection_platform.job.versions import VERSIONS
from selection_platform.text.rendering import template_hash

Used = Mapping[str, Any]
"""Parts of a profile, or values, by their dotted paths."""


def never(partition_key: str) -> bool:
    """False for every partition."""
    return False


@dataclass(frozen=True)
class Declared:
    """The declaration of an asset, besides what Dagster stores.

    Attributes:
        settings: settings that its content depends on: the same for all partitions, or by partition key.
        rendered: how conversations become text for it, by partition key; None if no model reads conversations.
        folder: the folder of a partition that downstream assets read, by store and partition key. It has a manifest
            when it is complete. None if there is no such folder.
        part: the part of its inputs' content that a partition reads, by partition key; see `Provenance.parts`. None if
            it reads all content.
        changes_unseen: whether an input may change without notice, by partition key.
    """

    settings: Used | Callable[[str], Used]
    rendered: Callable[[str], TextSettings] | None = None
    folder: Callable[[ArtifactStore, str], Path | None] | None = None
    part: Callable[[str], str | None] | None = None
    changes_unseen: Callable[[str], bool] = never

    def content(self, partition_key: str | None) -> dict[str, Any]:
        """The settings that decide a partition's content, each by its dotted path in the profile."""
        return dict(_flat(self._used(partition_key), speed=False))

    def speed(self, partition_key: str | None) -> dict[str, Any]:
        """The settings that decide the time and memory of a partition, each by its dotted path in the profile."""
        return dict(_flat(self._used(partition_key), speed=True))

    def part_of_inputs(self, partition_key: str | None) -> str | None:
        """The part of its inputs' content that a partition reads; None if it reads all content."""
        return self.part(partition_key or "") if self.part else None

    def _used(self, partition_key: str | None) -> Used:
        used = self.settings(partition_key or "") if callable(self.settings) else self.settings
        return {**text_used(self.rendered(partition_key or "")), **used} if self.rendered else used


_DECLARED: WeakKeyDictionary[Any, Mapping[dg.AssetKey, Declared]] = WeakKeyDictionary()
"""Declarations by the definition's node, which its copies share. Dagster's own metadata cannot have functions."""


def declare(asset: dg.AssetsDefinition, declared: Mapping[dg.AssetKey, Declared]) -> dg.AssetsDefinition:
    """Store the declaration of each asset of a definition, and return the definition."""
    _DECLARED[asset.node_def] = declared
    return asset


def declared(assets: Iterable[dg.AssetsDefinition]) -> dict[dg.AssetKey, Declared]:
    """The declaration of each asset, by its key.

    Raises:
        KeyError: an asset is not declared, neither with `platform_asset` nor with `declare`.
    """
    assets = list(assets)
    for asset in assets:
        if asset.node_def not in _DECLARED:
            names = ", ".join(sorted(key.to_user_string() for key in asset.keys))
            raise KeyError(f"{names} does not say which settings it uses; declare it with @platform_asset")
    return {key: _DECLARED[asset.node_def][key] for asset in assets for key in asset.keys}


TEMPLATE, TEXT = "template", "text"


def text_used(text: TextSettings) -> Used:
    """The settings that decide how conversations become text.

    The paper's text without a token before it has the same record as in versions that had no other text.
    """
    if text == PAPER:
        return {TEMPLATE: template_hash()}
    content = text.content()
    name = content.pop("template")
    ours = {"paper": template_hash(), None: "the tokenizer's own, else paper"}
    # The renderer's output for a template depends on a tokenizer, which `status` does not load.
    return {TEMPLATE: ours.get(name, name), TEXT: {**content, "rendering": VERSIONS["rendering"]}}


def trained_in(profile: Profile) -> Used:
    """The number type of a training.

    float32 has the same record as in versions in which every training on a CPU computed in it.
    """
    return {} if profile.dtype == "float32" else {"dtype": profile.dtype}


def text_of_record(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The text settings among recorded settings; empty if no model read conversations."""
    return {path: value for path, value in settings.items() if path == TEMPLATE or path.startswith(f"{TEXT}.")}


@dataclass(frozen=True)
class Part:
    """Some settings of a part of the profile."""

    settings: Settings
    names: Set[str]


def only(settings: Settings, *names: str) -> Part:
    """Only these settings of a part."""
    return Part(settings, set(names))


def without(settings: Settings, *names: str) -> Part:
    """All settings of a part except these."""
    return Part(settings, type(settings).model_fields.keys() - set(names))


def _flat(used: Any, path: str = "", *, speed: bool) -> list[tuple[str, Any]]:
    if isinstance(used, Settings):
        used = without(used)
    if isinstance(used, Part):
        chosen = used.settings.speed() if speed else used.settings.content()
        return [
            leaf for name, value in chosen.items() if name in used.names for leaf in _leaves(value, f"{path}.{name}")
        ]
    if isinstance(used, Mapping) and used:
        return [
            leaf
            for name, value in used.items()
            for leaf in _flat(value, f"{path}.{name}" if path else str(name), speed=speed)
        ]
    return [] if speed else list(_leaves(used, path))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif path:
        yield path, list(value) if isinstance(value, tuple) else value
