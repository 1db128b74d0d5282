"""Tables on a terminal: in one style, as wide as the terminal, with a little colour where there is one.

Elsewhere, in a pipe or a file, they are 80 columns wide and plain, and NO_COLOR keeps colours away from terminals too.
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
"""Of cells that are one of these words."""

MARKED = {"**": ("bold green", "*"), "_": ("cyan", "+")}
"""How Markdown's marks of the best and the second best are shown: the style, and the sign where there is none."""

BEST_AND_SECOND = "* best and + second best of each column"


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Collection[int] = (0,),
    wraps: bool = False,
    plain: bool = False,
) -> None:
    """Print a table. Columns that do not fit the width stand below, behind the first column again.

    Args:
        header: names of the columns.
        rows: as many cells each.
        text: numbers of the columns that are aligned to the left; the others have numbers.
        wraps: whether all columns stay side by side, and long cells take several lines.
        plain: whether cells are shown as they are: no word and no mark means anything.
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
    """The columns that stand side by side: as many as fit, and the first column before each of the others."""
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
