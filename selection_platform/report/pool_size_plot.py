"""A figure of how methods do as the pool grows, and where random selection catches up with them."""

from collections.abc import Iterable

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from selection_platform.report.cells import methods_in_order
from selection_platform.report.style import BLACK, HOVER, LINES, PALE, drawing
from selection_platform.verdict.statistics import compare, interval_of_one_run, spread_of
from selection_platform.verdict.verdicts import LOSS, RANDOM
from selection_platform.verdict.words import digits_of

STILL = "still above random at"


def beside_each_size(curve: pl.DataFrame) -> pl.DataFrame:
    """Rows of arms without a budget, which take the whole pool, repeated for each budget."""
    whole = curve.filter(pl.col("budget").is_null()).drop("budget")
    sized = curve.filter(pl.col("budget").is_not_null())
    keys = ["measure", "model", "pool"]
    beside = whole.join(sized.select([*keys, "budget"]).unique(maintain_order=True), on=keys)
    return pl.concat([sized, beside.select(sized.columns)])


def catching_up(curve: pl.DataFrame) -> dict[str, str]:
    """For each method, a text with the pool size from which it is no longer above random.

    A method is above random if its single run is above the interval of one new random run, or if the interval of the
    difference of means is above 0.

    Args:
        curve: rows of `reports.pool_size_curve` for one measure, model, pool and budget.
    """
    random = _random(curve)
    known = bool(random) and spread_of(random) is not None
    sentences = {}
    for method, sizes in _by_size(curve).items():
        above = {
            size: known and (compare(values, random, higher_is_better=not _is_loss(curve)).low or 0) > 0
            for size, values in sizes.items()
        }
        sentences[method] = _in_words(above, known=known)
    return sentences


def _in_words(above: dict[int, bool], *, known: bool) -> str:
    if not known:
        return "not known: there are too few random runs, or all are equal"
    last = max((size for size, is_above in above.items() if is_above), default=None)
    if last is None:
        return "not above random at any size"
    later = [size for size in above if size > last]
    return f"random has caught up at {min(later):,}" if later else f"{STILL} {last:,}"


def pool_size_plot(curve: pl.DataFrame, about: str) -> Figure:
    """Draw each method's mean by the size of its pool, with random runs as a band.

    Args:
        curve: rows of `reports.pool_size_curve` for one measure, model, pool and budget; at least one.
        about: name of the cell.
    """
    random = _random(curve)
    by_size = _by_size(curve)
    still = sum(text.startswith(STILL) for text in catching_up(curve).values())
    said = f"{still} of {len(by_size)} methods above random with the whole pool"
    digits = digits_of(curve["measure"][0])
    with drawing(said, about, 2.9 + 0.16 * ((len(by_size) + 2) // 2)) as (figure, axes):
        if random:
            half = interval_of_one_run(spread_of(random), len(random)) or 0
            mean = sum(random) / len(random)
            axes.axhspan(mean - half, mean + half, color=PALE, lw=0)
            axes.axhline(mean, color=BLACK, lw=0.9, label="random, with 95% of new runs")
        for (method, sizes), (colour, marker, line) in zip(by_size.items(), _repeated(len(by_size)), strict=True):
            means = [sum(values) / len(values) for values in sizes.values()]
            axes.plot(list(sizes), means, line, marker=marker, color=colour, ms=4.5, lw=1.3, label=method)
            for size, mean in zip(sizes, means, strict=True):
                # An invisible area around the point.
                text = f"{HOVER}{method}, {size:,} to select from: {mean:.{digits}f}"
                axes.plot([size], [mean], "o", ms=14, alpha=0, gid=text)
        ticks = sorted({size for sizes in by_size.values() for size in sizes})
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{size:,}" for size in ticks]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("conversations to select from")
        axes.set_ylabel("bits per byte; lower is better" if _is_loss(curve) else "percent; higher is better")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def _is_loss(curve: pl.DataFrame) -> bool:
    return curve["measure"][0] == LOSS


def _random(curve: pl.DataFrame) -> list[float]:
    """Values of the random runs, from the whole pool: a random draw from a random part is also a random draw."""
    return curve.filter(pl.col("method") == RANDOM)["value"].to_list()


def _by_size(curve: pl.DataFrame) -> dict[str, dict[int, list[float]]]:
    """Values of the runs of other methods by pool size, the smallest first."""
    values: dict[str, dict[int, list[float]]] = {}
    for method, size, value in curve.sort("pool_size").select("method", "pool_size", "value").iter_rows():
        if method != RANDOM:
            values.setdefault(method, {}).setdefault(size, []).append(value)
    return {method: values[method] for method in methods_in_order(values)}


def _repeated(count: int) -> Iterable[tuple[str, str, str]]:
    return (LINES[index % len(LINES)] for index in range(count))
