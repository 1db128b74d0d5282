"""Questions that a person has, each answered by one statement in `sql/95_cookbook`.

A file's first line is a comment with the question; a line of its comment shows how to ask it:
`-- Ask: selection-platform sql @ties --set method=ifd`.
"""

import shlex
from typing import NamedTuple

from sql.queries import list_sql, load_sql

FOLDER = "95_cookbook"
ASK = "-- Ask: selection-platform "


class Question(NamedTuple):
    """A statement of the cookbook.

    Attributes:
        name: as after the @ of `selection-platform sql @name`.
        question: the question, in words.
        arguments: a command line that asks it of the demo, behind the program's name.
        statement: the SQL.
    """

    name: str
    question: str
    arguments: list[str]
    statement: str


def questions() -> dict[str, Question]:
    """All questions, by name.

    Raises:
        ValueError: a file does not begin with its question, or does not say how to ask it.
    """
    return {found.name: found for found in map(_question, list_sql(FOLDER))}


def _question(path: str) -> Question:
    name, statement = path.removeprefix(f"{FOLDER}/"), load_sql(path)
    lines = statement.splitlines()
    ask = next((line.removeprefix(ASK) for line in lines if line.startswith(ASK)), None)
    if not (lines[0].startswith("-- ") and lines[0].endswith("?")) or ask is None:
        raise ValueError(f"sql/{path}.sql: the first line must be a comment with the question, and a line `{ASK}...`")
    return Question(name, lines[0].removeprefix("-- "), shlex.split(ask), statement)
