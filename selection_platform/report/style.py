"""The style of figures, and their output as SVG for the page and as PNG files.

The colours are those of Okabe and Ito, which people with any colour vision can tell apart. Each has its own marker or
hatch, so that no information depends on colour alone.
"""

import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from selection_platform.verdict.statistics import Word

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
GREY, PALE = "#767676", "#e4e7ea"
LINES = [
    (colour, marker, line)
    for line in ("-", "--", ":")
    for colour, marker in zip(
        (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK), ("o", "s", "^", "D", "v", "P", "X"), strict=True
    )
]
"""Colour, marker and dash of each line; they repeat after 21 lines."""

VERDICTS: dict[Word, tuple[str, str, str]] = {
    "better": ("▲", "^", GREEN),
    "worse": ("▼", "v", RED),
    "same": ("=", "s", BLUE),
    "not enough seeds": ("?", "o", GREY),
}
"""The sign of each verdict in texts, and its marker and colour in figures."""

# Pale enough that black numbers are readable on all of them, and that inverted colours work on a dark screen.
SEQUENTIAL = LinearSegmentedColormap.from_list("share", ["#ffffff", "#67bceb"])
DIVERGING = LinearSegmentedColormap.from_list("difference", ["#e69e66", "#ffffff", "#70b0d4"])

WIDTH = 4.6
"""Width of a figure in inches. It fits a phone with text of a readable size."""
LEAST = 0.75
"""Share of its size to which a narrow screen may shrink a figure; beyond that it scrolls."""
LINE = 0.18
"""Height of a title line, in inches."""
HOVER = "hover: "
"""Beginning of the SVG id of an area with hover text. The rest of the id is the text."""
SMALL_PNG = 50_000
"""Most bytes of a picture in Dagster's event log."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "figure.facecolor": "#ffffff",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    # Dollar signs in names are not formulas.
    "text.parse_math": False,
    # Keep text as text, so that it can be searched and uses the page's fonts.
    "svg.fonttype": "none",
    # Give the same bytes for the same figure.
    "svg.hashsalt": "selection-platform",
}


@contextmanager
def drawing(finding: str, about: str, height: float, width: float = WIDTH) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes, to draw on inside the block.

    Args:
        finding: first title: the finding, or the question that it answers.
        about: second title: the subject, such as the model and the pool.
        height: height of everything below the titles, in inches.
        width: width in inches.
    """
    titles = textwrap.wrap(finding, int(12 * width)), textwrap.wrap(about, int(14 * width))
    above = 0.1 + LINE * sum(map(len, titles))
    whole = height + above
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, whole))
        layout = ConstrainedLayoutEngine(rect=(0, 0, 1, height / whole))
        figure.set_layout_engine(layout)
        top = 1 - 0.06 / whole
        for lines, style in zip(
            titles, ({"weight": "bold", "size": 9.5}, {"color": "#444444", "size": 8.5}), strict=True
        ):
            for line in lines:
                figure.text(0.06 / width, top, line, va="top", **style)
                top -= LINE / whole
        yield figure, figure.add_subplot()
        # Compute the layout once, not for each file.
        layout.execute(figure)
        figure.set_layout_engine("none")


def hover(axes: Axes, text: str, left: float, top: float, width: float = 1, height: float = 1) -> None:
    """Add hover text to an area. The area is invisible and does not change the layout.

    Args:
        axes: the axes.
        text: the hover text.
        left: left edge, in data coordinates.
        top: top edge, in data coordinates.
        width: width, in data coordinates.
        height: height, in data coordinates.
    """
    _mark(Rectangle((left, top), width, height), axes, text)


def hover_row(axes: Axes, text: str, place: float) -> None:
    """Add hover text to the row of height 1 around a place, including its label."""
    row = Rectangle((-1, place - 0.5), 2, 1, transform=axes.get_yaxis_transform())
    _mark(row, axes, text)


def _mark(area: Rectangle, axes: Axes, text: str) -> None:
    area.set(alpha=0, linewidth=0, zorder=10, gid=f"{HOVER}{text}", in_layout=False)
    # Added as an artist: a patch would move the limits of the axes.
    axes.add_artist(area)
    area.set_clip_on(False)


def svg(figure: Figure, name: str, alternative: str) -> str:
    """The figure as an SVG element for a page with several figures.

    Args:
        figure: the figure.
        name: its unique name on the page; the ids of its elements begin with it.
        alternative: its content as text, for readers who cannot see it.
    """
    file = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    # Remove comments, which repeat each text.
    text = re.sub(r"<!--.*?-->\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(f'<g id="{HOVER}(.*?)">', r'<g class="hover"><title>\1</title>', text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    # A hundredth of a point is precise enough for coordinates. Texts are outside the tags and stay unchanged.
    text = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), text)
    pixels = figure.get_figwidth() * 96
    opening = re.sub(r' (width|height)="[^"]*"', "", text[: text.index(">")])
    label = alternative.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    size = f"width:{pixels:.0f}px;min-width:{LEAST * pixels:.0f}px"
    return f'{opening} role="img" aria-label="{label}" style="{size}">{text[text.index(">") + 1 :].strip()}'


def png(figure: Figure, dots: int = 144) -> bytes:
    """The figure as a PNG file.

    Args:
        figure: the figure.
        dots: dots per inch.
    """
    file = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(file, format="png", dpi=dots, metadata={"Software": None})
    return file.getvalue()


def small_png(figure: Figure) -> bytes | None:
    """The figure as a PNG file of at most SMALL_PNG bytes; None if it is too large."""
    files = (png(figure, dots) for dots in (80, 56))
    return next((file for file in files if len(file) <= SMALL_PNG), None)
