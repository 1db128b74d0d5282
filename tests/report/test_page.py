"""The page: whole, offline, escaped; and the files beside it."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import polars as pl
import pytest

from selection_platform.cli.main import main
from selection_platform.job.integrity import changed_files
from selection_platform.report.item_outcomes import won_and_lost
from selection_platform.report.page import PAGE, Report, remove_others, write_home_report, write_report
from selection_platform.report.style import SMALL_PNG, small_png, svg
from tests.report.frames import COSTS, DIFFERENCES, EVERYTHING, EVIL, PICKS, curve, data

VOID = {"meta", "link", "img", "br", "input"}


class Elements(HTMLParser):
    """Every element that is opened, with its attributes; fails where one is not closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report():
    made = data(costs=COSTS, **EVERYTHING, pool_size_curve=curve({"ifd": {100: 17, 400: 12}}))
    return Report(replace(made, picks=PICKS, items=won_and_lost(DIFFERENCES)))


@pytest.mark.slow
def test_reports_on_results_from_elsewhere_are_no_part_of_the_homes(report, tmp_path):
    write_report(report, tmp_path / "paper")
    write_home_report(report, tmp_path)
    (tmp_path / "paper" / PAGE).write_text("Other numbers.")
    assert changed_files(tmp_path, deep=True) == []
    (tmp_path / PAGE).write_text("Other numbers.")
    assert [each.file for each in changed_files(tmp_path)] == [PAGE]


def test_the_page_is_well_formed_and_its_ids_are_its_own(report):
    found = Elements(report.html).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {
        attributes["href"][1:] for tag, attributes in found if attributes.get("href", "").startswith("#") and tag == "a"
    }
    assert targets == {section.name for section in report.sections}


@pytest.mark.slow
def test_tables_and_figures_are_linked_and_there(report, tmp_path):
    written = {path.resolve() for path in write_report(report, tmp_path)}
    pages = {path for path in written if path.suffix == ".html"}
    linked = {
        (page.parent / attributes["href"]).resolve()
        for page in pages
        for tag, attributes in Elements(page.read_text(encoding="utf-8")).found
        if tag == "a" and not attributes["href"].startswith("#")
    }
    assert linked == written


def test_the_page_fetches_nothing(report):
    found = Elements(report.html).found
    assert not {tag for tag, _ in found} & {"img", "iframe", "object", "video"}
    assert [attributes for tag, attributes in found if tag == "script"] == [{}]
    assert not re.search(r"fetch|import|XMLHttp|https?:", report.html[report.html.index("<script>") :])
    addresses = [
        value
        for tag, attributes in found
        for name, value in attributes.items()
        # A link is fetched when somebody follows it: the files beside the page.
        if tag != "a" and name in ("src", "href", "xlink:href", "srcset", "data")
    ]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    styles = [attributes.get("style") or "" for _, attributes in found] + re.findall(
        r"<style.*?</style>", report.html, re.S
    )
    assert not any(re.search(r"@import|url\((?!#)", style) for style in styles)


def test_names_cannot_inject(report):
    assert EVIL not in report.html
    assert "&lt;img src=" in report.html
    assert "<b>books" not in report.html


def test_best_and_second_are_marked(report):
    assert '<td class="best"><span class="rank" role="img" aria-label="best">★</span>' in report.html
    assert '<td class="second"><span class="rank" role="img" aria-label="second">☆</span>' in report.html


def test_every_figure_says_what_it_shows(report):
    labels = [attributes["aria-label"] for tag, attributes in Elements(report.html).found if tag == "svg"]
    assert labels == [picture.alternative for picture in report.pictures]
    assert all(labels)


def test_every_figure_says_its_numbers_where_a_mouse_rests(report):
    for picture in report.pictures:
        titles = re.findall("<title>(.*?)</title>", svg(picture.figure, picture.name, picture.alternative))
        assert len(titles) > 1, picture.name
    titles = [unescape(text) for text in re.findall('<g class="hover"><title>(.*?)</title>', report.html)]
    assert "ifd: not enough seeds, +4.00 (-0.97 to +8.97)" in titles
    assert "random: 3 runs, mean 11.00" in titles
    assert "zip and ifd: 70.0% in common" in titles
    assert "ifd, <b>books</b>: 100.0% (the pool 75.0%)" in titles
    assert "ifd: -1.50 with clusters" in titles
    assert "ifd, 100 to select from: 17.00" in titles
    assert any(text.startswith("ifd: selecting ") for text in titles)


@pytest.mark.slow
def test_the_same_numbers_give_the_same_page(report):
    again = Report(report.data)
    assert (again.html, again.identity) == (report.html, report.identity)
    assert Report(data()).identity != report.identity


@pytest.mark.slow
def test_the_files_beside_the_page(report, tmp_path):
    (tmp_path / "old.png").touch()
    (tmp_path / "own.txt").touch()
    page, *others = write_report(report, tmp_path)
    assert page.read_text(encoding="utf-8") == report.html
    assert {path.name for path in others if path.suffix == ".png"} == {f"{each.name}.png" for each in report.pictures}
    for name, rows in report.tables.items():
        assert pl.read_csv(tmp_path / name, schema=rows.schema).equals(rows)
    assert {section.file for section in report.sections if section.file} == {*report.tables, "experiment_costs.csv"}
    (tmp_path / "arms" / "old.html").touch()
    remove_others(tmp_path, [page, *others])
    assert not (tmp_path / "old.png").exists()
    assert {path.name for path in (tmp_path / "arms").iterdir()} == {"ifd.html", "ifd.csv", "random.html", "base.html"}
    assert (tmp_path / "own.txt").exists()


@pytest.mark.slow
def test_small_pictures_fit_the_event_log(report):
    for picture in report.pictures:
        png = small_png(picture.figure)
        assert png is not None
        assert 1000 < len(png) <= SMALL_PNG


@pytest.mark.slow
def test_the_papers_numbers(tmp_path, capsys):
    assert main(["report", "--reference", "paper", "--to", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[0] == (
        "Not shown: no choice is seen to beat random selection, and 23 of 24 comparisons are open."
    )
    assert str(tmp_path / "index.html") in output
    assert pl.read_csv(tmp_path / "verdict.csv").height == 32
    assert main(["report", "--reference", "paper", "--to", str(tmp_path / "index.html")]) == 1
    assert "is a file; name a folder" in capsys.readouterr().err
