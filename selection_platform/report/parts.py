"""The parts of a page: sections with paragraphs, tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from selection_platform.report.style import VERDICTS, WIDTH
from selection_platform.text.tables import MARKS, Rank, markdown_table
from selection_platform.verdict.statistics import Word


@dataclass(frozen=True)
class TableCell:
    """One cell of a table.

    Attributes:
        text: text of the cell.
        rank: best or second of its column; the page shows a sign and a style for each.
        note: smaller text after it.
        verdict: verdict against random selection; the page shows its sign.
        order: number to sort the column by, if the text does not begin with it.
    """

    text: str
    rank: Rank | None = None
    note: str = ""
    verdict: Word | None = None
    order: float | None = None

    def markdown(self) -> str:
        """The cell as Markdown."""
        rank = MARKS[self.rank] if self.rank else ""
        sign = VERDICTS[self.verdict][0] if self.verdict else ""
        return " ".join(part for part in (f"{rank}{self.text}{rank}", sign, self.note) if part)


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row.

    Attributes:
        caption: caption of the table.
        header: name of each column.
        rows: rows with one cell per column.
        words: numbers, from 0, of columns with text; they are aligned to the left.
        cell: name of the model, pool and size; None if it has several.
        arms: number, from 0, of the column with the row's arm; None if there is none.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    words: frozenset[int] = frozenset()
    cell: str | None = None
    arms: int | None = 0

    def markdown(self) -> str:
        """The table as Markdown, with the ranks' marks and the verdicts' signs."""
        rows = [[cell.markdown() for cell in row] for row in self.rows]
        return markdown_table(list(self.header), rows)

    @property
    def signs(self) -> bool:
        """Whether any cell has a verdict. Then all cells leave room for the sign, so that numbers are aligned."""
        return any(cell.verdict for row in self.rows for cell in row)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: name of its file, without the suffix.
        figure: the figure.
        alternative: its content as text.
        cell: name of its model, pool and size.
    """

    name: str
    figure: Figure
    alternative: str
    cell: str | None = None

    @property
    def wide(self) -> bool:
        """Whether it is too wide to place two side by side."""
        return self.figure.get_figwidth() > WIDTH


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        name: name of its anchor.
        title: the question that it answers, or its subject.
        paragraphs: text of the section.
        tables: its tables.
        pictures: its figures, which come before the tables.
        file: name of the CSV file with all its rows, if there is one.
        arm_pages: whether the arms in its tables link to their own pages.
    """

    name: str
    title: str
    paragraphs: Sequence[str]
    tables: Sequence[Table] = field(default_factory=tuple)
    pictures: Sequence[Picture] = field(default_factory=tuple)
    file: str | None = None
    arm_pages: bool = False


def cells(*texts: str) -> list[TableCell]:
    """A row of plain cells."""
    return [TableCell(text) for text in texts]
