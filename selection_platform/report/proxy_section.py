"""The section of the proxy card: would a cheaper scorer pick the same, and what would it save?"""

from collections.abc import Iterator
from typing import Any

import polars as pl

from selection_platform.report.agreement import GOOD_ENOUGH
from selection_platform.report.cells import MOST_CELLS, about_cell, left_out, parts_of
from selection_platform.report.cost_section import duration, operations
from selection_platform.report.costs import TIMES
from selection_platform.report.parts import Section, Table, TableCell

_CELL = ["model", "pool", "budget"]
_SAID = (
    "Each scorer beside the same method with a cheaper one, on the same samples: another model, the first "
    "checkpoints of LESS's warm-up, or one rater of SelectIT. Same picks: the share of the scorer's picks that the "
    f"cheaper one picks too. It is good enough if the lower end of its interval is at least {GOOD_ENOUGH:.0%} of the "
    "way from what chance gives to all picks the same. Intervals are of 95%, for a pool that is a random draw of a "
    "larger one. That the picks are the same does not say that they are good."
)


def proxies(rows: pl.DataFrame | None) -> Section | None:
    """The proxy card.

    Args:
        rows: of `reports.proxy_card`; None without cheaper scorers, and so without section.
    """
    if rows is None:
        return None
    parts = list(parts_of(rows, _CELL))
    tables, paragraphs = [], []
    for about, of_cell in parts[:MOST_CELLS]:
        name = about_cell(about)
        paragraphs += [f"{name}: {said}" for said in sentences(of_cell)]
        shown = [_row(row) for row in of_cell.iter_rows(named=True)]
        header = [
            "method",
            "cheaper scorer",
            "same picks",
            "by chance",
            "rank correlation",
            "arithmetic",
            "good enough",
        ]
        tables.append(Table(f"A cheaper scorer, {name}", header, shown, frozenset({0, 1, 6}), name))
    said = [_SAID, *paragraphs, *left_out(len(parts))]
    return Section("proxies", "Would a cheaper scorer pick the same?", said, tables, file="proxy_card.csv")


def sentences(of_cell: pl.DataFrame) -> Iterator[str]:
    """For each method of a cell: the cheapest scorer that is good enough, and what it saves."""
    for (method,), of_method in of_cell.group_by(["method"], maintain_order=True):
        enough = of_method.filter(pl.col("good_enough")).sort("flops", maintain_order=True)
        if enough.is_empty():
            best = of_method.sort("shared", descending=True, maintain_order=True).row(0, named=True)
            yield f"for {method}, no cheaper scorer is good enough; the nearest, {best['proxy']}, has {_share(best)}."
            continue
        row = enough.row(0, named=True)
        found = f"the cheapest that is good enough is {row['proxy']}, with {_share(row)}"
        yield f"for {method}, {found}; it {saved(row)}."


def saved(row: dict[str, Any]) -> str:
    """What the cheaper scorer of a row saves, and which time it takes more of."""
    less, of = row["whole_flops"] - row["flops"], row["whole_flops"]
    saves, takes = [f"{operations(less)} of {operations(of)} ({less / of:.0%})"], []
    for time, name in TIMES.items():
        seconds = row[f"whole_{time}"] - row[time]
        if seconds > 0:
            saves.append(f"{duration(seconds)} of {name}")
        elif seconds < 0:
            takes.append(f"{duration(-seconds)} more of {name}")
    return f"saves {', '.join(saves)}" + (f", but takes {', '.join(takes)}" if takes else "")


def _share(row: dict[str, Any]) -> str:
    return f"{row['shared']:,} of {row['picks']:,} picks the same"


def _row(row: dict[str, Any]) -> list[TableCell]:
    correlation = "" if row["correlation"] is None else _interval("{:.2f}", row, "correlation", row["correlation"])
    share = row["shared"] / row["picks"]
    return [
        TableCell(row["method"]),
        TableCell(row["proxy"]),
        TableCell(_interval("{:.0%}", row, "share", share), order=share),
        TableCell(f"{row['by_chance']:.1%}"),
        TableCell(correlation),
        TableCell(f"{operations(row['flops'])} of {operations(row['whole_flops'])}", order=row["flops"]),
        TableCell("yes" if row["good_enough"] else "no"),
    ]


def _interval(form: str, row: dict[str, Any], name: str, value: float) -> str:
    low, high = (form.format(row[f"{name}_{end}"]) for end in ("low", "high"))
    return f"{form.format(value)} ({low} to {high})"
