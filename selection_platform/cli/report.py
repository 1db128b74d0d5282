"""The command that writes the report."""

import argparse
from pathlib import Path

from selection_platform.cli.answer import own_report_data
from selection_platform.cli.shared import Commands, open_resources
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from sql.queries import load_sql

TABLE = "reports.verdict"


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="write one page with the answer, figures and tables",
        epilog="Example: selection-platform report --to page",
    )
    parser.add_argument("--to", type=Path, metavar="DIR", help="folder to write to (default: the home folder's report)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--reference", choices=("paper",), help="about the paper's published averages instead")
    instead.add_argument(
        "--table", type=Path, metavar="CSV", help="about results that were made elsewhere, as `verdict`"
    )
    parser.add_argument("--primary", metavar="MEASURE", help="with --table: the measure that answers")
    parser.set_defaults(command=report)


def report(profile: Profile, options: argparse.Namespace) -> None:
    """Write the page that says whether any choice beats random selection, and its figures and tables."""
    # Here: matplotlib and SciPy take seconds, which no other command should wait for.
    from selection_platform.report.data import paper_data, table_data
    from selection_platform.report.page import Report, write_report

    if options.to is not None and options.to.exists() and not options.to.is_dir():
        raise PlatformError(f"--to: {options.to} is a file; name a folder")
    if options.primary and not options.table:
        raise PlatformError("--primary: goes with --table; name our own in the profile, `verdict: {primary: ...}`")
    if options.table:
        data = table_data(profile, options.table, options.primary)
    elif options.reference == "paper":
        data = paper_data(profile)
    else:
        warehouse = open_resources(profile).warehouse
        if TABLE not in set(warehouse.query(load_sql("00_warehouse/columns"))["name"]):
            raise PlatformError(f"there is no table {TABLE} yet: run `selection-platform run` first")
        data = own_report_data(profile, warehouse)
    made = Report(data)
    folder = open_resources(profile).artifacts.report()
    page, *others = write_report(made, options.to or folder / _beside(options))
    print(f"{made.answer.headline}\n{page}\n{len(others)} files beside it: figures, tables, and a page for each arm")
    if data.disclaimer:
        print(data.disclaimer)


def _beside(options: argparse.Namespace) -> str:
    """The folder of a report that is not about our own runs, in that of our own."""
    return "paper" if options.reference else "table" if options.table else ""
