"""Which settings of the profile an asset's content depends on: it says so itself, where it is declared.

`status` compares them with those that a partition was made with. A setting that is missing there is a change that
nobody notices, so `tests/assets/record/test_settings_used.py` changes each setting of a profile and looks for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg

from resources.artifact_store import ArtifactStore
from selection_platform.configuration.base import Settings
from selection_platform.configuration.text_settings import PAPER, TextSettings
from selection_platform.job.versions import VERSIONS
from selection_platform.text.rendering import template_hash

Used = Mapping[str, Any]
"""Parts of a profile, or values, by their dotted paths."""


def never(partition_key: str) -> bool:
    """Of no partition."""
    return False


@dataclass(frozen=True)
class Declared:
    """What an asset says of itself beside what Dagster keeps.

    Attributes:
        settings: what its content depends on in the profile: the same for all partitions, or by partition key.
        rendered: how conversations become text for it, by partition key; None where no model reads any.
        folder: of a partition, by the store and the partition key: the folder that others read from, with a manifest
            when it is whole. None where there is no such folder.
        part: of its inputs' content that a partition reads, by partition key; see `Provenance.parts`. None where it
            reads all of it.
        changes_unseen: by partition key, whether it reads what may have changed without a sign here.
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
        """The settings that decide how fast a partition is made and in how much memory, likewise."""
        return dict(_flat(self._used(partition_key), speed=True))

    def part_of_inputs(self, partition_key: str | None) -> str | None:
        """The part of its inputs' content that a partition reads; None where it reads all of it."""
        return self.part(partition_key or "") if self.part else None

    def _used(self, partition_key: str | None) -> Used:
        used = self.settings(partition_key or "") if callable(self.settings) else self.settings
        return {**text_used(self.rendered(partition_key or "")), **used} if self.rendered else used


_DECLARED: WeakKeyDictionary[Any, Mapping[dg.AssetKey, Declared]] = WeakKeyDictionary()
"""By a definition's node, which its copies share. Dagster's own metadata holds what JSON can say, and no functions."""


def declare(asset: dg.AssetsDefinition, declared: Mapping[dg.AssetKey, Declared]) -> dg.AssetsDefinition:
    """Note what each asset of a definition says of itself, and give the definition back."""
    _DECLARED[asset.node_def] = declared
    return asset


def declared(assets: Iterable[dg.AssetsDefinition]) -> dict[dg.AssetKey, Declared]:
    """What each asset says of itself, by its key.

    Raises:
        KeyError: an asset was not declared by `platform_asset`, nor with `declare`.
    """
    assets = list(assets)
    for asset in assets:
        if asset.node_def not in _DECLARED:
            names = ", ".join(sorted(key.to_user_string() for key in asset.keys))
            raise KeyError(f"{names} does not say which settings it uses; declare it with @platform_asset")
    return {key: _DECLARED[asset.node_def][key] for asset in assets for key in asset.keys}


TEMPLATE, TEXT = "template", "text"


def text_used(text: TextSettings) -> Used:
    """What decides how conversations become text.

    What is made with the paper's text alone, and no token before it, says so as it did when there was no other.
    """
    if text == PAPER:
        return {TEMPLATE: template_hash()}
    found = text.content()
    name = found.pop("template")
    ours = {"paper": template_hash(), None: "the tokenizer's own, else paper"}
    # What the renderer makes of a template is known with a tokenizer alone, which nobody reads to see what is due.
    return {TEMPLATE: ours.get(name, name), TEXT: {**found, "rendering": VERSIONS["rendering"]}}


def text_of_record(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of settings that were recorded, those of the text; none where no model read any."""
    return {path: value for path, value in settings.items() if path == TEMPLATE or path.startswith(f"{TEXT}.")}


@dataclass(frozen=True)
class Part:
    """Some of the settings of a part of the profile."""

    settings: Settings
    names: Set[str]


def only(settings: Settings, *names: str) -> Part:
    """These settings of a part alone."""
    return Part(settings, set(names))


def without(settings: Settings, *names: str) -> Part:
    """All settings of a part but these."""
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
