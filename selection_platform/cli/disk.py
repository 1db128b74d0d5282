"""The commands that show disk usage, and delete what nothing needs."""

import argparse
from dataclasses import asdict
from datetime import timedelta

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.configuration.profile import Profile, home


def add_parsers(commands: Commands) -> None:
    """Add both commands."""
    parser = commands.add_parser(
        "disk",
        help="list disk usage, and what could be freed",
        epilog="Example: selection-platform disk",
    )
    add_json(parser)
    parser.set_defaults(command=disk)
    parser = commands.add_parser(
        "clean",
        help="delete what the profile does not keep and nothing refers to",
        epilog="Example: selection-platform clean --removed --dry-run",
    )
    parser.add_argument("--removed", action="store_true", help="also delete what was removed from the profile")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be freed")
    parser.add_argument(
        "--kept-for",
        metavar="HOURS",
        type=_hours,
        help="keep snapshots and runs that are younger, because they may be in use (default: 1)",
    )
    parser.set_defaults(command=clean)


def disk(profile: Profile, options: argparse.Namespace) -> None:
    """Print the disk usage, largest first, and what could be freed."""
    from orchestration.cleaning import clean, uses
    from orchestration.retention import Retention
    from orchestration.workspace import open_workspace
    from selection_platform.text.numbers import in_words

    with open_workspace(profile) as workspace:
        entries = uses(workspace)
        retention = Retention(profile, workspace.staleness, workspace.resources)
        settings = profile.checkpoints
        weights = {
            keep: sum(retention.droppable(settings.model_copy(update={"keep": keep})).values())
            for keep in ("all", "best", "none")
        }
        cleaning = clean(workspace, dry_run=True)
    total, removed = sum(use.bytes for use in entries), sum(use.bytes for use in entries if not use.in_profile)
    if options.json:
        print_json(
            {
                "profile": profile.name,
                "home": str(home(profile)),
                "bytes": total,
                "uses": [asdict(use) for use in entries],
                "freed_by": {
                    "clean": cleaning.warehouse + cleaning.dagster,
                    "clean --removed": removed,
                    "checkpoints.keep": weights,
                },
                "keep": settings.keep,
            }
        )
        return
    rows = [[str(use), in_words(use.bytes), "" if use.in_profile else "removed from the profile"] for use in entries]
    print_table(["what", "size", ""], [*rows, ["total", in_words(total), ""]], text=(0, 2), plain=True)
    print(f"\nIn {home(profile)}")
    freed = cleaning.warehouse + cleaning.dagster + weights[settings.keep]
    print(f"\n`clean` frees {in_words(freed)}, and with --removed {in_words(removed)} more.")
    for keep in ("best", "none"):
        if keep != settings.keep and weights[keep]:
            named = f"best, best: {settings.best}" if keep == "best" else keep
            print(f"With `checkpoints: {{keep: {named}}}` it frees {in_words(weights[keep])} of weights.")


def clean(profile: Profile, options: argparse.Namespace) -> None:
    """Delete what the profile does not keep, and old snapshots and runs that nothing refers to."""
    from orchestration.cleaning import clean as clean_home
    from orchestration.materialize import end_killed_runs
    from orchestration.run_lock import only_run
    from orchestration.workspace import open_workspace
    from selection_platform.text.numbers import in_words

    with only_run(home(profile)), open_workspace(profile) as workspace:
        if not options.dry_run:
            end_killed_runs(workspace.instance, of_scripts=True)
        cleaning = clean_home(workspace, removed=options.removed, dry_run=options.dry_run, kept_for=options.kept_for)
    would = "would be " if options.dry_run else ""
    for key, count in cleaning.weights.items():
        print(f"{in_words(count):>10}  weights of {key}")
    for folder, count in cleaning.removed.items():
        print(f"{in_words(count):>10}  {folder}")
    print(f"{in_words(cleaning.warehouse):>10}  {len(cleaning.snapshots):,} old snapshots of the warehouse")
    print(f"{in_words(cleaning.dagster):>10}  {len(cleaning.runs):,} old runs of Dagster")
    print(f"{in_words(cleaning.bytes):>10}  {would}freed")


def _hours(text: str) -> timedelta:
    """The hours of `--kept-for`.

    Raises:
        argparse.ArgumentTypeError: not a number of hours.
    """
    try:
        hours = timedelta(hours=float(text))
    except (ValueError, OverflowError):
        hours = timedelta(-1)
    if hours < timedelta(0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours; with 0, age does not matter")
    return hours
