"""The page, and the files beside it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import polars as pl
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from selection_platform.job.folder import content_hash, whole_file
from selection_platform.report.answer import Answer, answer
from selection_platform.report.data import ReportData
from selection_platform.report.parts import Picture, Section
from selection_platform.report.recipe import program
from selection_platform.report.sections import sections
from selection_platform.report.style import VERDICTS, png, svg

PAGE = "index.html"


@dataclass(frozen=True)
class Report:
    """A page that holds all that it shows, its figures, and all numbers as tables.

    Attributes:
        data: what it is made from.
    """

    data: ReportData

    @cached_property
    def answer(self) -> Answer:
        """The answer in words."""
        return answer(self.data)

    @cached_property
    def sections(self) -> Sequence[Section]:
        """What the page shows, in order."""
        return [make() for make in sections(self.data).values()]

    @property
    def pictures(self) -> list[Picture]:
        """Every figure."""
        return [picture for section in self.sections for picture in section.pictures]

    @property
    def tables(self) -> Mapping[str, pl.DataFrame]:
        """Every table that has rows, by the name of its file."""
        rows = {"leaderboard": self.data.runs, "verdict": self.data.verdict, **self.data.tables}
        return {f"{name}.csv": table for name, table in rows.items() if not table.is_empty()}

    @cached_property
    def identity(self) -> str:
        """Hash of what the page says, whatever the snapshot that it was read from."""
        words = [
            self.data.title,
            self.data.description,
            self.data.disclaimer,
            asdict(self.data.margins),
            dict(self.data.recipe),
        ]
        return content_hash([*words, {name: rows.write_csv() for name, rows in self.tables.items()}])

    @cached_property
    def html(self) -> str:
        """The page."""
        folder = files("selection_platform.report")
        # Names of arms and pools come from a profile, and sources from whoever wrote the rows.
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string(folder.joinpath("page.html.j2").read_text(encoding="utf-8"))
        return template.render(
            data=self.data,
            answer=self.answer,
            sections=self.sections,
            drawn={each.name: Markup(svg(each.figure, each.name, each.alternative)) for each in self.pictures},
            css=_inline(folder, "page.css"),
            script=_inline(folder, "page.js"),
            cells=list(dict.fromkeys(picture.cell for picture in self.pictures if picture.cell)),
            files=list(self.tables),
            arm_files={},
            verdicts=VERDICTS,
            version=program(),
        )


def _inline(folder: Traversable, name: str) -> Markup:
    return Markup(folder.joinpath(name).read_text(encoding="utf-8"))


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the page, its figures as PNG, and its tables as CSV.

    Args:
        report: to write.
        folder: where the files go; made if missing. Files of other names stay.

    Returns:
        What was written, the page first.
    """
    with whole_file(folder / PAGE) as temporary:
        temporary.write_text(report.html, encoding="utf-8")
    for picture in report.pictures:
        with whole_file(folder / f"{picture.name}.png") as temporary:
            temporary.write_bytes(png(picture.figure))
    for name, table in report.tables.items():
        with whole_file(folder / name) as temporary:
            table.write_csv(temporary)
    names = [PAGE, *(f"{picture.name}.png" for picture in report.pictures), *report.tables]
    return [folder / name for name in names]


def remove_others(folder: Path, written: Collection[Path]) -> None:
    """Remove the figures and tables of an earlier report that a new one has not."""
    for path in [*folder.glob("*.png"), *folder.glob("*.csv")]:
        if path not in written:
            path.unlink()
