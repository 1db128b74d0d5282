"""The decorator that declares an asset: its partitions, inputs, code and settings, and the record of its runs."""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from assets.record.checks import Check, specs
from assets.record.recording import Materialize, recorded
from assets.record.settings_used import Declared, Used, declare, never
from resources.artifact_store import ArtifactStore
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.job.versions import VERSIONS
from sql.queries import load_sql

OWNERS = ["team:selection"]
SQL = "sql"
"""Metadata of an asset: the statements that produce its content."""

_SQL_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*.*?\*/|\w+|\s+|.""", re.DOTALL)


def code_version(sql: Sequence[str], by: Sequence[str], code: int) -> str:
    """The code version of an asset. Another text means that its content may change.

    Args:
        sql: names of the statements that produce content. Their comments and white space do not count.
        by: names of the library's computations, whose versions are in `VERSIONS`.
        code: number to raise by hand when the asset's own lines change.
    """
    parts = [str(code), *(f"{name} {VERSIONS[name]}" for name in by)]
    if sql:
        text = "\n".join(f"{name} {_meaning(load_sql(name))}" for name in sorted(sql))
        parts.append(f"sql {hashlib.sha256(text.encode()).hexdigest()[:8]}")
    return ", ".join(parts)


@cache
def _meaning(statement: str) -> str:
    """A statement without comments, with one space between tokens."""
    tokens = (match[0] for match in _SQL_TOKEN.finditer(statement))
    return " ".join(token for token in tokens if not token.isspace() and not token.startswith(("--", "/*")))


def platform_spec(
    key: str,
    *,
    group: str,
    kinds: set[str],
    description: str | None = None,
    deps: Sequence[Any] = (),
    sql: Sequence[str] = (),
    by: Sequence[str] = (),
    code: int = 1,
) -> dg.AssetSpec:
    """The spec of one of several assets from one computation. See `platform_asset`; declare them with `declare`."""
    return dg.AssetSpec(
        key,
        description=description,
        deps=deps,
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        metadata={SQL: list(sql)},
        code_version=code_version(sql, by, code),
    )


def platform_asset(
    *,
    group: str,
    kinds: set[str],
    settings: Used | Callable[[str], Used],
    rendered: Callable[[str], TextSettings] | None = None,
    key: Sequence[str] | None = None,
    description: str | None = None,
    partitions: dg.PartitionsDefinition[str] | None = None,
    deps: Sequence[Any] = (),
    checks: Sequence[Check] = (),
    sql: Sequence[str] = (),
    by: Sequence[str] = (),
    code: int = 1,
    gpu: bool = False,
    folder: Callable[[ArtifactStore, str], Path | None] | None = None,
    part: Callable[[str], str | None] | None = None,
    changes_unseen: Callable[[str], bool] = never,
) -> Callable[[Materialize], dg.AssetsDefinition]:
    """Decorates the function that materialises an asset.

    Args:
        group: its group in the graph.
        kinds: technologies that the UI shows.
        settings: settings that its content depends on, by dotted paths: parts of the profile, or values. The same for
            all partitions, or by partition key. They include the settings of the asset's jobs.
        rendered: how conversations become text for it, by partition key; None if no model reads conversations.
        key: key of the asset; the function's name by default.
        description: description of the asset; the function's docstring by default.
        partitions: its partitions.
        deps: its inputs.
        checks: the checks whose results it returns.
        sql: names of the statements that produce its content; those that only check or describe it do not count.
        by: names of the library's computations that produce its content.
        code: number to raise when its content changes and neither `sql` nor `by` shows it.
        gpu: whether its job uses a GPU: such steps run one at a time. Only jobs hold one; the rest of a step uses none.
        folder: folder of a partition, if downstream assets read its files; without a manifest it counts as missing.
        part: the part of its inputs' content that a partition reads, if they have several: changes in other parts do
            not make it stale.
        changes_unseen: whether an input may change without notice; such a partition is never reused.
    """

    def decorate(materialize: Materialize) -> dg.AssetsDefinition:
        path = list(key) if key else [materialize.__name__]
        declared = {dg.AssetKey(path): Declared(settings, rendered, folder, part, changes_unseen)}
        asset = dg.asset(
            key=path,
            description=description,
            partitions_def=partitions,
            deps=deps,
            check_specs=specs(checks, partitions, *path),
            group_name=group,
            kinds=kinds,
            owners=OWNERS,
            metadata={SQL: list(sql)},
            code_version=code_version(sql, by, code),
            pool="gpu" if gpu else None,
        )
        return declare(asset(recorded(declared)(materialize)), declared)

    return decorate
