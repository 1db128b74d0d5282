"""Sections of results: the variation of random runs, the leaderboard, benchmarks, and the paper's numbers."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from selection_platform.report.answer import span
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


def trust(margins: Margins, runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Section | None:
    """The variation of random runs in each cell; None without such runs."""
    rows = []
    for measure in shown_measures(verdicts):
        digits, margin = digits_of(measure), margins.of(measure)
        for cell, spread in spreads(verdicts, measure).items():
            values = random_values(runs, measure, cell)
            half = interval_of_one_run(spread, len(values))
            by_looks = [
                each for each in verdicts if (each.measure, each.cell) == (measure, cell) and each.comparison.looks
            ]
            # A look is more careful than a single comparison.
            seen = "" if by_looks else "not known" if half is None else f"{half:.{digits}f}"
            if by_looks:
                needed = _needed_by_looks(by_looks)
            else:
                both = (1, compared_with(verdicts, measure))
                needed = [seeds_to_see(margin, spread, number) for number in both] if spread is not None else []
            seeds = ", ".join(f"{each or 'over 1,000'}" for each in needed) or "not known"
            rows.append(
                cells(
                    cell_name(cell),
                    measure_name(measure),
                    f"{len(values)}",
                    f"{sum(values) / len(values):.{digits}f}",
                    "" if spread is None else f"{spread:.{digits}f}",
                    seen,
                    f"{seeds} for {margin:g}",
                )
            )
    header = [
        "model · pool · samples", "measure", "random runs", "mean", "standard deviation", "seen half the time",
        "seeds of each arm needed: one comparison, all",
    ]  # fmt: skip
    paragraphs = [
        "The result of a run depends on its seed, which decides the draw and the training. Random runs show how much. "
        "One run of a method is compared with the interval of one new random run (Student's t, 95%), and several runs "
        "by the difference of means. A difference inside the interval may be luck, whatever its sign. A true "
        "difference of half the interval is seen half the time. The last column has the seeds that are needed to see "
        "a difference of the margin four times in five: in a single comparison, and in all comparisons together.",
    ]
    if not rows:
        return None
    return Section(
        "trust",
        "How far can this be trusted?",
        paragraphs,
        [Table("Random runs", header, rows, word_columns(1), arms=None)],
    )


def _needed_by_looks(verdicts: Sequence[Verdict]) -> list[int | None]:
    """Seeds of each arm for one comparison and for all, by the first that is open; empty if none is, or not known."""
    still_open = [each for each in verdicts if each.word == "not enough seeds" and each.comparison.spread is not None]
    return [number for each in still_open[:1] for number in (each.seeds_needed_alone, each.seeds_needed)]


def compared_with(verdicts: Sequence[Verdict], measure: str) -> int:
    """The number of comparisons of methods on a measure that are adjusted together."""
    of_measure = [each.comparison.compared for each in verdicts if each.measure == measure and each.family == "method"]
    return max((compared for compared in of_measure if compared), default=1)


def leaderboard(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Section | None:
    """Means over seeds, with marks for best and second best and the verdict's sign; None without runs."""
    words = words_of(verdicts)
    tables = [
        table
        for measure in SHOWN
        for table in _mean_tables([run for run in runs if run.measure == measure], measure, words)
    ]
    if not tables:
        return None
    paragraphs = [
        "The mean over the seeds of each arm, and the number of seeds. The sign after a mean is the verdict against "
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


def benchmarks(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Section | None:
    """The means of each benchmark in each cell; None without results of single benchmarks."""
    names = sorted({run.measure for run in runs} - set(SHOWN))
    if not names:
        return None
    words = words_of(verdicts)
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
        "Means over seeds, in percent (higher is better). The signs are exploratory, except for the primary measure.",
        *left_out(len(columns)),
    ]
    measured = {name: signal_of(name, runs, verdicts) for name in names}
    signals = {name: signal for name, signal in measured.items() if signal is not None}
    if signals:
        paragraphs.append(signal_in_words(signals))
        tables.append(signal_table(signals))
    return Section("benchmarks", "Benchmark by benchmark", paragraphs, tables, file="leaderboard.csv")


def paper(published: pl.DataFrame | None, verdicts: Sequence[Verdict]) -> Section | None:
    """The paper's differences from random and ours, for the arms that both have; None if no arm is in both."""
    ours = [each for each in verdicts if each.measure == AVERAGE]
    theirs = [] if published is None else verdicts_of(published)
    methods = methods_in_order({each.method for each in ours} & {each.method for each in theirs})
    if not methods:
        return None
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
        "Each arm's average minus the mean of the random runs in its cell, in percentage points, with its verdict. "
        "The same code computed the paper's (arXiv 2410.09335). Its models, pools and benchmark items differ from "
        "yours, so compare only the signs and the order.",
    ]
    return Section("paper", "Comparison with the paper", paragraphs, tables)


def _difference(each: Verdict | None) -> TableCell:
    if each is None:
        return TableCell("")
    return TableCell(signed(each.comparison.difference, 2), verdict=each.word)
