"""Keeps a user's SQL from changing anything, and from reading anything but the warehouse.

A read-only connection does not do this: it can still COPY to files, even the warehouse's, and some functions delete
files or open databases. So this module lists what is allowed, and refuses the rest. It uses DuckDB's own parser, so
that quotes, schemas and comments do not hide a name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from selection_platform.errors import PlatformError
from sql.queries import list_sql, load_sql

READING = ([duckdb.StatementType.SELECT], [duckdb.StatementType.EXPLAIN])
"""DuckDB's types of the statements below; all but EXPLAIN are SELECT."""

STATEMENTS = "SELECT, FROM, WITH, VALUES, TABLE, DESCRIBE, SUMMARIZE, SHOW, or EXPLAIN before one of these"
ONE_STATEMENT = f"one statement that only reads is needed: {STATEMENTS}"

EXPLAIN = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(EXPLAIN\b(?:\s+ANALYZE\b|\s*\(\s*(?:(?:ANALYZE|FORMAT\s+'?\w+'?)[\s,]*)+\))?)"
    r"(.*)",
    re.IGNORECASE | re.DOTALL,
)
"""Matches EXPLAIN with its options, and the statement that it explains."""

PAST = ("current_snapshot", "snapshots", "table_changes", "table_deletions", "table_info", "table_insertions")
TABLE_FUNCTIONS = frozenset(
    {
        "generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest",
        "duckdb_columns", "duckdb_constraints", "duckdb_functions", "duckdb_keywords", "duckdb_schemas",
        "duckdb_tables", "duckdb_types", "duckdb_views", "pragma_table_info", "pragma_version",
        "query_table", *PAST, *(f"ducklake_{name}" for name in PAST),
    }
)  # fmt: skip
"""Functions that are allowed after FROM. They only read, and none opens a file or a database by name."""

REFUSED_FUNCTIONS = frozenset({"json_serialize_plan", "nextval", "write_log"})
"""Functions of values that do more than compute. The first would plan a statement that is given as text."""

INTERNAL = "__internal_"
"""Prefix of functions that DuckDB calls itself. DuckDB does not check their arguments."""

TABLES = frozenset(name.removeprefix("01_schema/").split(".")[0] for name in list_sql("01_schema"))
"""Schemas of the warehouse's tables."""

SCHEMAS = TABLES | {"", "warehouse", "main", "information_schema", "pg_catalog", "system"}
"""Schemas allowed before a table's name. Besides the warehouse's tables, they have the views of DuckDB's catalog."""

TABLE_NAME = re.compile(r'(\w+)\.("[^"]+"|\w+)')

Node = dict[str, Any]


class NotAQuery(PlatformError):
    """A statement that does more than read, or reads something other than the warehouse."""


class NoTable(PlatformError):
    """A result that cannot be returned as a table."""


def answer(connection: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any]) -> pl.DataFrame:
    """The result of a user's statement.

    Args:
        connection: to the warehouse, read-only and confined.
        sql: the statement.
        values: the values of its parameters.

    Raises:
        NotAQuery: it is not one statement that only reads, and reads only from the warehouse.
        NoTable: its result has a column of a type that polars does not have.
        duckdb.Error: it is not SQL, or names something that does not exist.
    """
    kinds = [statement.type for statement in connection.extract_statements(sql)]
    if kinds not in READING:
        raise NotAQuery(ONE_STATEMENT)
    explain, statement = "", sql
    if kinds == [duckdb.StatementType.EXPLAIN]:
        match = EXPLAIN.fullmatch(sql)
        if match is None:
            raise NotAQuery(ONE_STATEMENT)
        explain, statement = match.groups()
    for node in _nodes(_syntax_tree(connection, statement)):
        _check(node, values)
    # Built from the parts that were checked, so that nothing else is explained.
    result = connection.execute(f"{explain} {statement}" if explain else sql, dict(values))
    for name, kind, *_ in result.description or ():
        if not _fits(kind):
            raise NoTable(f"column {name} is of type {kind}, which cannot be shown; cast it, as in {name}::VARCHAR")
    return result.pl()


def confine(connection: duckdb.DuckDBPyConnection, tables: Path) -> None:
    """From now on, no SQL on the connection can reach other files than the tables', or change these settings."""
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET allowed_directories = $folders", {"folders": [f"{tables}/"]})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _fits(kind: Any) -> bool:
    """Whether polars has a column type for one of DuckDB's."""
    if kind.id in ("interval", "union", "variant"):
        return False
    if kind.id == "struct" and any(not name for name, _ in kind.children):
        return False
    return kind.id not in ("struct", "list", "array", "map") or all(
        _fits(inner) for name, inner in kind.children if name != "size"
    )


def _syntax_tree(connection: duckdb.DuckDBPyConnection, statement: str) -> Node:
    row = connection.execute(load_sql("00_warehouse/syntax_tree"), {"statement": statement}).fetchone()
    assert row is not None
    try:
        tree = json.loads(row[0])
    except RecursionError as error:
        raise NotAQuery("the statement is nested too deeply to see whether it only reads") from error
    if tree["error"] or len(tree["statements"]) != 1:
        raise NotAQuery(ONE_STATEMENT)
    return tree


def _nodes(tree: Node) -> Iterator[Node]:
    waiting: list[Any] = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _check(node: Node, values: Mapping[str, Any]) -> None:
    """Raise for a part of a statement that could do more than read the warehouse."""
    if node.get("type") == "TABLE_FUNCTION":
        _check_table_function(node["function"], values)
    elif node.get("type") == "BASE_TABLE":
        for schema in (node["catalog_name"], node["schema_name"]):
            if schema.lower() not in SCHEMAS:
                raise NotAQuery(f"{schema}.{node['table_name']} is not allowed here: {_readable_tables()}")
    elif "function_name" in node:
        name = node["function_name"].lower()
        if name in REFUSED_FUNCTIONS or name.startswith(INTERNAL):
            raise NotAQuery(f"the function {name} is not allowed here: only functions that compute values are")


def _check_table_function(function: Node, values: Mapping[str, Any]) -> None:
    name = function["function_name"].lower()
    if name not in TABLE_FUNCTIONS:
        raise NotAQuery(f"the function {name} is not allowed after FROM: {_readable_tables()}; and the functions "
                        f"{', '.join(sorted(TABLE_FUNCTIONS))}")  # fmt: skip
    if name == "query_table":
        table = "".join(text for argument in function["children"] for text in _texts(argument, values))
        match = TABLE_NAME.fullmatch(table)
        if match is None or match[1].lower() not in TABLES:
            raise NotAQuery(f"query_table: {table!r} is not a table of the warehouse: {_readable_tables()}")


def _texts(argument: Node, values: Mapping[str, Any]) -> Iterator[str]:
    """The parts of a text that is built from constants, parameters and ||."""
    if argument["type"] == "VALUE_CONSTANT":
        yield str(argument["value"].get("value"))
    elif argument["type"] == "VALUE_PARAMETER":
        yield str(values.get(argument["identifier"]))
    elif argument.get("function_name") == "||":
        for part in argument["children"]:
            yield from _texts(part, values)
    else:
        raise NotAQuery("query_table takes a table's name here: a text, or texts and parameters with || between them")


def _readable_tables() -> str:
    return f"you can read the warehouse's tables, in the schemas {', '.join(sorted(TABLES))}"
