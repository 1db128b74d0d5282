"""Print the answer: the report's first sentence, and the leaderboards."""

from dataclasses import replace
from typing import TYPE_CHECKING

from selection_platform.cli.output import BEST_AND_SECOND, print_table
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile

if TYPE_CHECKING:
    from resources import Resources
    from resources.warehouse import Warehouse
    from selection_platform.report.data import ReportData


def headline(data: "ReportData") -> str:
    """The report's first sentence."""
    # Imported here because it takes seconds, and other commands do not need it.
    from selection_platform.report.answer import answer

    return wrapped(answer(data).headline)


def own_report_data(profile: Profile, resources: "Resources") -> "ReportData":
    """The data of a home's report."""
    from assets.record.caveat import caveat
    from selection_platform.report.data import own_data

    snapshot = resources.warehouse.snapshot()
    with resources.warehouse.queries(snapshot) as query:
        return replace(own_data(profile, query, snapshot), disclaimer=caveat(profile, resources.artifacts))


def print_leaderboards(warehouse: "Warehouse") -> None:
    """Print a table for each measure."""
    from selection_platform.report.leaderboard import leaderboards

    for title, table in leaderboards(warehouse.query("FROM reports.leaderboard")).items():
        print(f"{wrapped(title)}\n")
        print_table(*table)
        print()
    print(BEST_AND_SECOND)
