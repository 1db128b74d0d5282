"""Query the warehouse."""

import argparse
import sys
from collections.abc import Mapping

from selection_platform.cli.cookbook import questions
from selection_platform.cli.shared import Commands, add_json, open_resources, print_json
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sql",
        help="query the warehouse in SQL",
        epilog='Example: selection-platform sql "FROM scores.ifd LIMIT 5"',
    )
    parser.add_argument(
        "statement",
        help="one SQL statement, - to read it from standard input, @NAME for the cookbook's, @ to list those",
    )
    parser.add_argument(
        "--set", action="append", type=_value, default=[], metavar="NAME=VALUE", help="value of a parameter $NAME"
    )
    add_json(parser)
    parser.set_defaults(command=sql)


def sql(profile: Profile, options: argparse.Namespace) -> None:
    """Print the result of one statement. Nothing can be changed, in the warehouse or outside it."""
    import duckdb
    import polars as pl

    if options.statement == "@":
        result = pl.DataFrame([(f"@{each.name}", each.question) for each in questions().values()], orient="row")
        result.columns = ["name", "question"]
    else:
        statement, values = _statement(options.statement), dict(options.set)
        try:
            _check_values(statement, values)
            result = open_resources(profile, of_any_age=True).warehouse.query(statement, values)
        except duckdb.Error as error:
            raise PlatformError(str(error)) from error
    if options.json:
        print_json(result.to_dicts())
        return
    with pl.Config(
        tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=60, tbl_width_chars=160, tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
    ):  # fmt: skip
        print(result)
    print(f"{result.height:,} rows")


def _statement(text: str) -> str:
    """What `sql` is to run: the text, standard input's, or that of a question of the cookbook."""
    if not text.startswith("@"):
        return sys.stdin.read() if text == "-" else text
    known = questions()
    if text[1:] not in known:
        listed = "".join(f"\n  @{each.name:<20} {each.question}" for each in known.values())
        raise PlatformError(f"no question {text!r} in the cookbook; there are{listed}")
    return known[text[1:]].statement


def _check_values(statement: str, values: Mapping[str, str]) -> None:
    """Raise unless a statement's parameters are those that have a value."""
    import duckdb

    wanted = {name for each in duckdb.extract_statements(statement) for name in each.named_parameters}
    missing, unknown = sorted(wanted - values.keys()), sorted(values.keys() - wanted)
    if missing:
        needed = " ".join(f"--set {name}=VALUE" for name in missing)
        raise PlatformError(f"the statement has parameters without a value; add {needed}")
    if unknown:
        named = ", ".join(f"${name}" for name in sorted(wanted)) or "none"
        raise PlatformError(f"--set {unknown[0]}: the statement has no such parameter; it has {named}")


def _value(text: str) -> tuple[str, str]:
    """A parameter's name and value.

    Raises:
        argparse.ArgumentTypeError: the text is not NAME=VALUE.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as pool=support-chats")
    return name, value
