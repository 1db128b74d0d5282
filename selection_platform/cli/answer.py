"""The answer first: the sentence that the report begins with, and the leaderboard below it."""

from dataclasses import replace
from typing import TYPE_CHECKING

from selection_platform.cli.output import BEST_AND_SECOND, print_table
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile

if TYPE_CHECKING:
    import polars as pl

    from resources.warehouse import Warehouse
    from selection_platform.report.data import Margins


def headline(
    profile: Profile,
    warehouse: "Warehouse | None",
    margins: "Margins | None" = None,
    verdict: "pl.DataFrame | None" = None,
) -> str:
    """The report's first sentence.

    Args:
        profile: that was run.
        warehouse: of its home; None for the paper's numbers.
        margins: what is too small to matter; as the profile says if left out.
        verdict: rows as of `reports.verdict`; those of the table if left out.
    """
    # Here: it takes seconds that no other command should wait for.
    from selection_platform.report.answer import answer
    from selection_platform.report.data import own_data, paper_data

    if warehouse is None:
        data = paper_data(profile)
    else:
        snapshot = warehouse.snapshot()
        with warehouse.queries(snapshot) as query:
            data = own_data(profile, query, snapshot)
    data = replace(data, margins=margins or data.margins, verdict=data.verdict if verdict is None else verdict)
    return wrapped(answer(data).headline)


def print_leaderboards(warehouse: "Warehouse") -> None:
    """Print a table for each measure."""
    from selection_platform.report.leaderboard import leaderboards

    for title, table in leaderboards(warehouse.query("FROM reports.leaderboard")).items():
        print(f"{wrapped(title)}\n")
        print_table(*table)
        print()
    print(BEST_AND_SECOND)
