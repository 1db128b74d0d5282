"""Tables of text, and how they look in Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from selection_platform.text.numbers import is_rounding

Rank = Literal["best", "second"]


MARKS: dict[Rank, str] = {"best": "**", "second": "_"}


class TextTable(NamedTuple):
    """A table whose first column names the row. Cells may have the marks of `MARKS`."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table in Markdown."""
        return markdown_table(list(self.header), [list(row) for row in self.rows])


def ranks(values: Mapping[str, float | None], *, higher_is_better: bool) -> dict[str, Rank]:
    """The best and the second best. Values that differ only by rounding share a rank; if all are equal, none is best.

    Args:
        values: by name; a name without a value has no rank.
        higher_is_better: whether larger values are better.
    """
    known = {name: value for name, value in values.items() if value is not None}
    groups: list[list[str]] = []
    last = math.inf
    for name in sorted(known, key=known.__getitem__, reverse=higher_is_better):
        if not is_rounding(abs(known[name] - last), known.values()):
            groups.append([])
        groups[-1].append(name)
        last = known[name]
    marked: tuple[Rank, ...] = ("best", "second") if len(groups) > 1 else ()
    return {name: rank for group, rank in zip(groups, marked, strict=False) for name in group}


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table that is also aligned on a terminal; all columns but the first are right-aligned."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    align = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(header), line(align), *(line(row) for row in rows)])
