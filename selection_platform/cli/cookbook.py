"""The questions of the cookbook, each answered by one statement in `sql/95_cookbook`.

A file's first line is a comment with the question. Another comment line shows the command:
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
        name: its name, as in `selection-platform sql @name`.
        question: the question, as a sentence.
        arguments: arguments of the program that answer it for the demo.
        statement: the SQL.
    """

    name: str
    question: str
    arguments: list[str]
    statement: str


def questions() -> dict[str, Question]:
    """All questions, by name.

    Raises:
        ValueError: a file does not begin with its question, or does not show the command.
    """
    return {question.name: question for question in map(_question, list_sql(FOLDER))}


def _question(path: str) -> Question:
    name, statement = path.removeprefix(f"{FOLDER}/"), load_sql(path)
    lines = statement.splitlines()
    ask = next((line.removeprefix(ASK) for line in lines if line.startswith(ASK)), None)
    if not (lines[0].startswith("-- ") and lines[0].endswith("?")) or ask is None:
        raise ValueError(f"sql/{path}.sql: the first line must be a comment with the question, and a line `{ASK}...`")
    return Question(name, lines[0].removeprefix("-- "), shlex.split(ask), statement)
