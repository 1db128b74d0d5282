"""The command that says whether a method beats random selection."""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection_platform.cli.answer import headline, own_report_data
from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, number_above_zero, open_resources, print_json
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from sql.queries import load_sql

if TYPE_CHECKING:
    from resources.warehouse import Warehouse
    from selection_platform.report.data import ReportData
    from selection_platform.verdict.results_table import Results
    from selection_platform.verdict.runs import Run
    from selection_platform.verdict.tables import OverItems
    from selection_platform.verdict.verdicts import Verdict


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verdict",
        help="say for each arm whether it beats random selection",
        epilog="Example: selection-platform verdict --reference paper",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--reference", choices=("paper",), help="use the paper's published averages instead of your own results"
    )
    instead.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="use results from elsewhere: a CSV file with the columns arm, seed, pool, model, measure and value",
    )
    parser.add_argument("--primary", metavar="MEASURE", help="the primary measure (default: the profile's)")
    parser.add_argument(
        "--margin",
        type=_margin,
        help="difference in percentage points that is too small to matter (default: the profile's)",
    )
    parser.add_argument("--loss-margin", type=_margin, help="the same for the held-out loss, in bits per byte")
    add_json(parser)
    parser.set_defaults(command=verdict)


def verdict(profile: Profile, options: argparse.Namespace) -> None:
    """Print for each arm whether it is better than random, the same, worse, or needs more seeds."""
    # Imported here because SciPy takes a second, and other commands do not need it.
    from assets.record.caveat import mixed_engines
    from selection_platform.report.data import Margins
    from selection_platform.verdict.looks import schedule
    from selection_platform.verdict.tables import verdict_rows
    from selection_platform.verdict.verdicts import LOSS, named_measure, verdicts
    from selection_platform.verdict.words import ITEMS_TITLE, items_table, shown_measures

    margin = profile.verdict.margin if options.margin is None else options.margin
    loss_margin = profile.verdict.loss_margin if options.loss_margin is None else options.loss_margin
    own = not (options.reference or options.table)
    resources = open_resources(profile) if own else None
    runs, intervals = _own_results(resources.warehouse) if resources else _other_results(options.table)
    primary = named_measure(options.primary, runs) or (profile.verdict.primary if own else None)
    by_looks = schedule(profile.arms) if own else None
    comparisons = verdicts(runs, {LOSS: loss_margin}, margin, primary, by_looks)
    if options.json:
        if resources and (told := mixed_engines(profile, resources.artifacts)):
            # The document is a list of verdicts, and has no room for it.
            print(told, file=sys.stderr)
        print_json([_json(verdict, intervals) for verdict in comparisons])
        return
    data = own_report_data(profile, resources) if resources else _other_data(profile, options.table, options.primary)
    margins = Margins(margin, loss_margin)
    print(headline(replace(data, margins=margins, verdict=verdict_rows(comparisons, intervals))) + "\n")
    for measure in shown_measures(comparisons):
        of_measure = [verdict for verdict in comparisons if verdict.measure == measure]
        _print_measure(of_measure, runs, loss_margin if measure == LOSS else margin)
    if intervals:
        print(f"{wrapped(ITEMS_TITLE)}\n")
        print_table(*items_table(intervals, comparisons), text=(0, 1))
        print()
    if own and data.disclaimer:
        print(data.disclaimer)


def _other_data(profile: Profile, table: Path | None, primary: str | None) -> "ReportData":
    """The data of the report on the same results."""
    from selection_platform.report.data import paper_data, table_data

    return paper_data(profile) if table is None else table_data(profile, table, primary)


def _other_results(table: Path | None) -> "Results":
    """The results in a file, or the paper's."""
    from selection_platform.verdict.results_table import Results, paper_runs, read_results

    return Results(paper_runs(), {}) if table is None else read_results(table)


def _own_results(warehouse: "Warehouse") -> "Results":
    from selection_platform.verdict.results_table import Results
    from selection_platform.verdict.tables import over_items, runs_of

    runs = runs_of(warehouse.query(load_sql("90_reports/runs")))
    if not runs:
        raise PlatformError("no arms are evaluated yet: run `selection-platform run` first")
    return Results(runs, over_items(warehouse.query(load_sql("90_reports/item_differences"))))


def _json(verdict: "Verdict", intervals: "OverItems") -> dict[str, Any]:
    from selection_platform.verdict.runs import AVERAGE

    return {
        "measure": verdict.measure,
        **verdict.cell._asdict(),
        "method": verdict.method,
        "verdict": verdict.word,
        "seeds_needed": verdict.seeds_needed,
        **asdict(verdict.comparison),
        "role": verdict.role,
        "family": verdict.family,
        "seeds_needed_alone": verdict.seeds_needed_alone,
        "pooled": verdict.pooled and asdict(verdict.pooled),
        "over_items": intervals.get((verdict.cell, verdict.method)) if verdict.measure == AVERAGE else None,
    }


def _print_measure(verdicts: "list[Verdict]", runs: "list[Run]", margin: float) -> None:
    from selection_platform.verdict.words import (
        assumed_in_words,
        cell_name,
        counts_in_words,
        looks_in_words,
        measure_title,
        narrow_tables,
        pooled_in_words,
        random_runs_in_words,
    )

    measure = verdicts[0].measure
    print(wrapped(measure_title(measure, verdicts[0].role)))
    for name, table in narrow_tables(verdicts).items():
        print(f"\n{name}")
        print_table(*table, text=(0, 1))
    said = counts_in_words(verdicts, margin), looks_in_words(verdicts), assumed_in_words(verdicts)
    for sentence in (*said, pooled_in_words(verdicts)):
        if sentence:
            print("\n" + wrapped(sentence))
    of_measure = [run for run in runs if run.measure == measure]
    for cell, sentence in random_runs_in_words(verdicts, of_measure, margin).items():
        print(wrapped(f"{cell_name(cell)}: {sentence}"))
    print()


def _margin(text: str) -> float:
    """A margin: a difference that is too small to matter.

    Raises:
        argparse.ArgumentTypeError: the text is not a number above 0.
    """
    return number_above_zero(text, f"{text!r} is not a margin; write a number above 0")
