"""Sections of the verdicts: the intervals as figures, and the runs that would settle each verdict."""

from collections.abc import Sequence

from selection_platform.report.cells import (
    MOST_CELLS,
    cells_of,
    in_order,
    left_out,
    methods_in_order,
    random_values,
    word_columns,
)
from selection_platform.report.cost_section import settling
from selection_platform.report.data import ReportData
from selection_platform.report.interval_plot import REFERENCES, finding, interval_plot
from selection_platform.report.parts import Picture, Section, Table, TableCell
from selection_platform.report.style import VERDICTS
from selection_platform.verdict.runs import Run
from selection_platform.verdict.statistics import interval_of_one_run
from selection_platform.verdict.verdicts import Verdict
from selection_platform.verdict.words import (
    assumed_in_words,
    cell_name,
    count,
    counts_in_words,
    digits_of,
    interval_text,
    looks_in_words,
    measure_name,
    pooled_in_words,
    shown_measures,
    signed,
    unit_of,
)


def intervals(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Section | None:
    """An interval plot for each cell; None without verdicts."""
    if not verdicts:
        return None
    pictures = []
    for measure in shown_measures(verdicts):
        of_measure = [each for each in verdicts if each.measure == measure]
        for place, cell in enumerate(cells_of(of_measure)[:MOST_CELLS], start=1):
            of_cell = [each for each in of_measure if each.cell == cell]
            about = f"{measure_name(measure)}, {cell_name(cell)}"
            chosen = [each for each in of_cell if each.method not in REFERENCES]
            differences = ", ".join(
                f"{each.method} {signed(each.comparison.difference, digits_of(measure))}"
                for each in in_order(of_cell, lambda each: each.method)
            )
            pictures.append(
                Picture(
                    f"intervals-{measure}-{place}".replace("_", "-"),
                    interval_plot(of_cell, random_values(runs, measure, cell)),
                    f"{about}: {finding(chosen)}. Differences from random: {differences}.",
                    cell_name(cell),
                )
            )
    paragraphs = [
        "The grey band would have 95% of new random runs; the strokes in its row are the existing random runs. In a "
        "single comparison, a method with one run differs from random if it is outside the band. A method with several "
        "runs, and the base model, differ if their own interval (a line) does not contain 0. The signs are the "
        "verdicts after a correction for all comparisons of methods (Holm), so an open circle outside the band "
        "happens now and then by luck.",
        *left_out(len(cells_of(verdicts))),
    ]
    return Section("intervals", "Which arms differ from random?", paragraphs, pictures=pictures, file="verdict.csv")


def verdict(data: ReportData, verdicts: Sequence[Verdict]) -> Section | None:
    """Every verdict on average and held-out loss, and the runs that would settle it; None without verdicts."""
    title = "The verdicts, and what would settle them"
    paragraphs, tables = [], []
    for measure in shown_measures(verdicts):
        of_measure = [each for each in verdicts if each.measure == measure]
        counted = counts_in_words(of_measure, data.margins.of(measure))
        about = f"{measure_name(measure).capitalize()} ({of_measure[0].role}), in {unit_of(measure)}"
        paragraphs.append(f"{about}: {counted}")
        paragraphs += [each for each in _explained(of_measure) if each]
        for cell in cells_of(of_measure)[:MOST_CELLS]:
            of_cell = {each.method: each for each in of_measure if each.cell == cell}
            rows = [_verdict_row(data, of_cell[method]) for method in methods_in_order(of_cell)]
            header = ["arm", "verdict", "difference", "95% interval", "p (Holm)", "runs", "to settle it"]
            caption = f"{measure_name(measure).capitalize()}, {cell_name(cell)}"
            tables.append(Table(caption, header, rows, word_columns(1, 6), cell_name(cell)))
    if not tables:
        return None
    paragraphs += [
        "Above 0 is better than random, on every measure. Runs are of the arm and of random. A verdict is settled "
        f"with enough seeds to see a difference of {data.margins.points:g} points, or {data.margins.loss:g} bits per "
        "byte, four times in five, with a correction for all comparisons (Holm's first step).",
        *left_out(len(cells_of(verdicts))),
    ]
    return Section("verdict", title, paragraphs, tables, file="verdict.csv")


def _explained(verdicts: Sequence[Verdict]) -> list[str | None]:
    return [looks_in_words(verdicts), assumed_in_words(verdicts), pooled_in_words(verdicts)]


def _verdict_row(data: ReportData, each: Verdict) -> list[TableCell]:
    numbers, digits = each.comparison, digits_of(each.measure)
    return [
        TableCell(each.method),
        # Next to the arm, because a phone shows only the first columns.
        TableCell(each.word, verdict=each.word),
        TableCell(signed(numbers.difference, digits)),
        TableCell(interval_text(numbers.low, numbers.high, digits) or "not known"),
        TableCell("" if numbers.p_adjusted is None else f"{numbers.p_adjusted:.3f}"),
        TableCell(f"{numbers.arm_runs} : {numbers.random_runs}"),
        TableCell(settling(data.costs, each)),
    ]


def verdict_numbers(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Numbers of the verdicts on average and held-out loss that are worth following over time, by name."""
    numbers: dict[str, float] = {}
    for measure in shown_measures(verdicts):
        of_measure = [each for each in verdicts if each.measure == measure]
        for word in VERDICTS if of_measure else ():
            numbers[f"{measure}: {word}"] = count(of_measure, word)
        for cell in cells_of(of_measure)[:MOST_CELLS]:
            of_cell = [each.comparison for each in of_measure if each.cell == cell]
            numbers[f"{measure}: best difference, {cell_name(cell)}"] = max(each.difference for each in of_cell)
            half = interval_of_one_run(of_cell[0].spread, of_cell[0].random_runs)
            # Each look is more careful than a single one.
            if half is not None and not any(each.looks for each in of_cell):
                numbers[f"{measure}: difference seen half the time, {cell_name(cell)}"] = half
    return numbers
