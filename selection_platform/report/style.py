"""How figures look, and how they become SVG for the page and PNG files.

Colours are those of Okabe and Ito, which people with any colour vision tell apart; each comes with a marker or a hatch
of its own, so that nothing rests on colour alone.
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
"""Colour, marker and dash of each line; they come back after 21."""

VERDICTS: dict[Word, tuple[str, str, str]] = {
    "better": ("▲", "^", GREEN),
    "worse": ("▼", "v", RED),
    "same": ("=", "s", BLUE),
    "not enough seeds": ("?", "o", GREY),
}
"""Each verdict's sign in texts, its marker and its colour in figures."""

# So pale that black numbers can be read on all of them, and what becomes of them on a dark screen.
SEQUENTIAL = LinearSegmentedColormap.from_list("share", ["#ffffff", "#67bceb"])
DIVERGING = LinearSegmentedColormap.from_list("difference", ["#e69e66", "#ffffff", "#70b0d4"])

WIDTH = 4.6
"""Inches. A phone shows it whole, and the text is then still of a readable size."""
LEAST = 0.75
"""Share of its size to which a narrow screen may shrink a figure; a wider one is scrolled."""
LINE = 0.18
"""Height of a line of a title, in inches."""
HOVER = "hover: "
"""Beginning of the SVG id of an area whose rest is what the page shows where a mouse rests on it."""
SMALL_PNG = 50_000
"""Bytes that a picture may have in Dagster's event log."""

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
    # A name with dollar signs is a name.
    "text.parse_math": False,
    # Text stays text: it can be searched, and the page's own fonts are used.
    "svg.fonttype": "none",
    # The same figure gives the same bytes.
    "svg.hashsalt": "selection-platform",
}


@contextmanager
def drawing(finding: str, about: str, height: float, width: float = WIDTH) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes, to draw on within the block.

    Args:
        finding: what it says, or the question that it answers.
        about: what it is about, such as the model and the pool.
        height: of all below these two, in inches.
        width: in inches.
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
        # Once, and not again for each file.
        layout.execute(figure)
        figure.set_layout_engine("none")


def hover(axes: Axes, text: str, left: float, top: float, width: float = 1, height: float = 1) -> None:
    """Mark an area that says something where a mouse rests on it. It is not seen, and takes no room.

    Args:
        axes: to mark.
        text: what it says.
        left: edge, in the axes' data.
        top: edge, likewise.
        width: in the axes' data.
        height: likewise.
    """
    _mark(Rectangle((left, top), width, height), axes, text)


def hover_row(axes: Axes, text: str, place: float) -> None:
    """Mark the row of height 1 around a place, with its label, as `hover` does."""
    row = Rectangle((-1, place - 0.5), 2, 1, transform=axes.get_yaxis_transform())
    _mark(row, axes, text)


def _mark(area: Rectangle, axes: Axes, text: str) -> None:
    area.set(alpha=0, linewidth=0, zorder=10, gid=f"{HOVER}{text}", in_layout=False)
    # Added as an artist: a patch would move the limits of the axes.
    axes.add_artist(area)
    area.set_clip_on(False)


def svg(figure: Figure, name: str, alternative: str) -> str:
    """The figure as an SVG element for a page that holds others.

    Args:
        figure: to draw.
        name: its own among those of the page; its elements' ids begin with it.
        alternative: what it says, in words, for readers who cannot see it.
    """
    file = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    # The comments repeat each text.
    text = re.sub(r"<!--.*?-->\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(f'<g id="{HOVER}(.*?)">', r'<g class="hover"><title>\1</title>', text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    # A hundredth of a point is enough to place things; what texts say is outside the tags, and stays.
    text = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), text)
    pixels = figure.get_figwidth() * 96
    opening = re.sub(r' (width|height)="[^"]*"', "", text[: text.index(">")])
    label = alternative.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    size = f"width:{pixels:.0f}px;min-width:{LEAST * pixels:.0f}px"
    return f'{opening} role="img" aria-label="{label}" style="{size}">{text[text.index(">") + 1 :].strip()}'


def png(figure: Figure, dots: int = 144) -> bytes:
    """The figure as a PNG file.

    Args:
        figure: to draw.
        dots: for each inch.
    """
    file = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(file, format="png", dpi=dots, metadata={"Software": None})
    return file.getvalue()


def small_png(figure: Figure) -> bytes | None:
    """The figure as a PNG file of at most SMALL_PNG bytes; None where it has too much in it."""
    files = (png(figure, dots) for dots in (80, 56))
    return next((file for file in files if len(file) <= SMALL_PNG), None)
