"""Tables on a terminal: in one style, as wide as the terminal, with a little colour.

In a pipe or a file they are plain and 80 columns wide. NO_COLOR turns off colours on terminals too.
"""

import re
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GAP = 3
"""Spaces between columns."""

COLOURS = {
    "better": "green",
    "worse": "red",
    "made": "green",
    "missing": "red",
    "stale": "yellow",
    "upstream due": "yellow",
}
"""Colours of cells with only one of these words."""

MARKED = {"**": ("bold green", "*"), "_": ("cyan", "+")}
"""For Markdown's marks of the best and the second best: the style, and the sign to add."""

BEST_AND_SECOND = "* best and + second best of each column"


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Collection[int] = (0,),
    wraps: bool = False,
    plain: bool = False,
) -> None:
    """Print a table. Columns that do not fit the width go below, after the first column again.

    Args:
        header: names of the columns.
        rows: rows with one cell per column.
        text: indices of the columns that are aligned to the left; the other columns have numbers.
        wraps: whether all columns stay side by side, with long cells on several lines: they end at a space or a slash,
            and where no such line fits, the table is wider than the terminal.
        plain: whether cells are shown unchanged, so that words and marks have no meaning.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    console = _console()
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    blocks = _blocks(widths, console.width)
    if wraps:
        widths = _narrowed([header, *rows], widths, console.width)
        rows = [[_broken(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]
        console.width = max(console.width, _width(widths))
        blocks = [list(range(len(header)))]
    for number, block in enumerate(blocks):
        if number:
            print()
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
        for index in block:
            table.add_column(header[index], justify="left" if index in text else "right", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(row[index], plain, console.color_system is not None) for index in block))
        with console.capture() as captured:
            console.print(table)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def _blocks(widths: Sequence[int], most: int) -> list[list[int]]:
    """Blocks of columns that fit side by side, each with the first column in front."""
    blocks, used = [[0]], widths[0]
    for index in range(1, len(widths)):
        if len(blocks[-1]) > 1 and used + GAP + widths[index] > most:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(index)
        used += GAP + widths[index]
    return blocks


def _width(widths: Sequence[int]) -> int:
    """Of a table with columns of these widths."""
    return sum(widths) + GAP * (len(widths) - 1)


def _narrowed(cells: Sequence[Sequence[str]], widths: Sequence[int], most: int) -> list[int]:
    """Widths for a table that fits: the widest column gives first, and none becomes narrower than its longest word."""
    from rich.cells import cell_len

    least = [max(cell_len(word) for cell in column for word in _words(cell)) for column in zip(*cells, strict=True)]
    narrow = list(widths)
    while _width(narrow) > most and narrow != least:
        widest = max((index for index, width in enumerate(narrow) if width > least[index]), key=narrow.__getitem__)
        narrow[widest] -= 1
    return narrow


def _words(cell: str) -> list[str]:
    """A cell's parts that stay on one line, each with the slash at its end."""
    return [part for word in cell.split(" ") for part in re.findall(r"[^/]*/|[^/]+", word)] or [""]


def _broken(cell: str, width: int) -> str:
    """A cell in lines of at most this width, unless a word is longer."""
    from rich.cells import cell_len

    lines = [""]
    for number, word in enumerate(cell.split(" ")):
        for place, part in enumerate(_words(word)):
            gap = " " if number and not place else ""
            if cell_len(lines[-1] + gap + part) > width and lines[-1]:
                lines.append(part)
            else:
                lines[-1] += gap + part
    return "\n".join(lines)


def _cell(value: str, plain: bool, coloured: bool) -> "Text":
    from rich.text import Text

    if plain:
        return Text(value)
    for mark, (style, sign) in MARKED.items():
        if len(value) > 2 * len(mark) and value.startswith(mark) and value.endswith(mark):
            bare = value[len(mark) : -len(mark)]
            return Text(bare + sign, style if coloured else "")
    return Text(value, COLOURS.get(value, ""))
