"""A page for each arm: its first picks, and the benchmark items that it wins and loses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from selection_platform.experiments.methods import ALL_DATA, BASE
from selection_platform.report.cells import MOST_CELLS, about_cell, left_out, methods_in_order, parts_of, word_columns
from selection_platform.report.data import ReportData
from selection_platform.report.item_outcomes import CELL
from selection_platform.report.item_section import items_of_arm
from selection_platform.report.parts import Table, TableCell
from selection_platform.text.printable import printable
from selection_platform.verdict.tables import verdicts_of
from selection_platform.verdict.verdicts import RANDOM, Verdict
from selection_platform.verdict.words import SHOWN, digits_of, interval_text, measure_name, signed

FOLDER = "arms"
MOST_MESSAGES = 6
"""Most messages of a conversation that are shown."""
MOST_CHARACTERS = 1000
"""Most characters of a message that are shown."""
TAKES = {
    BASE.name: "It is not trained, and picks nothing.",
    ALL_DATA.name: "It takes the whole pool, and picks nothing.",
}


@dataclass(frozen=True)
class ShownMessage:
    """A message on the page.

    Attributes:
        role: role of the speaker.
        text: the shown text, without control characters.
        left: number of characters that are not shown.
    """

    role: str
    text: str
    left: int


@dataclass(frozen=True)
class Pick:
    """A picked conversation.

    Attributes:
        position: position in the order of picking, from 1.
        sample_id: id of the sample.
        facts: source and licence, as text.
        messages: the first messages; empty if no licence is stated for it.
        left: number of messages that are not shown.
    """

    position: int
    sample_id: str
    facts: str
    messages: Sequence[ShownMessage]
    left: int


@dataclass(frozen=True)
class ArmCell:
    """An arm's results and picks for one model, pool and size.

    Attributes:
        name: name of the cell.
        tables: tables of its verdicts and items.
        said: sentences that say which picks are shown, and why others are not.
        picks: the first picks.
    """

    name: str
    tables: Sequence[Table]
    said: Sequence[str]
    picks: Sequence[Pick]


@dataclass(frozen=True)
class ArmPage:
    """The page of one arm.

    Attributes:
        method: the arm.
        summary: what it picks, in one line.
        cells: its cells, at most MOST_CELLS.
        said: sentences about cells that are left out.
        items: the items that it wins and loses; empty if there are none.
    """

    method: str
    summary: str
    cells: Sequence[ArmCell]
    said: Sequence[str]
    items: pl.DataFrame

    @property
    def file(self) -> str:
        """The page's file, relative to the report's folder."""
        return f"{FOLDER}/{self.method}.html"

    @property
    def items_file(self) -> str | None:
        """The file of its items; None if there are none."""
        return None if self.items.is_empty() else f"{FOLDER}/{self.method}.csv"


def arm_pages(data: ReportData) -> list[ArmPage]:
    """A page for each arm with picks or items, in the order of methods."""
    counts = data.table("items_won_and_lost")
    known = [*data.picks["method"], *([] if counts is None else counts["method"])]
    return [_arm_page(data, counts, method) for method in methods_in_order(known)]


def _arm_page(data: ReportData, counts: pl.DataFrame | None, method: str) -> ArmPage:
    picked, counted = (
        dict(parts_of(rows.filter(pl.col("method") == method), CELL)) if rows is not None else {}
        for rows in (data.picks, counts)
    )
    verdicts = [each for each in verdicts_of(data.verdict) if each.method == method and each.measure in SHOWN]
    keys = list(dict.fromkeys([*counted, *picked]))
    cells = [_cell(method, key, picked.get(key), counted.get(key), verdicts) for key in keys[:MOST_CELLS]]
    items = data.items.filter(pl.col("method") == method)
    return ArmPage(method, data.summaries.get(method, "not said"), cells, left_out(len(keys)), items)


def _cell(
    method: str,
    key: tuple[object, ...],
    picked: pl.DataFrame | None,
    counted: pl.DataFrame | None,
    verdicts: Sequence[Verdict],
) -> ArmCell:
    of_cell = [each for each in verdicts if each.cell == key]
    tables = [_verdicts(of_cell)] if of_cell else []
    tables += [] if counted is None else [items_of_arm(counted)]
    if picked is None:
        return ArmCell(about_cell(key), tables, [TAKES.get(method, "Nothing is selected yet.")], [])
    return ArmCell(about_cell(key), tables, _said(method, picked), [_pick(row) for row in picked.iter_rows(named=True)])


def _verdicts(verdicts: Sequence[Verdict]) -> Table:
    rows = []
    for each in verdicts:
        numbers, digits = each.comparison, digits_of(each.measure)
        interval = interval_text(numbers.low, numbers.high, digits) or "not known"
        texts = [TableCell(text) for text in (signed(numbers.difference, digits), interval)]
        rows.append([TableCell(measure_name(each.measure)), TableCell(each.word, verdict=each.word), *texts])
    header = ["measure", "verdict", "difference", "95% interval"]
    return Table("Against random", header, rows, word_columns(1), arms=None)


def _said(method: str, picked: pl.DataFrame) -> list[str]:
    """Sentences that say which picks are shown, and how many of them without text."""
    count, seed = len(picked), picked["seed"][0]
    which = f"The first {count} of its draw" if method == RANDOM else f"Its first {count} picks, the best on top"
    unstated = picked["licence"].null_count()
    said = [f"{which}, with seed {seed}. Long texts are cut."]
    if unstated:
        said.append(
            f"No licence is stated for {unstated} of them, so their texts are not shown here: `selection-platform "
            "explain ID` shows a text. If you know the licence of the whole pool, set it as `licence:` in its settings."
        )
    return said


def _pick(row: Mapping[str, Any]) -> Pick:
    messages = row["messages"] or []
    licence = f"licence {printable(row['licence'])}" if row["licence"] else "no licence stated"
    facts = f"source {printable(row['source'] or 'not stated')} · {licence}"
    shown = [_message(each["role"], each["content"]) for each in messages[:MOST_MESSAGES]]
    return Pick(row["position"], row["sample_id"], facts, shown, max(0, len(messages) - MOST_MESSAGES))


def _message(role: str, content: str) -> ShownMessage:
    return ShownMessage(role, printable(content[:MOST_CHARACTERS]), max(0, len(content) - MOST_CHARACTERS))
