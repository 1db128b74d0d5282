"""What keeps a reader's SQL from changing anything and from reaching past the warehouse."""

import re
from itertools import pairwise
from pathlib import Path

import duckdb

from selection_platform.errors import PlatformError

READING = ([duckdb.StatementType.SELECT], [duckdb.StatementType.EXPLAIN])
"""A read-only connection can still COPY to files, those of the warehouse itself included."""

REACHING = ("sqlite_", "postgres_", "read_postgres_", "pg_clear_cache")
"""How the names of functions begin that open databases themselves, unseen by DuckDB's settings.

`FROM postgres_execute(...)` even writes through a connection that is attached read-only.
"""

RUNNING_TEXT = ("query", "json_execute_serialized_sql")
"""Functions that run SQL which is in a text, and so could call the others unseen."""


NAME = re.compile(r'"[^"]*"|\w+')


class NotAQuery(PlatformError):
    """A statement that does more than read."""


def check_reads_only(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise unless the text is one statement that only reads, and reads from the warehouse alone.

    Raises:
        NotAQuery: it is not.
    """
    kinds = [statement.type for statement in connection.extract_statements(sql)]
    if kinds not in READING:
        raise NotAQuery("one statement that only reads is needed: SELECT, FROM, DESCRIBE, SUMMARIZE or EXPLAIN")
    for name in _called_functions(sql):
        if name.startswith(REACHING) or name in RUNNING_TEXT:
            raise NotAQuery(f"the function {name} could reach past the warehouse, and is not allowed here")


def confine(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Whatever a user's SQL says, it reaches no file outside the home folder, and none of these settings."""
    connection.execute("SET allowed_directories = $folders", {"folders": [f"{home}/"]})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _called_functions(sql: str) -> list[str]:
    """Every name before an opening bracket, in lower case; words of texts and comments are none."""
    encoded = sql.encode()
    starts = [start for start, _ in duckdb.tokenize(sql)]
    tokens = [encoded[start:end].decode() for start, end in zip(starts, [*starts[1:], None], strict=True)]
    # A comment counts to the token before it.
    names = [NAME.match(token) for token, after in pairwise(tokens) if after.startswith("(")]
    return [name[0].strip('"').lower() for name in names if name]
