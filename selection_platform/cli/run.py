"""The commands that materialise what is missing or stale: `run` everything, `refresh` a part."""

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from selection_platform.cli.answer import headline, own_report_data, print_leaderboards
from selection_platform.cli.completion import completed, experiments
from selection_platform.cli.due_table import print_due
from selection_platform.cli.shared import Commands, number_above_zero, open_resources
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile, shipped_profiles
from selection_platform.errors import PlatformError
from selection_platform.text.printable import printable

if TYPE_CHECKING:
    import polars as pl


def add_parsers(commands: Commands) -> None:
    """Add both commands."""
    parser = commands.add_parser(
        "run",
        help="materialise what is missing or stale, from raw pools to the leaderboard",
        epilog="Example: selection-platform run --profile mine.yaml",
    )
    _add_dry_run(parser)
    parser.add_argument(
        "--until-settled", action="store_true", help="add seeds, within their `max`, until no comparison is open"
    )
    parser.add_argument(
        "--hours",
        type=_hours,
        metavar="H",
        help="with --until-settled: plan no further round that would end later; what is due is made in any case",
    )
    parser.set_defaults(command=run)
    parser = commands.add_parser(
        "refresh",
        help="the same for some assets or partitions, and everything upstream of them",
        epilog="Example: selection-platform refresh scores/ifd",
    )
    of = parser.add_argument(
        "of",
        nargs="*",
        metavar="NAME",
        help="name of an asset, such as scores/ifd, or key of a partition (default: everything)",
    )
    completed(of, experiments)
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="also recompute what is damaged, train checkpoints again whose weights were dropped, and take the newest "
        "commits of benchmarks' datasets",
    )
    _add_dry_run(parser)
    parser.set_defaults(command=refresh)


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only print what would run, and how long it takes")


def run(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise every partition that is missing or stale, upstream first, and print the leaderboard."""
    from orchestration.refresh import refresh

    if options.hours is not None and not options.until_settled:
        raise PlatformError("--hours: is the limit of `run --until-settled`; add that, or leave it out")
    if options.dry_run:
        _print_plan(profile, ())
        if options.until_settled:
            print("Then the runs that are planned from the results: selection-platform plan")
        return
    if options.until_settled:
        # Imported here because SciPy takes a second.
        from orchestration.until_settled import run_until_settled

        run_until_settled(profile, options.hours, tell=_tell)
        print()
    else:
        refresh(profile, tell=_tell)
    _print_answer(profile, hint=not options.until_settled)


def refresh(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise what is missing or stale among some assets or partitions and everything upstream of them."""
    from orchestration.refresh import refresh

    if options.rebuild and not options.of:
        raise PlatformError(
            "--rebuild: name the assets or partitions that are damaged, or whose weights or newest data you need"
        )
    if options.dry_run:
        _print_plan(profile, options.of, rebuild=options.rebuild)
        return
    refresh(profile, options.of, rebuild=options.rebuild, tell=_tell)


def _hours(text: str) -> float:
    """A number of hours.

    Raises:
        argparse.ArgumentTypeError: the text is not a number above 0.
    """
    return number_above_zero(text, f"{text!r} is not a number of hours above 0")


def _tell(line: str) -> None:
    print(printable(line), flush=True)


def _print_plan(profile: Profile, of: Sequence[str], *, rebuild: bool = False) -> None:
    """Print which steps would run, why, and how long they would take.

    Raises:
        PlatformError: something would stop the run.
    """
    from orchestration.refresh import plan
    from selection_platform.text.numbers import duration

    planned = plan(profile, of, rebuild=rebuild)
    if planned.due:
        print_due(planned.due)
    steps = len(planned.due) + len(planned.perhaps)
    perhaps = f", and up to {len(planned.perhaps)} more if their results change" if planned.perhaps else ""
    print(f"{len(planned.due)} steps would run{perhaps}")
    seconds, unknown = planned.expected
    if unknown < steps:
        rest = f", and the time of {unknown} steps is not known" if unknown else ""
        print(wrapped(f"From earlier runs, else by arithmetic: {duration(seconds)} for all of them{rest}"))
        print("By stage, with memory and disk: selection-platform estimate")
    elif steps:
        print("The time is not known, because none of these steps ran before")
    for line in planned.long:
        print(wrapped(line))
    if planned.faults:
        raise PlatformError("\n".join(planned.faults))


def _print_answer(profile: Profile, *, hint: bool) -> None:
    """Print the answer, the leaderboard, the report's path, and what to do next.

    Args:
        profile: the profile.
        hint: whether to name `plan` where a comparison that it knows is open.
    """
    resources = open_resources(profile)
    caveat = profile.disclaimer
    if profile.trained_experiments:
        data = own_report_data(profile, resources)
        caveat = data.disclaimer
        print(headline(data) + "\n")
        print_leaderboards(resources.warehouse)
        if hint and has_open(data.verdict):
            print("\n" + wrapped(_next_to_settle(profile)))
    else:
        print("Nothing was trained: this profile only selects.")
    if caveat:
        print(wrapped(caveat))
    print(f"\nReport: {resources.artifacts.report() / 'index.html'}")
    _print_next(profile)


def _next_to_settle(profile: Profile) -> str:
    """The first line of the plan, and where the others are."""
    from orchestration.run_plan import run_plan
    from orchestration.workspace import open_workspace
    from selection_platform.cli.plan import in_words

    with open_workspace(profile) as workspace:
        found = run_plan(workspace)
    first = next(iter(found.of("open") or found.of("out of seeds")), None)
    told = "" if first is None else f"{in_words(first)}. "
    return f"{told}What would settle the open comparisons: selection-platform plan"


def has_open(verdicts: "pl.DataFrame") -> bool:
    """Whether a comparison of a method is open on the primary measure: `plan` has nothing to say of others."""
    still_open = ("not enough seeds", "primary", "method")
    return still_open in verdicts.select("verdict", "role", "family").rows()


def _print_next(profile: Profile) -> None:
    if profile.file in shipped_profiles().values():
        print("Your own data: selection-platform init YOUR_FILE_OR_HUB_ID")
        return
    of_profile = "" if profile.file is None else f" --profile {shlex.quote(str(profile.file))}"
    selecting = {key: experiment for key, experiment in profile.experiments.items() if experiment.budget}
    not_random = (key for key, experiment in selecting.items() if experiment.method != "random")
    example = next(not_random, next(iter(selecting), None))
    if example is not None:
        print("To export a selection, for example:")
        print(f"  selection-platform{of_profile} export {example} --to DIR")
