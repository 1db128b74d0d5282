"""Completion with the Tab key in bash, zsh and fish, for commands, options, experiments, methods and profiles.

A shell runs the command line with `_ARGCOMPLETE` set, after `eval "$(register-python-argcomplete selection-platform)"`,
or in fish after `register-python-argcomplete --shell fish selection-platform | source`.
"""

import argparse
import os
from collections.abc import Callable, Iterable

from selection_platform.configuration.profile import load_profile, shipped_profiles
from selection_platform.errors import PlatformError
from selection_platform.experiments.methods import METHODS

Completer = Callable[..., Iterable[str]]
"""Called with `parsed_args`, the arguments so far, and `prefix`, the beginning of the word."""


def is_asked() -> bool:
    """Whether a shell asks for completions."""
    return "_ARGCOMPLETE" in os.environ


def offer(parser: argparse.ArgumentParser) -> None:
    """Print the completions for the shell, and exit."""
    import argcomplete

    argcomplete.autocomplete(parser)


def completed(action: argparse.Action, by: Completer) -> None:
    """Complete an argument with the words from a function."""
    action.completer = by  # pyright: ignore[reportAttributeAccessIssue]


def experiments(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The keys of the profile's experiments; empty if the profile cannot be read."""
    try:
        return list(load_profile(getattr(parsed_args, "profile", None)).experiments)
    except PlatformError:
        return []


def methods(**_: object) -> list[str]:
    """The methods that select."""
    return [name for name, method in METHODS.items() if method.scored_per is not None]


def profiles(prefix: str, **_: object) -> list[str]:
    """The shipped profiles, and YAML files."""
    from argcomplete.completers import FilesCompleter

    return [*shipped_profiles(), *FilesCompleter(["yaml", "yml"])(prefix)]
