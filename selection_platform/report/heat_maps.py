"""Heat maps of shares: the overlap of selections, and how selections differ from the pool."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from selection_platform.report.cells import methods_in_order
from selection_platform.report.style import DIVERGING, SEQUENTIAL, WIDTH, drawing, hover

MOST_VALUES = 8
"""Most columns of a trait's heat map; rarer values share one column."""
LONGEST = 18
"""Most characters of a value's name."""
AXES = {
    "length": "characters of the conversation, by fifths of the pool",
    "turns": "turns",
    "source": "source, the most frequent in the pool first",
    "cluster": "k-means cluster, the largest in the pool first",
}
QUESTIONS = {
    "length": "Long conversations or short ones?",
    "turns": "One turn or several?",
    "source": "Which sources?",
    "cluster": "Which topics?",
}


def overlap_plot(overlap: pl.DataFrame, about: str) -> Figure:
    """Draw the overlap of each pair of methods.

    Args:
        overlap: columns `one`, `other`, `shared`, `budget`, `by_chance` of one cell; not empty.
        about: name of the cell.
    """
    methods = methods_in_order([*overlap["one"], *overlap["other"]])
    shares = np.full((len(methods), len(methods)), np.nan)
    for one, other, shared, budget in overlap.select("one", "other", "shared", "budget").iter_rows():
        first, second = sorted((methods.index(one), methods.index(other)))
        shares[second, first] = shared / budget
    by_chance = overlap["by_chance"][0] / overlap["budget"][0]
    side = 1.7 + 0.28 * len(methods)
    agreed = f"Which methods agree? Two random draws share {by_chance:.0%}"
    with drawing(agreed, about, max(2, side - 0.6), max(WIDTH, side + 0.6)) as (figure, axes):
        _draw(axes, shares[1:, :-1], SEQUENTIAL, (0, 1), lambda share: f"{100 * share:.0f}")
        for (row, column), share in np.ndenumerate(shares[1:, :-1]):
            if not np.isnan(share):
                hover(axes, f"{methods[row + 1]} and {methods[column]}: {share:.1%} in common", column, row)
        _label(axes, methods[1:], methods[:-1])
        figure.supxlabel("samples in common, in percent of a selection", fontsize=9)
    return figure


def trait_plot(profile: pl.DataFrame, trait: str, about: str) -> Figure:
    """Draw the values of a trait that each method selects more or less often than their share of the pool.

    Args:
        profile: columns `method`, `place`, `value`, `share`, `pool_share` of one trait in one cell; at least one row.
        trait: name of the trait.
        about: name of the cell.
    """
    methods = methods_in_order(profile["method"])
    rows = [profile.filter(pl.col("method") == method).sort("place") for method in methods]
    names = [shortened(name) for name in rows[0]["value"]]
    pool = _gathered(rows[0]["pool_share"].to_numpy())
    shares = np.stack([_gathered(row["share"].to_numpy()) for row in rows])
    if len(names) > MOST_VALUES:
        names = [*names[: MOST_VALUES - 1], f"{len(names) - MOST_VALUES + 1} others"]
    most = max(0.1, float(np.abs(shares - pool).max()))
    with drawing(QUESTIONS[trait], about, 1.1 + 0.2 * (len(methods) + 1)) as (figure, axes):
        differences = np.vstack([np.zeros_like(pool), shares - pool])
        texts = np.vstack([pool, shares])
        _draw(axes, differences, DIVERGING, (-most, most), lambda share: f"{100 * share:.0f}", texts)
        for (row, column), share in np.ndenumerate(texts):
            named = ["the pool", *methods][row]
            hover(axes, f"{named}, {names[column]}: {share:.1%} (the pool {pool[column]:.1%})", column, row)
        _label(axes, ["the pool", *methods], names)
        axes.axhline(1, color="#333333", lw=1)
        figure.supxlabel(AXES[trait], fontsize=9)
    return figure


def shortened(name: str) -> str:
    """A name, cut to fit below a column."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _gathered(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(shares) <= MOST_VALUES:
        return shares
    return np.append(shares[: MOST_VALUES - 1], shares[MOST_VALUES - 1 :].sum())


def _draw(
    axes: Axes,
    values: NDArray[np.float64],
    colours: LinearSegmentedColormap,
    limits: tuple[float, float],
    text: Callable[[float], str],
    shown: NDArray[np.float64] | None = None,
) -> None:
    """Draw cells in colours, each with its number, the first row on top."""
    axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=colours, vmin=limits[0], vmax=limits[1], edgecolors="white", lw=1
    )
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        number = float(value if shown is None else shown[row, column])
        label = axes.text(column + 0.5, row + 0.5, text(number), ha="center", va="center", color="black", fontsize=8)
        # There are hundreds of labels, all inside the axes, so the layout does not need to measure them.
        label.set_in_layout(False)
    axes.invert_yaxis()


def _label(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    longest = max(map(len, columns), default=0)
    slanted = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if longest > 3 else {}
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, **slanted)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
