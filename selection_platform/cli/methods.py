"""The command that lists the methods."""

import argparse

from selection_platform.cli.shared import Commands
from selection_platform.configuration.profile import Profile


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "methods",
        help="list the methods, and which of them the profile runs",
        epilog="Example: selection-platform methods",
    )
    parser.set_defaults(command=methods)


def methods(profile: Profile, options: argparse.Namespace) -> None:
    """List the methods, and which of them the profile runs."""
    for method in profile.methods.values():
        seeds = len(profile.arms[method.name].first_seeds) if method.name in profile.arms else 0
        in_profile = f"{seeds} seed{'s' if seeds > 1 else ''}" if seeds else "-"
        print(f"{method.name:<23} {in_profile:<8} {method.summary}")
