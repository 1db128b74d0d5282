"""The commands that make what is missing or stale: `run` all of it, `refresh` a part."""

import argparse

from selection_platform.cli.shared import Commands, open_resources
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.text.printable import printable


def add_parsers(commands: Commands) -> None:
    """Add both commands."""
    parser = commands.add_parser(
        "run",
        help="make what is missing or stale, from raw pools to the leaderboard",
        epilog="Example: selection-platform run --profile mine.yaml",
    )
    parser.set_defaults(command=run)
    parser = commands.add_parser(
        "refresh",
        help="the same for some assets or partitions, and what they are made from",
        epilog="Example: selection-platform refresh scores/ifd",
    )
    parser.add_argument(
        "of", nargs="*", metavar="NAME", help="asset, such as scores/ifd, or key of a partition (default: everything)"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="also train those checkpoints again whose weights were dropped"
    )
    parser.set_defaults(command=refresh)


def run(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise every partition that is missing or stale, upstream first, and print the leaderboard."""
    from orchestration.refresh import refresh

    refresh(profile, tell=_tell)
    _print_leaderboard(profile)
    print(f"The report: {open_resources(profile).artifacts.report() / 'index.html'}")


def refresh(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise what is missing or stale of some assets or partitions and of what they are made from."""
    from orchestration.refresh import refresh

    if options.rebuild and not options.of:
        raise PlatformError("--rebuild: name the experiments whose weights are wanted")
    refresh(profile, options.of, rebuild=options.rebuild, tell=_tell)


def _tell(line: str) -> None:
    print(printable(line), flush=True)


def _print_leaderboard(profile: Profile) -> None:
    from selection_platform.report.leaderboard import markdown_leaderboards

    if not profile.trained_experiments:
        print("Nothing was trained. To take a selection away: selection-platform export EXPERIMENT --to DIR, of")
        print("".join(f"  {key}\n" for key, each in profile.experiments.items() if each.pool), end="")
        return
    results = open_resources(profile).warehouse.query("FROM reports.leaderboard")
    for title, table in markdown_leaderboards(results).items():
        print(f"{title}\n\n{table}\n")
    print("**best** and _second best_ of each column.")
    if profile.disclaimer:
        print(profile.disclaimer)
