"""Sections of what was measured: how far random runs vary, the leaderboard, benchmarks, and the paper's numbers."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from selection_platform.report.answer import NO_RANDOM, span
from selection_platform.report.cells import (
    MOST_CELLS,
    MOST_COLUMNS,
    cells_of,
    left_out,
    means_of,
    methods_in_order,
    random_values,
    spreads,
    word_columns,
    words_of,
)
from selection_platform.report.data import Margins
from selection_platform.report.parts import Section, Table, TableCell, cells
from selection_platform.report.signal import signal_in_words, signal_of, signal_table
from selection_platform.text.tables import ranks
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.statistics import Word, interval_of_one_run, seeds_to_see
from selection_platform.verdict.tables import verdicts_of
from selection_platform.verdict.verdicts import LOSS, Verdict
from selection_platform.verdict.words import (
    SHOWN,
    cell_name,
    digits_of,
    measure_name,
    shown_measures,
    signed,
)


def trust(margins: Margins, runs: Sequence[Run], found: Sequence[Verdict]) -> Section:
    """How far random runs vary, for each cell."""
    rows = []
    for measure in shown_measures(found):
        digits, margin = digits_of(measure), margins.of(measure)
        for cell, spread in spreads(found, measure).items():
            values = random_values(runs, measure, cell)
            half = interval_of_one_run(spread, len(values))
            compared = compared_with(found, measure)
            needed = [seeds_to_see(margin, spread, number) for number in (1, compared)] if spread is not None else []
            seeds = ", ".join(f"{each or 'over 1,000'}" for each in needed) or "not known"
            rows.append(
                cells(
                    cell_name(cell),
                    measure_name(measure),
                    f"{len(values)}",
                    f"{sum(values) / len(values):.{digits}f}",
                    "" if spread is None else f"{spread:.{digits}f}",
                    "not known" if half is None else f"{half:.{digits}f}",
                    f"{seeds} for {margin:g}",
                )
            )
    header = [
        "model · pool · samples", "measure", "random runs", "mean", "standard deviation", "seen half the time",
        "seeds of each arm needed: one comparison, all",
    ]  # fmt: skip
    paragraphs = [
        "A run's number depends on its seed: of the draw and of the training. Random runs show by how much. One "
        "run of a method is held against the interval in which one new random run would lie (Student's t, 95%), "
        "several by the difference of means. What lies within cannot be told from luck, whatever its sign. A "
        "true difference as large as half that interval is seen half the time. Seeds are those with which a difference "
        "of the margin is seen four times in five: of one comparison by itself, and of all together.",
    ]
    if not rows:
        return Section("trust", "How far can this be trusted?", [NO_RANDOM])
    return Section(
        "trust",
        "How far can this be trusted?",
        paragraphs,
        [Table("Random runs", header, rows, word_columns(1), arms=None)],
    )


def compared_with(found: Sequence[Verdict], measure: str) -> int:
    """How many comparisons of methods on a measure are looked at together."""
    of_measure = [each.comparison.compared for each in found if each.measure == measure and each.family == "method"]
    return max((compared for compared in of_measure if compared), default=1)


def leaderboard(runs: Sequence[Run], found: Sequence[Verdict]) -> Section:
    """Means over seeds, best and second marked, with the verdict's sign."""
    words = words_of(found)
    tables = [
        table
        for measure in SHOWN
        for table in _mean_tables([run for run in runs if run.measure == measure], measure, words)
    ]
    paragraphs = [
        "The mean over the seeds of each arm, and how many there are. The sign behind it is the verdict against "
        "random selection. The average is in percent (higher is better), the held-out loss in bits per byte (lower "
        "is better).",
    ]
    return Section("leaderboard", "Leaderboard", paragraphs, tables, file="leaderboard.csv", arm_pages=True)


def _mean_tables(runs: Sequence[Run], measure: str, words: Mapping[tuple[str, Cell, str], Word]) -> Iterator[Table]:
    columns = list(dict.fromkeys(run.cell for run in runs))
    methods = methods_in_order(run.method for run in runs)
    for start in range(0, len(columns), MOST_COLUMNS):
        shown = columns[start : start + MOST_COLUMNS]
        means = {cell: means_of([run for run in runs if run.cell == cell]) for cell in shown}
        marks = {
            cell: ranks({name: mean for name, (mean, _) in of_cell.items()}, higher_is_better=measure != LOSS)
            for cell, of_cell in means.items()
        }
        rows = []
        for method in methods:
            counts = [means[cell][method][1] for cell in shown if method in means[cell]]
            row = [TableCell(method), TableCell(span(counts) if counts else "0")]
            for cell in shown:
                text = f"{means[cell][method][0]:.{digits_of(measure)}f}" if method in means[cell] else ""
                row.append(TableCell(text, marks[cell].get(method), verdict=words.get((measure, cell, method))))
            rows.append(row)
        header = ["arm", "seeds", *(cell_name(cell) for cell in shown)]
        name = measure_name(measure).capitalize()
        part = f", {start + 1} to {start + len(shown)} of {len(columns)} columns" if len(columns) > MOST_COLUMNS else ""
        yield Table(f"{name}{part}", header, rows)


def benchmarks(runs: Sequence[Run], found: Sequence[Verdict]) -> Section:
    """Each benchmark's means, for each cell."""
    title = "Benchmark by benchmark"
    names = sorted({run.measure for run in runs} - set(SHOWN))
    if not names:
        return Section("benchmarks", title, ["There are no numbers of single benchmarks."])
    words = words_of(found)
    columns = list(dict.fromkeys(run.cell for run in runs if run.measure in names))
    tables = []
    for cell in columns[:MOST_CELLS]:
        of_cell = [run for run in runs if run.cell == cell]
        means = {name: means_of([run for run in of_cell if run.measure == name]) for name in names}
        marks = {
            name: ranks({method: mean for method, (mean, _) in means[name].items()}, higher_is_better=True)
            for name in names
        }
        rows = []
        for method in methods_in_order(run.method for run in of_cell):
            row = [TableCell(method)]
            for name in names:
                mean, _ = means[name].get(method, (None, 0))
                text = "" if mean is None else f"{mean:.2f}"
                row.append(TableCell(text, marks[name].get(method), verdict=words.get((name, cell, method))))
            rows.append(row)
        tables.append(Table(cell_name(cell), ["arm", *names], rows, cell=cell_name(cell)))
    paragraphs = [
        "In percent, higher is better; means over seeds. The signs are exploratory, but for the measure that answers.",
        *left_out(len(columns)),
    ]
    measured = {name: signal_of(name, runs, found) for name in names}
    signals = {name: signal for name, signal in measured.items() if signal is not None}
    if signals:
        paragraphs.append(signal_in_words(signals))
        tables.append(signal_table(signals))
    return Section("benchmarks", title, paragraphs, tables, file="leaderboard.csv")


def paper(published: pl.DataFrame | None, found: Sequence[Verdict]) -> Section:
    """The paper's differences from random beside ours, for the arms that both have."""
    title = "Beside the paper"
    ours = [each for each in found if each.measure == AVERAGE]
    theirs = [] if published is None else verdicts_of(published)
    methods = methods_in_order({each.method for each in ours} & {each.method for each in theirs})
    if not methods:
        return Section("paper", title, ["No arm here has a number in the paper."])
    columns = [("ours", cell) for cell in cells_of(ours)] + [("paper", cell) for cell in cells_of(theirs)]
    words = {("ours", each.cell, each.method): each for each in ours}
    words |= {("paper", each.cell, each.method): each for each in theirs}
    tables = []
    for start in range(0, len(columns), MOST_COLUMNS):
        shown = columns[start : start + MOST_COLUMNS]
        rows = [
            [TableCell(method), *(_difference(words.get((whose, cell, method))) for whose, cell in shown)]
            for method in methods
        ]
        header = ["arm", *(f"{whose}: {cell_name(cell)}" for whose, cell in shown)]
        tables.append(Table("Difference from random", header, rows))
    paragraphs = [
        "Each arm's average less the mean of the random runs beside it, in percentage points, with its verdict. "
        "The paper's (arXiv 2410.09335) were put through the same code. Models, pools and benchmark items are "
        "others, so only the signs and the order can be compared.",
    ]
    return Section("paper", title, paragraphs, tables)


def _difference(each: Verdict | None) -> TableCell:
    if each is None:
        return TableCell("")
    return TableCell(signed(each.comparison.difference, 2), verdict=each.word)
