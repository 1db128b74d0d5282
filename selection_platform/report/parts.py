"""What a page is put together from: sections with paragraphs, tables and figures."""

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
        text: what it says.
        rank: best or second of its column; the page shows a sign and a style for each.
        note: smaller, behind the text.
        verdict: against random selection; the page shows its sign.
        order: what its column is sorted by, where the text does not begin with that number.
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
        caption: what it shows.
        header: a name for each column.
        rows: as many cells in each.
        words: columns, from 0, that hold words; they are aligned to the left.
        cell: the name of the cell that it is of; None where it has several.
        arms: the column, from 0, that names the row's arm; None where none does.
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
        """Whether any cell has a verdict; then each leaves room for its sign, and numbers stand below each other."""
        return any(cell.verdict for row in self.rows for cell in row)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: of its file, without the ending.
        figure: what is drawn.
        alternative: what it says, in words.
        cell: the name of the cell that it is of.
    """

    name: str
    figure: Figure
    alternative: str
    cell: str | None = None

    @property
    def wide(self) -> bool:
        """Whether it is too wide for two side by side."""
        return self.figure.get_figwidth() > WIDTH


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        name: of its anchor.
        title: the question that it answers, or what it shows.
        paragraphs: what it says, in words.
        tables: in order.
        pictures: in order; they come before the tables.
        file: of the CSV with all its rows, if there is one.
        arm_pages: whether the arms in its tables lead to their own pages.
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
