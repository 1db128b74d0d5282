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
    instead.add_argument("--reference", choices=("paper",), help="report on the paper's published averages instead")
    instead.add_argument("--table", type=Path, metavar="CSV", help="report on results from elsewhere, as in `verdict`")
    parser.add_argument("--primary", metavar="MEASURE", help="with --table: the primary measure")
    parser.set_defaults(command=report)


def report(profile: Profile, options: argparse.Namespace) -> None:
    """Write the page that says whether any method beats random selection, and its figures and tables."""
    # Imported here because matplotlib and SciPy take seconds, and other commands do not need them.
    from selection_platform.report.data import paper_data, table_data
    from selection_platform.report.page import Report, write_home_report, write_report

    if options.to is not None and options.to.exists() and not options.to.is_dir():
        raise PlatformError(f"--to: {options.to} is a file; name a folder")
    if options.primary and not options.table:
        raise PlatformError(
            "--primary: it needs --table; for your own runs, set it in the profile: `verdict: {primary: ...}`"
        )
    if options.table:
        data = table_data(profile, options.table, options.primary)
    elif options.reference == "paper":
        data = paper_data(profile)
    else:
        resources = open_resources(profile)
        warehouse = resources.warehouse
        if TABLE not in set(warehouse.query(load_sql("00_warehouse/columns"))["name"]):
            raise PlatformError(f"the table {TABLE} does not exist yet: run `selection-platform run` first")
        data = own_report_data(profile, resources)
    content = Report(data)
    home_folder = open_resources(profile).artifacts.report()
    folder = options.to or home_folder / _subfolder(options)
    # `verify --deep` compares that folder with what is recorded of it.
    write = write_home_report if folder.resolve() == home_folder.resolve() else write_report
    page, *files = write(content, folder)
    print(f"{content.answer.headline}\n{page}\n{len(files)} more files: figures, tables, and a page for each arm")
    if data.disclaimer:
        print(data.disclaimer)


def _subfolder(options: argparse.Namespace) -> str:
    """The subfolder for a report on results from elsewhere."""
    return "paper" if options.reference else "table" if options.table else ""
