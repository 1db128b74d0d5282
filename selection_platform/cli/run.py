"""The commands that make what is missing or stale: `run` all of it, `refresh` a part."""

import argparse
import shlex
from collections.abc import Sequence

from selection_platform.cli.answer import headline, own_report_data, print_leaderboards
from selection_platform.cli.completion import completed, experiments
from selection_platform.cli.due_table import print_due
from selection_platform.cli.shared import Commands, open_resources
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile, shipped_profiles
from selection_platform.errors import PlatformError
from selection_platform.text.printable import printable


def add_parsers(commands: Commands) -> None:
    """Add both commands."""
    parser = commands.add_parser(
        "run",
        help="make what is missing or stale, from raw pools to the leaderboard",
        epilog="Example: selection-platform run --profile mine.yaml",
    )
    _add_dry_run(parser)
    parser.set_defaults(command=run)
    parser = commands.add_parser(
        "refresh",
        help="the same for some assets or partitions, and what they are made from",
        epilog="Example: selection-platform refresh scores/ifd",
    )
    of = parser.add_argument(
        "of", nargs="*", metavar="NAME", help="asset, such as scores/ifd, or key of a partition (default: everything)"
    )
    completed(of, experiments)
    parser.add_argument(
        "--rebuild", action="store_true", help="also train those checkpoints again whose weights were dropped"
    )
    _add_dry_run(parser)
    parser.set_defaults(command=refresh)


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be made, and how long it takes")


def run(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise every partition that is missing or stale, upstream first, and print the leaderboard."""
    from orchestration.refresh import refresh

    if options.dry_run:
        _print_plan(profile, ())
        return
    refresh(profile, tell=_tell)
    _print_answer(profile)


def refresh(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise what is missing or stale of some assets or partitions and of what they are made from."""
    from orchestration.refresh import refresh

    if options.rebuild and not options.of:
        raise PlatformError("--rebuild: name the experiments whose weights are wanted")
    if options.dry_run:
        _print_plan(profile, options.of, rebuild=options.rebuild)
        return
    refresh(profile, options.of, rebuild=options.rebuild, tell=_tell)


def _tell(line: str) -> None:
    print(printable(line), flush=True)


def _print_plan(profile: Profile, of: Sequence[str], *, rebuild: bool = False) -> None:
    """What would be made, why, and how long that would take.

    Raises:
        PlatformError: something would stop it.
    """
    from orchestration.refresh import plan
    from selection_platform.text.numbers import duration

    found = plan(profile, of, rebuild=rebuild)
    if found.due:
        print_due(found.due)
    steps = len(found.due) + len(found.perhaps)
    perhaps = f", and {len(found.perhaps)} more where these come out otherwise" if found.perhaps else ""
    print(f"{len(found.due)} steps would be made{perhaps}")
    seconds, unknown = found.expected
    if unknown < steps:
        beside = f", and {unknown} steps whose time is not known" if unknown else ""
        print(wrapped(f"By what they took before, else by arithmetic: {duration(seconds)} for all of them{beside}"))
        print("By stage, with memory and disk: selection-platform estimate")
    elif steps:
        print("How long it takes is not known: nothing was made before")
    for line in found.long:
        print(wrapped(line))
    if found.faults:
        raise PlatformError("\n".join(found.faults))


def _print_answer(profile: Profile) -> None:
    """The answer, the leaderboard, the report's place, and what to do next."""
    resources = open_resources(profile)
    if profile.trained_experiments:
        print(headline(own_report_data(profile, resources.warehouse)) + "\n")
        print_leaderboards(resources.warehouse)
    else:
        print("Nothing was trained: this profile only selects.")
    if profile.disclaimer:
        print(wrapped(profile.disclaimer))
    print(f"\nReport: {resources.artifacts.report() / 'index.html'}")
    _print_next(profile)


def _print_next(profile: Profile) -> None:
    if profile.file in shipped_profiles().values():
        print("Your own data: selection-platform init YOUR_FILE_OR_HUB_ID")
        return
    of_profile = "" if profile.file is None else f" --profile {shlex.quote(str(profile.file))}"
    chosen = {key: each for key, each in profile.experiments.items() if each.budget}
    example = next((key for key, each in chosen.items() if each.method != "random"), next(iter(chosen), None))
    if example is not None:
        print("To take a selection away, for instance:")
        print(f"  selection-platform{of_profile} export {example} --to DIR")
