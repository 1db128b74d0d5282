"""The one way to declare an asset of the platform: what it is, what it is made by, and what is recorded with it."""

import hashlib
import re
from collections.abc import Callable, Sequence
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
"""Metadata of an asset: the statements that its content is made by."""

_SQL_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*.*?\*/|\w+|\s+|.""", re.DOTALL)


def code_version(sql: Sequence[str], by: Sequence[str], code: int) -> str:
    """What an asset's content is made by, as Dagster records it: other text means that it would come out otherwise.

    Args:
        sql: names of the statements that make content. Their comments and white space do not count.
        by: computations of the library, each with its version.
        code: raised by hand for a change of the asset's own lines, which neither of the two sees.
    """
    parts = [str(code), *(f"{name} {VERSIONS[name]}" for name in by)]
    if sql:
        text = "\n".join(f"{name} {_meaning(load_sql(name))}" for name in sorted(sql))
        parts.append(f"sql {hashlib.sha256(text.encode()).hexdigest()[:8]}")
    return ", ".join(parts)


def _meaning(statement: str) -> str:
    """A statement without comments, with one blank between tokens."""
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
    """One of several assets that one computation gives. See `platform_asset`; `declare` says what they use."""
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
        group: where it stands in the graph.
        kinds: what it is made with, as the UI shows it.
        settings: what its content depends on in the profile, by dotted paths: parts of it, or values. The same for all
            partitions, or by partition key. What a job of the asset takes is among them.
        rendered: how conversations become text for it, by partition key; None where no model reads any.
        key: of the asset; the function's name if left out.
        description: of the asset; the function's docstring if left out.
        partitions: of the asset.
        deps: the assets that it is made from.
        checks: whose results it returns.
        sql: names of the statements that make its content; those that only check or describe it do not count.
        by: the library's computations that make its content.
        code: raise it for a change of content that neither `sql` nor `by` sees.
        gpu: whether it wants a GPU: such steps run one at a time.
        folder: of a partition, where others read files of it: without the folder's manifest it counts as missing.
        part: of its inputs' content that a partition reads, where they have several: what changed in other parts does
            not make it stale.
        changes_unseen: whether a partition reads what may have changed without a sign here: it is never reused.
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
