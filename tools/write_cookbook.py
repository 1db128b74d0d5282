"""Write docs/cookbook.md: each question of `sql/95_cookbook`, and what it prints on the finished demo.

    .venv/bin/python tools/write_cookbook.py

Reads the demo in SELECTION_PLATFORM_HOME, as `selection-platform` does. The questions print ids, sources and numbers,
no text of a conversation: one of the demo's pools may not be passed on.
"""

import contextlib
import io
import shlex
import sys
from pathlib import Path

from selection_platform.cli.cookbook import FOLDER, Question, questions
from selection_platform.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "cookbook.md"
INTRODUCTION = """\
# Cookbook

Questions to the warehouse, each one statement in [`sql/95_cookbook`](../sql/95_cookbook), and what it printed on the
demo, whose numbers say nothing about the methods. On other machines scores differ in their last digits, and so may what
is selected. `selection-platform sql @` lists them and the parameters that each needs, `--set` gives a parameter `$name`
a value, `--json` prints JSON. To ask something else, copy a file and change it: `sql - < mine.sql`. Experiments that
select from a part of a pool only are left out, unless one is named.

This page is written by [`tools/write_cookbook.py`](../tools/write_cookbook.py).
"""
HEAD, FIRST, LAST = 3, 16, 6
"""Lines of a table above its rows; rows that are shown of a longer one, from its beginning and its end."""


def write_page() -> int:
    """Run each question and write the page.

    Returns:
        The exit status: that of the first question that failed, with nothing written.
    """
    sections = [INTRODUCTION]
    for question in questions().values():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = main(["--profile", "demo", *question.arguments])
        if status:
            return status
        sections.append(_section(question, printed.getvalue()))
    PAGE.write_text("\n".join(sections), encoding="utf-8")
    return 0


def _section(question: Question, output: str) -> str:
    lines = output.splitlines()
    # Behind the rows come the table's bottom and the number of rows.
    if len(lines) > HEAD + FIRST + LAST + 2:
        lines = [*lines[: HEAD + FIRST], "...", *lines[-LAST - 2 :]]
    return (
        f"## {question.question}\n\n[`{question.name}.sql`](../sql/{FOLDER}/{question.name}.sql)\n\n"
        f"```console\n$ selection-platform {shlex.join(question.arguments)}\n" + "\n".join(lines) + "\n```\n"
    )


if __name__ == "__main__":
    sys.exit(write_page())
