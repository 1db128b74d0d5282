"""The command that queries the warehouse."""

import argparse
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from selection_platform.cli.cookbook import Question, questions
from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, as_json, open_resources, print_json
from selection_platform.cli.terminal_text import first_line
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.text.printable import printable
from sql.queries import load_sql

if TYPE_CHECKING:
    import polars as pl

MOST_ROWS = 1000
"""Most rows of a table on the terminal."""

WIDEST = 200
"""Most characters of a cell."""

POOL = "pool"
"""The parameter of the cookbook's questions that has a value by itself where there is a single pool."""

SHOW_TABLES = re.compile(r"\s*SHOW\s+(ALL\s+)?TABLES\s*;?\s*", re.IGNORECASE)


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sql",
        help="query the warehouse in SQL",
        epilog='Example: selection-platform sql "FROM scores.ifd LIMIT 5"',
    )
    parser.add_argument(
        "statement",
        help="one SQL statement; - reads it from standard input, @NAME runs one of the cookbook, @ lists those",
    )
    parser.add_argument(
        "--set", action="append", type=_value, default=[], metavar="NAME=VALUE", help="value of a parameter $NAME"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    form.add_argument("--csv", action="store_true", help="print CSV, with a header line")
    parser.set_defaults(command=sql)


def sql(profile: Profile, options: argparse.Namespace) -> None:
    """Print the result of one statement. It cannot change anything, in the warehouse or outside it."""
    import duckdb
    import polars as pl

    of_cookbook = options.statement == "@"
    if of_cookbook:
        listed = [(f"@{each.name}", _needed(each, profile), each.question) for each in questions().values()]
        result = pl.DataFrame(listed, schema=["name", "parameters", "question"], orient="row")
    else:
        statement, values = _statement(options.statement, profile), dict(options.set)
        try:
            values = _only_pool(statement, profile) | values
            _check_values(statement, values, profile)
            result = open_resources(profile, of_any_age=True).warehouse.query(statement, values)
        except duckdb.Error as error:
            raise PlatformError(str(error)) from error
    if options.json:
        print_json(result.to_dicts())
    elif options.csv:
        # In a file, texts stay unchanged.
        print(printable(_as_csv(result)) if sys.stdout.isatty() else _as_csv(result), end="")
    else:
        _print_rows(result, wraps=of_cookbook)


def _as_csv(result: "pl.DataFrame") -> str:
    """The result as CSV. Lists and structs, which CSV does not have, become JSON."""
    import polars as pl

    nested = [name for name, kind in result.schema.items() if kind.is_nested()]
    texts = [pl.Series(name, [_text(value) for value in result[name].to_list()], pl.String) for name in nested]
    return result.with_columns(texts).write_csv()


def _print_rows(result: "pl.DataFrame", *, wraps: bool) -> None:
    shown = result.head(MOST_ROWS)
    rows = [["NULL" if value is None else first_line(_text(value), WIDEST) for value in row] for row in shown.rows()]
    text = [index for index, kind in enumerate(result.dtypes) if not kind.is_numeric()]
    print_table([first_line(name, WIDEST) for name in result.columns], rows, text=text, wraps=wraps, plain=True)
    left = result.height - shown.height
    more = f"; {left:,} of them are not shown: --csv and --json print all" if left else ""
    print(f"{result.height:,} row{'s' * (result.height != 1)}{more}")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict):
        return as_json(value)
    return str(value)


def _statement(text: str, profile: Profile) -> str:
    """What `sql` is to run: the text, standard input's, or that of a question of the cookbook."""
    if not text.startswith("@"):
        statement = sys.stdin.read() if text == "-" else text
        # DuckDB would list only the tables of one schema, which is empty.
        return load_sql("00_warehouse/tables") if SHOW_TABLES.fullmatch(statement) else statement
    known = questions()
    if text[1:] not in known:
        listed = "".join(
            f"\n  @{each.name:<20} {each.question}{f' (needs {needed})' if (needed := _needed(each, profile)) else ''}"
            for each in known.values()
        )
        raise PlatformError(f"no question {text!r} in the cookbook; its questions are{listed}")
    return known[text[1:]].statement


def _needed(question: Question, profile: Profile) -> str:
    """The parameters of a question that need `--set`."""
    return ", ".join(sorted(_parameters(question.statement) - _only_pool(question.statement, profile).keys()))


def _only_pool(statement: str, profile: Profile) -> dict[str, str]:
    """The value of the parameter $pool, if the statement has it and the profile has a single pool."""
    names = list(profile.pools)
    return {POOL: names[0]} if len(names) == 1 and POOL in _parameters(statement) else {}


def _parameters(statement: str) -> set[str]:
    import duckdb

    return {name for part in duckdb.extract_statements(statement) for name in part.named_parameters}


def _check_values(statement: str, values: Mapping[str, str], profile: Profile) -> None:
    """Raise PlatformError unless each parameter of a statement has a value, and no other name has one."""
    wanted = _parameters(statement)
    missing, unknown = sorted(wanted - values.keys()), sorted(values.keys() - wanted)
    if missing:
        needed = " ".join(f"--set {name}=VALUE" for name in missing)
        pools = f"; the profile's pools: {', '.join(profile.pools)}" if POOL in missing else ""
        raise PlatformError(f"the statement has parameters without a value; add {needed}{pools}")
    if unknown:
        named = ", ".join(f"${name}" for name in sorted(wanted)) or "none"
        raise PlatformError(f"--set {unknown[0]}: the statement has no such parameter; its parameters: {named}")


def _value(text: str) -> tuple[str, str]:
    """The name and value of a parameter.

    Raises:
        argparse.ArgumentTypeError: the text is not NAME=VALUE.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as pool=support-chats")
    return name, value
