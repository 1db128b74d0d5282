"""The licence that a model's own files state. It is never guessed."""

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import yaml

CARD = "README.md"
"""A hub model's card: its front matter has the licence, as `license`."""

LICENCE_FILES = "LICEN[CS]E*"


def stated_licence(folder: Path) -> str | None:
    """The licence that the files of a model folder state.

    Returns:
        The card's `license` (its `license_name` if that is "other"), else the first line of a licence file; None if
        there is neither.
    """
    card = folder / CARD
    front = _front_matter(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else {}
    stated = front.get("license_name") if front.get("license") == "other" else front.get("license")
    if stated:
        return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)
    for file in sorted(folder.glob(LICENCE_FILES)):
        lines = (line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
        first = next((line for line in lines if line), None)
        if first:
            return f"{first} ({file.name})"
    return None


def package_licence(package: str) -> str | None:
    """The licence that an installed package states; None if it states none, or is not installed."""
    try:
        stated = metadata(package)
    except PackageNotFoundError:
        return None
    return next((stated[name] for name in ("License-Expression", "License") if name in stated), None)


def _front_matter(text: str) -> dict[str, object]:
    """The YAML between the first two lines of three dashes; empty if there is none or it cannot be read."""
    if not text.startswith("---\n"):
        return {}
    try:
        front = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return front if isinstance(front, dict) else {}
