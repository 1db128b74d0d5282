"""Markdown tables."""

from collections.abc import Mapping
from typing import Literal

Rank = Literal["best", "second"]


MARKS: dict[Rank, str] = {"best": "**", "second": "_"}


def ranks(values: Mapping[str, float | None], *, higher_is_better: bool) -> dict[str, Rank]:
    """Who is best and who is second. Equal values share a rank; where all are equal none is best.

    Args:
        values: by name; who has none has no rank.
        higher_is_better: whether larger values are better.
    """
    ordered = sorted({value for value in values.values() if value is not None}, reverse=higher_is_better)
    ranked: dict[float, Rank] = dict(zip(ordered, ("best", "second"), strict=False)) if len(ordered) > 1 else {}
    return {name: ranked[value] for name, value in values.items() if value in ranked}


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its columns aligned for a terminal too; all but the first to the right."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    align = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(header), line(align), *(line(row) for row in rows)])
