"""A figure of each arm's difference from random selection, with the interval of new random runs."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from selection_platform.report.cells import in_order
from selection_platform.report.style import BLACK, PALE, VERDICTS, drawing, hover_row
from selection_platform.verdict.statistics import interval_of_one_run
from selection_platform.verdict.verdicts import BASE, CONTROLS, LOSS, Verdict
from selection_platform.verdict.words import cell_name, count, digits_of, interval_text, measure_name, signed, unit_of

REFERENCES = CONTROLS
"""Arms that select nothing. They do not answer the question, but serve as references for other arms."""


def interval_plot(verdicts: Sequence[Verdict], random: Sequence[float]) -> Figure:
    """Draw the arms of one cell on one measure, with the references and the random runs on top.

    Args:
        verdicts: the verdicts, at least one.
        random: values of the random runs.
    """
    arms = in_order(verdicts, lambda each: each.method)
    others = [each for each in arms if each.method in REFERENCES]
    chosen = [each for each in arms if each.method not in REFERENCES]
    names = [*(each.method for each in others), "random", *(each.method for each in chosen)]
    about = f"{measure_name(verdicts[0].measure)}, {cell_name(verdicts[0].cell)}"
    with drawing(finding(chosen), about, 0.75 + 0.2 * len(names)) as (figure, axes):
        half = interval_of_one_run(verdicts[0].comparison.spread, len(random))
        if half is not None:
            axes.axvspan(-half, half, color=PALE, lw=0)
        axes.axvline(0, color=BLACK, lw=0.8)
        sign = -1 if verdicts[0].measure == LOSS else 1
        mean = sum(random) / len(random)
        axes.plot(
            [sign * (value - mean) for value in random], [len(others)] * len(random), "|", color=BLACK, ms=9, mew=1.5
        )
        hover_row(axes, f"random: {len(random)} runs, mean {mean:.{digits_of(verdicts[0].measure)}f}", len(others))
        for each in arms:
            _draw_arm(axes, names.index(each.method), each)
            hover_row(axes, _in_words(each), names.index(each.method))
        axes.axhline(len(others) + 0.5, color=PALE, lw=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        figure.supxlabel(f"difference from random, {unit_of(verdicts[0].measure)}; right is better", fontsize=9)
    return figure


def finding(chosen: Sequence[Verdict]) -> str:
    """A summary of the verdicts on methods."""
    words = (("better", "better than random"), ("worse", "worse"), ("same", "the same"), ("not enough seeds", "open"))
    counted = [f"{count(chosen, word)} {text}" for word, text in words if word == "better" or count(chosen, word)]
    return f"Of {len(chosen)} methods, {', '.join(counted)}"


def _in_words(each: Verdict) -> str:
    """An arm's verdict and its numbers, as text."""
    numbers, digits = each.comparison, digits_of(each.measure)
    interval = interval_text(numbers.low, numbers.high, digits) or "interval not known"
    return f"{each.method}: {each.word}, {signed(numbers.difference, digits)} ({interval})"


def _draw_arm(axes: Axes, place: int, each: Verdict) -> None:
    _, marker, colour = VERDICTS[each.word]
    numbers = each.comparison
    if (numbers.arm_runs > 1 or each.method == BASE) and numbers.low is not None and numbers.high is not None:
        axes.plot([numbers.low, numbers.high], [place, place], "-", color=colour, lw=1.4, solid_capstyle="butt")
    filled = "white" if each.word == "not enough seeds" else colour
    axes.plot([numbers.difference], [place], marker, color=colour, markerfacecolor=filled, ms=6, mew=1.4)
