"""The commands, and the text of `--help`."""

import argparse
from importlib.metadata import version
from types import ModuleType

from selection_platform.cli import (
    cost,
    diff,
    disk,
    estimate,
    experiments,
    explain,
    export,
    init,
    lineage,
    methods,
    plan,
    report,
    run,
    select,
    sql,
    status,
    ui,
    verdict,
)
from selection_platform.cli.completion import completed, profiles
from selection_platform.cli.shared import Commands

GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "Set up": (init, select),
    "Run": (estimate, run, status, ui),
    "Answer": (verdict, plan, report, cost),
    "Inspect": (experiments, methods, sql, explain, diff, lineage),
    "Export": (export,),
    "Clean up": (disk,),
}
"""The modules of the commands by purpose, in the order of the help text."""


def parser() -> "Parser":
    """The parser of the command line."""
    root = Parser(
        prog="selection-platform",
        usage="selection-platform [--profile NAME_OR_FILE] COMMAND ...",
        description="Which conversations should I fine-tune on, and does that choice beat picking at random?",
    )
    root.add_argument("--version", action="version", version=f"selection-platform {version('selection-platform')}")
    profile = root.add_argument("--profile", metavar="NAME_OR_FILE", help="name or YAML file of a profile")
    completed(profile, profiles)
    root.set_defaults(makes_profile=False)
    root.commands = Commands(root)
    for title, modules in GROUPS.items():
        root.commands.begin_group(title)
        for module in modules:
            module.add_parsers(root.commands)
    return root


class Parser(argparse.ArgumentParser):
    """A parser that lists its commands by group, which argparse does not support."""

    commands: Commands

    def format_help(self) -> str:
        """The help text, with one line per command."""
        groups = [
            f"{title}:\n" + "\n".join(f"  {name:<12} {what}" for name, what in commands.items())
            for title, commands in self.commands.groups.items()
        ]
        options = [f"  {'--profile':<12} name or YAML file of a profile, also after COMMAND (default: demo)"]
        options += [f"  {'--version':<12} print the version"]
        more = "Help for one command, with an example: selection-platform COMMAND --help"
        parts = [f"usage: {self.usage}", str(self.description), *groups, "Options:\n" + "\n".join(options), more]
        return "\n\n".join(parts) + "\n"
