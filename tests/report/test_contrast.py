"""Colours of the page and of its figures, on light and dark screens, by WCAG 2.2 level AA."""

import re
from importlib.resources import files
from itertools import product

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from selection_platform.report.style import BLACK, BLUE, DIVERGING, GREEN, GREY, RED, SEQUENTIAL

CSS = files("selection_platform.report").joinpath("page.css").read_text(encoding="utf-8")
TEXT, GRAPHIC = 4.5, 3
ON = {
    "text": ("paper", "shade", "same-arm", "warning"),
    **dict.fromkeys(("quiet", "link", "better", "worse", "same"), ("paper", "shade", "same-arm")),
}
WRITTEN = (BLACK, "#333333", "#444444")
"""Colours of texts in figures."""


def palette(scheme):
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.S)
    return dict(re.findall(r"--([\w-]+): (#\w+)", blocks[("light", "dark").index(scheme)]))


def luminance(colour):
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one, other):
    low, high = sorted((luminance(to_rgb(one)), luminance(to_rgb(other))))
    return (high + 0.05) / (low + 0.05)


def turned_over(colour):
    """A figure's colour on a dark screen: what the filter of `page.css` makes of it (W3C Filter Effects)."""
    ((amount, degrees),) = re.findall(r"invert\(([\d.]+)\) hue-rotate\((\d+)deg\)", CSS)
    inverted = np.array(to_rgb(colour)) * (1 - 2 * float(amount)) + float(amount)
    cos, sin = np.cos(np.radians(float(degrees))), np.sin(np.radians(float(degrees)))
    grey = np.tile([0.213, 0.715, 0.072], (3, 1))
    turn = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
    return tuple(np.clip((grey + cos * (np.eye(3) - grey) + sin * turn) @ inverted, 0, 1))


def test_contrast_is_that_of_wcag():
    assert contrast("#000", "#fff") == pytest.approx(21)
    # The lightest grey that is AA on white.
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_of_the_page_can_be_read(scheme):
    colours = palette(scheme)
    found = {(name, on): contrast(colours[name], colours[on]) for name, grounds in ON.items() for on in grounds}
    assert {pair: ratio for pair, ratio in found.items() if ratio < TEXT} == {}


@pytest.mark.parametrize("turn", [to_rgb, turned_over])
def test_texts_and_marks_of_figures_can_be_seen(turn):
    white = turn("#ffffff")
    assert [each for each in WRITTEN if contrast(turn(each), white) < TEXT] == []
    assert [each for each in (GREEN, RED, BLUE, GREY) if contrast(turn(each), white) < GRAPHIC] == []


def test_a_white_figure_has_the_dark_pages_colour():
    assert contrast(turned_over("#ffffff"), palette("dark")["paper"]) < 1.01


@pytest.mark.parametrize("turn", [to_rgb, turned_over])
def test_numbers_in_heat_maps_can_be_read(turn):
    places = np.linspace(0, 1, 101)
    grounds = [colours(place)[:3] for colours, place in product((SEQUENTIAL, DIVERGING), places)]
    ratios = [contrast(turn(BLACK), turn(ground)) for ground in grounds]
    assert min(ratios) >= TEXT
