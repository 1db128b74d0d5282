"""What the Tab key offers in bash, zsh and fish: commands and options, experiments, assets, methods and profiles.

A shell asks by running the command line with `_ARGCOMPLETE` set, once it was told to:
`eval "$(register-python-argcomplete selection-platform)"`, or with `--shell fish`, `| source`.
"""

import argparse
import os
from collections.abc import Callable, Iterable

from selection_platform.configuration.profile import load_profile, shipped_profiles
from selection_platform.errors import PlatformError
from selection_platform.experiments.methods import METHODS

Completer = Callable[..., Iterable[str]]
"""Called with `parsed_args`, what was typed already, and `prefix`, the beginning of the word."""


def is_asked() -> bool:
    """Whether a shell asks what it may offer."""
    return "_ARGCOMPLETE" in os.environ


def offer(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks, and end."""
    import argcomplete

    argcomplete.autocomplete(parser)


def completed(action: argparse.Action, by: Completer) -> None:
    """Let the Tab key offer words for an argument."""
    action.completer = by  # pyright: ignore[reportAttributeAccessIssue]


def experiments(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The keys of the profile's experiments; none where it cannot be read."""
    try:
        return list(load_profile(getattr(parsed_args, "profile", None)).experiments)
    except PlatformError:
        return []


def methods(**_: object) -> list[str]:
    """The methods that select."""
    return [name for name, method in METHODS.items() if method.scored_per is not None]


def profiles(prefix: str, **_: object) -> list[str]:
    """The profiles that ship, and files."""
    from argcomplete.completers import FilesCompleter

    return [*shipped_profiles(), *FilesCompleter(["yaml", "yml"])(prefix)]
