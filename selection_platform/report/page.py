"""The report's page, and the files next to it."""

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

import polars as pl
from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from selection_platform.job.folder import content_hash, whole_file, write_manifest
from selection_platform.report.answer import Answer, answer
from selection_platform.report.arm_pages import FOLDER, ArmPage, arm_pages
from selection_platform.report.data import ReportData
from selection_platform.report.parts import Picture, Section
from selection_platform.report.recipe import program
from selection_platform.report.sections import sections
from selection_platform.report.style import VERDICTS, png, svg

PAGE = "index.html"

ELSEWHERE = ("paper", "table")
"""The folders beside it of reports on results from elsewhere."""


@dataclass(frozen=True)
class Report:
    """A self-contained page, its figures, and all numbers as tables.

    Attributes:
        data: the data of the report.
    """

    data: ReportData

    @cached_property
    def answer(self) -> Answer:
        """The answer as sentences."""
        return answer(self.data)

    @cached_property
    def sections(self) -> Sequence[Section]:
        """The sections of the page that have something to show, in order."""
        made = (make() for make in sections(self.data).values())
        return [section for section in made if section is not None]

    @property
    def pictures(self) -> list[Picture]:
        """Every figure."""
        return [picture for section in self.sections for picture in section.pictures]

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Every table that has rows, by the name of its file."""
        rows = {"leaderboard": self.data.runs, "verdict": self.data.verdict, **self.data.tables}
        return {f"{name}.csv": table for name, table in rows.items() if not table.is_empty()}

    @cached_property
    def identity(self) -> str:
        """A hash of the page's content, independent of the snapshot that it was read from."""
        words = [
            self.data.title,
            self.data.description,
            self.data.disclaimer,
            asdict(self.data.margins),
            dict(self.data.recipe),
        ]
        texts = [self.data.picks.write_ndjson(), self.data.items.write_csv()]
        texts += [] if self.data.card_gains is None else [self.data.card_gains.write_csv()]
        return content_hash([*words, {name: rows.write_csv() for name, rows in self.tables.items()}, *texts])

    @cached_property
    def arm_pages(self) -> Sequence[ArmPage]:
        """A page for each arm."""
        return arm_pages(self.data)

    @cached_property
    def html(self) -> str:
        """The page."""
        return _template("page.html.j2").render(
            data=self.data,
            answer=self.answer,
            sections=self.sections,
            drawn={
                picture.name: Markup(svg(picture.figure, picture.name, picture.alternative))
                for picture in self.pictures
            },
            css=_inline("page.css"),
            script=_inline("page.js"),
            cells=list(dict.fromkeys(picture.cell for picture in self.pictures if picture.cell)),
            files=list(self.tables),
            arm_files={page.method: page.file for page in self.arm_pages},
            verdicts=VERDICTS,
            version=program(),
        )

    def html_of(self, page: ArmPage) -> str:
        """The page of an arm."""
        template = _template("arm.html.j2")
        return template.render(page=page, title=self.data.title, css=_inline("page.css"), verdicts=VERDICTS)


@cache
def _template(name: str) -> Template:
    # Escaped, because names come from a profile, and sources and texts come from the rows.
    environment = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["with_code"] = _with_code
    return environment.get_template(name)


def _with_code(sentence: str) -> Markup:
    """A sentence, escaped, with text between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def _text(name: str) -> str:
    return files("selection_platform.report").joinpath(name).read_text(encoding="utf-8")


def _inline(name: str) -> Markup:
    return Markup(_text(name))


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the page, its figures as PNG, its tables as CSV, and a page and a table for each arm in `arms`.

    Args:
        report: the report to write.
        folder: the folder to write to; created if missing. Files with other names stay.

    Returns:
        The written paths, with the page first.
    """
    texts = {PAGE: report.html, **{page.file: report.html_of(page) for page in report.arm_pages}}
    tables = report.tables | {page.items_file: page.items for page in report.arm_pages if page.items_file}
    pictures = {f"{picture.name}.png": picture for picture in report.pictures}
    for name, text in texts.items():
        with whole_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for name, picture in pictures.items():
        with whole_file(folder / name) as temporary:
            temporary.write_bytes(png(picture.figure))
    for name, table in tables.items():
        with whole_file(folder / name) as temporary:
            table.write_csv(temporary)
    return [folder / name for name in [*texts, *pictures, *tables]]


def write_home_report(report: Report, folder: Path) -> list[Path]:
    """Write the report to the home's folder for it, alone there but for `ELSEWHERE`, and record what was written.

    Returns:
        As `write_report`.
    """
    written = write_report(report, folder)
    remove_others(folder, written)
    files = {"files": [str(path.relative_to(folder)) for path in written]}
    write_manifest(folder, files, temporary=ELSEWHERE)
    return written


def remove_others(folder: Path, written: Collection[Path]) -> None:
    """Remove the figures, tables and arm pages of an earlier report that the new one does not have."""
    arms = folder / FOLDER
    for path in [*folder.glob("*.png"), *folder.glob("*.csv"), *arms.glob("*.html"), *arms.glob("*.csv")]:
        if path not in written:
            path.unlink()
