"""The pages of the arms: first picks, where their licence is stated, and items won and lost."""

from dataclasses import replace

import polars as pl
import pytest

from selection_platform.report.arm_pages import MOST_CHARACTERS, arm_pages
from selection_platform.report.item_outcomes import counted, won_and_lost
from selection_platform.report.page import Report
from tests.report.frames import CELL, DIFFERENCES, EVIL, HOSTILE, PICKS, data
from tests.report.test_page import Elements
from tests.report.test_sections import section, texts


@pytest.fixture
def made():
    return replace(data(items_won_and_lost=counted(DIFFERENCES)), picks=PICKS, items=won_and_lost(DIFFERENCES))


def test_items_are_won_and_lost_by_more_than_rounding(made):
    assert made.items.drop("model", "pool", "budget").rows() == [
        ("ifd", "gsm8k", "gsm8k", "g1", "won", 100.0),
        ("ifd", "gsm8k", "gsm8k", "g2", "lost", -50.0),
        ("ifd", "mmlu", "mmlu_law", "m2", "won", 50.0),
    ]
    (table,) = section("items", made).tables
    assert table.header == ["arm", "items", "won", "lost", "gsm8k", "mmlu"]
    assert texts(table) == [["base", "1", "0", "0", "", "0 : 0"], ["ifd", "4", "2", "1", "1 : 1", "1 : 0"]]


def test_each_arm_has_a_page_with_its_verdicts_items_and_first_picks(made):
    base, random, ifd = arm_pages(made)
    assert [page.file for page in (base, random, ifd)] == ["arms/base.html", "arms/random.html", "arms/ifd.html"]
    assert base.items_file is None
    assert base.cells[0].said == ["It is not trained, and picks nothing."]
    assert random.cells[0].said[0] == "The first 1 of its draw, with seed 0. Long texts are cut."
    (cell,) = ifd.cells
    verdicts, items = cell.tables
    assert texts(verdicts)[0][:2] == ["average of the benchmarks", "not enough seeds"]
    assert texts(items) == [["gsm8k", "2", "1", "1"], ["mmlu", "2", "1", "0"]]
    assert cell.said[0] == "Its first 2 picks, the best on top, with seed 0. Long texts are cut."
    first, second = cell.picks
    assert (first.facts, second.facts) == (
        f"source {EVIL} · licence CC0",
        "source not stated · no licence stated",
    )
    assert (len(first.messages), first.left) == (6, 1)
    assert (len(first.messages[1].text), first.messages[1].left) == (MOST_CHARACTERS, 1500 - MOST_CHARACTERS)


def test_a_text_without_a_stated_licence_is_not_shown_and_the_page_says_so(made):
    _, _, ifd = arm_pages(made)
    assert ifd.cells[0].picks[1].messages == []
    assert ifd.cells[0].said[1].startswith("No licence is stated for 1 of them, so their texts are not shown here")


def test_texts_can_neither_inject_nor_turn_the_page(made):
    _, _, ifd = arm_pages(made)
    page = Report(made).html_of(ifd)
    assert [tag for tag, _ in Elements(page).found if tag in ("script", "img")] == []
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\ufffd[2J gnp.exe" in page
    assert not set(page) & set("\x1b\u202e")
    assert "<code>selection-platform explain ID</code>" in page


def test_a_cell_without_a_model_is_named_without_one(made):
    of_pool = PICKS.with_columns(pl.lit(None, pl.String).alias("model"))
    _, ifd = arm_pages(replace(data(), picks=of_pool))
    assert ifd.cells[0].name == f"{CELL.pool} · 10"


def test_other_picks_make_another_report(made):
    assert Report(replace(made, picks=PICKS.head(1))).identity != Report(made).identity
    assert Report(replace(made, items=made.items.head(1))).identity != Report(made).identity


def test_an_item_of_two_subsets_is_a_row_of_each():
    twice = DIFFERENCES.head(1).with_columns(pl.lit("gsm8k_more").alias("task"))
    rows = won_and_lost(pl.concat([DIFFERENCES.head(1), twice]))
    assert rows.select("task", "item_id").rows() == [("gsm8k", "g1"), ("gsm8k_more", "g1")]
