"""A figure of the effect of picking the best of each k-means cluster."""

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from selection_platform.report.style import BLACK, BLUE, GREY, ORANGE, PALE, drawing, hover_row
from selection_platform.verdict.words import digits_of, signed, unit_of


def ablation_plot(ablation: pl.DataFrame, about: str, visible: float | None) -> Figure:
    """Draw each method's gain from clusters.

    Args:
        ablation: rows of `reports.diversity_ablation` for one measure in one cell; at least one.
        about: name of the cell.
        visible: the difference that 95% of pairs of random runs stay below; None if it is not known.
    """
    measure = ablation["measure"][0]
    digits = digits_of(measure)
    gains = [round(gain, digits) for gain in ablation["gain"]]
    with drawing(gain_finding(ablation), about, 0.8 + 0.24 * len(gains)) as (figure, axes):
        if visible is not None:
            axes.axvspan(-visible, visible, color=PALE, lw=0)
        axes.axvline(0, color=BLACK, lw=0.8)
        for place, (method, gain) in enumerate(zip(ablation["method"], gains, strict=True)):
            hover_row(axes, f"{method}: {signed(gain, digits)} with clusters", place)
            colour, marker = (BLUE, ">") if gain > 0 else (ORANGE, "<") if gain < 0 else (GREY, "o")
            axes.plot([0, gain], [place, place], "-", color=colour, lw=1.6)
            axes.plot([gain], [place], marker, color=colour, ms=6)
            axes.annotate(
                signed(gain, digits), (gain, place), xytext=(8 if gain >= 0 else -8, 0),
                textcoords="offset points", ha="left" if gain >= 0 else "right", va="center", fontsize=8.5,
            )  # fmt: skip
        axes.set_yticks(range(len(gains)), ablation["method"].to_list())
        axes.set_ylim(len(gains) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.2)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        figure.supxlabel(f"gain from clusters, {unit_of(measure)}; right is better", fontsize=9)
    return figure


def gain_finding(ablation: pl.DataFrame) -> str:
    """The number of methods that do better with clusters, from the rounded gains."""
    digits = digits_of(ablation["measure"][0])
    better = sum(round(gain, digits) > 0 for gain in ablation["gain"])
    return f"With clusters, {better} of {len(ablation)} methods do better"
