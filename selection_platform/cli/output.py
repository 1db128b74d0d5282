"""Tables on a terminal: in one style, as wide as the terminal, with a little colour.

In a pipe or a file they are plain and 80 columns wide. NO_COLOR turns off colours on terminals too.
"""

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
        wraps: whether all columns stay side by side, with long cells on several lines.
        plain: whether cells are shown unchanged, so that words and marks have no meaning.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    console = _console()
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    every = list(range(len(header)))
    for number, block in enumerate([every] if wraps else _blocks(widths, console.width)):
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


def _cell(value: str, plain: bool, coloured: bool) -> "Text":
    from rich.text import Text

    if plain:
        return Text(value)
    for mark, (style, sign) in MARKED.items():
        if len(value) > 2 * len(mark) and value.startswith(mark) and value.endswith(mark):
            bare = value[len(mark) : -len(mark)]
            return Text(bare + sign, style if coloured else "")
    return Text(value, COLOURS.get(value, ""))
