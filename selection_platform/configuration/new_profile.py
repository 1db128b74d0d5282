"""Profiles that the platform writes for its user: short, with comments, and ready to run."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any, get_args

import yaml

from selection_platform.configuration.settings import COMMIT_PATTERN, PackagedModelName
from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

Part = Mapping[str, Any]

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
LONGEST_NAME = 60
"""Longest generated name, in characters: file names add more to it."""


def source_of(several: Sequence[str], config: str | None = None, split: str | None = None) -> dict[str, Any]:
    """The `source` of a pool: files, folders or patterns on this machine, or else a dataset on the hub.

    Raises:
        PlatformError: it is neither.
    """
    sources = [_source_of(what, config, split) for what in several]
    if len(sources) == 1:
        return sources[0]
    hub = next((source["hub"] for source in sources if "hub" in source), None)
    if hub is not None:
        raise PlatformError(f"{hub}: no such file; a hub dataset cannot be combined with other sources")
    return {"files": [source["files"] for source in sources]}


def _source_of(what: str, config: str | None, split: str | None) -> dict[str, Any]:
    path = _path(what)
    if path is not None and (path.exists() or has_magic(what)):
        given = [name for name, value in (("--config", config), ("--split", split)) if value is not None]
        if given:
            raise PlatformError(
                f"{' and '.join(given)}: only for a hub dataset, and {what} is on this machine; leave it out"
            )
        return {"files": _checked(path.absolute())}
    if "://" in what:
        raise PlatformError(
            f"{what} is an address; fetch the files and name their folder, or name a hub dataset by its id"
        )
    if not HUB_ID.fullmatch(what) or what.endswith((".jsonl", ".json", ".csv", ".parquet", ".gz")):
        raise PlatformError(
            f"{what}: no such file or folder, and not the id of a dataset on the hub, such as allenai/WildChat-1M"
        )
    return {"hub": what} | {name: value for name, value in (("config", config), ("split", split)) if value is not None}


def _path(what: str) -> Path | None:
    """The text as a path; None if it is too long for one."""
    path = Path(what)
    try:
        # `~x` may be a file, and not a user's home.
        return path if path.exists() or not what.startswith("~/") else path.expanduser()
    except OSError:
        return None


def _checked(path: Path) -> str:
    """A path or pattern as text, after a check that it matches something.

    Raises:
        PlatformError: it matches nothing, or the name cannot be written in a profile.
    """
    # This imports a Parquet reader, which `--help` should not wait for.
    from selection_platform.pools.sources.files import find_files

    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        name = os.fsencode(path).decode(errors="backslashreplace")
        raise PlatformError(f"{name}: the name is not UTF-8; rename it, or name it by a pattern such as *") from error
    if not path.exists():
        find_files([str(path)], Path())
    return str(path)


def model_of(what: str) -> dict[str, Any]:
    """The `models` of a profile with one model, named after its folder, package or hub id.

    Args:
        what: a folder; the id of a model on the hub, optionally with `@` and a commit; or an installed package that
            has weights.

    Raises:
        PlatformError: it is none of these, or the hub gives no commit for it.
    """
    folder = Path(what).expanduser()
    if folder.is_dir():
        return {name_of(folder.resolve().name): {"path": str(folder.absolute())}}
    packages = get_args(PackagedModelName)
    if what in packages:
        return {name_of(what): {"package": what}}
    hub, _, revision = what.partition("@")
    if not HUB_ID.fullmatch(hub):
        known = ", ".join(packages)
        raise PlatformError(
            f"--model: {what!r} is not a folder, not the id of a model on the hub, such as Qwen/Qwen2.5-0.5B, and not "
            f"one of {known}"
        )
    if not COMMIT_PATTERN.fullmatch(revision):
        revision = _hub_commit(hub, revision or None)
    return {name_of(hub.partition("/")[2]): {"hub": hub, "revision": revision}}


def _hub_commit(hub: str, revision: str | None) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        commit = HfApi().model_info(hub, revision=revision).sha
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise PlatformError(
            f"--model: the hub gives no commit for {hub} ({type(error).__name__}); check its id and the network, or "
            f"write {hub}@COMMIT"
        ) from error
    if commit is None:
        raise PlatformError(f"--model: the hub gives no commit for {hub}; write {hub}@COMMIT")
    return commit


def name_of(text: str) -> str:
    """A valid name for a pool or model, derived from the name of a file or repository."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower())[:LONGEST_NAME].strip("-._")
    return name or "data"


def files_of(source: Part) -> list[str]:
    """The paths and patterns of a source; empty for a hub dataset."""
    files = source.get("files", [])
    return [files] if isinstance(files, str) else files


def pool_name(source: Part) -> str:
    """A name for a pool, derived from its source."""
    if "hub" in source:
        return name_of(source["hub"].partition("/")[2])
    first = files_of(source)[0]
    name = Path(first.partition("*")[0]).name or Path(first.partition("*")[0]).parent.name
    return name_of(name.partition(".")[0])


def name_of_folder(folder: Path) -> str:
    """A profile's name for a folder, unique to its path, so that two folders of the same name have two homes."""
    digest = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name_of(folder.resolve().name)}-{digest}"


def as_yaml(value: Part, indent: int = 0) -> str:
    """Keys of a profile as YAML, indented by `indent` spaces; the innermost ones on one line."""
    options: dict[str, Any] = {"sort_keys": False, "width": 1000, "default_flow_style": None}
    text = yaml.safe_dump(dict(value), allow_unicode=True, **options)
    if not text.replace("\n", "").isprintable():
        # YAML treats several characters as line breaks.
        text = yaml.safe_dump(dict(value), **options)
    return "".join(f"{' ' * indent}{line}\n" for line in text.splitlines())


def as_comment(text: str) -> str:
    """Text for a YAML comment: on one line, with `?` for every character that YAML rejects."""
    return "".join(character if character.isprintable() else "?" for character in text)


def write_text(path: Path, text: str) -> None:
    """Write a profile: all of it or nothing."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
