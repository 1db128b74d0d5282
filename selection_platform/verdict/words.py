"""Verdicts as sentences and tables, for the terminal, Dagster and the report."""

from collections.abc import Sequence

from selection_platform.text.tables import TextTable
from selection_platform.verdict.items import seeds_and_items
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.statistics import detectable
from selection_platform.verdict.tables import OverItems
from selection_platform.verdict.verdicts import LOSS, RANDOM, Role, Verdict

SHOWN = (AVERAGE, LOSS)
"""The measures that summarise a run; the others are single benchmarks."""


def shown_measures(verdicts: Sequence[Verdict]) -> list[str]:
    """The measures whose verdicts are shown in full: the primary one first, then those that summarise a run."""
    primary = {verdict.measure: None for verdict in verdicts if verdict.role == "primary"}
    known = {verdict.measure for verdict in verdicts}
    return list(dict.fromkeys([*primary, *(measure for measure in SHOWN if measure in known)]))


HEADER = ["model · pool · samples", "arm", "runs", "difference", "95% interval", "p", "p (Holm)", "verdict"]
ITEMS_TITLE = "The same averages with other items of the same benchmarks, for the existing runs (bootstrap)"


def digits_of(measure: str) -> int:
    """Number of decimals of a measure."""
    return 4 if measure == LOSS else 2


def unit_of(measure: str) -> str:
    """The unit of differences on a measure."""
    return "bits per byte" if measure == LOSS else "percentage points"


def measure_name(measure: str) -> str:
    """The name of a measure in sentences."""
    names = {AVERAGE: "average of the benchmarks", LOSS: "held-out loss"}
    return names.get(measure, measure)


def signed(value: float, digits: int) -> str:
    """A difference with its sign; without a sign if it rounds to 0."""
    return f"{value:+.{digits}f}" if round(value, digits) else f"{0:.{digits}f}"


def measure_title(measure: str, role: Role = "primary") -> str:
    """The title of a table of verdicts on a measure."""
    return f"{measure} ({role}), against random selection; above 0 is better; {unit_of(measure)}"


def measure_table(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table of verdicts on one measure."""
    return TextTable(HEADER, [_row(each, digits_of(each.measure)) for each in verdicts]).markdown()


def narrow_tables(verdicts: Sequence[Verdict]) -> dict[str, TextTable]:
    """The same in 80 columns: a table per cell, by its name, without unadjusted p-values."""
    tables = {}
    for cell in dict.fromkeys(each.cell for each in verdicts):
        rows = [_row(each, digits_of(each.measure))[1:] for each in verdicts if each.cell == cell]
        runs = {row[1] for row in rows}
        alike = f", runs of each arm and at random {next(iter(runs))}" if len(runs) == 1 else ""
        order = [0, 6, 2, 3, 5] if alike else [0, 6, 2, 3, 5, 1]
        header = [HEADER[1:][index] for index in order]
        tables[cell_name(cell) + alike] = TextTable(header, [[row[index] for index in order] for row in rows])
    return tables


def counts_in_words(verdicts: Sequence[Verdict], margin: float) -> str:
    """Sentences that count the verdicts on one measure, before and after adjustment, with controls separate."""
    methods, controls = ([each for each in verdicts if each.family == family] for family in ("method", "control"))
    sentences = [_counted(methods, "comparisons of a method", margin)]
    if controls:
        names = " and ".join(dict.fromkeys(each.method for each in controls))
        sentences.append(_counted(controls, f"comparisons of a control ({names}), a family of their own", margin))
    return " ".join(sentences)


def _counted(verdicts: Sequence[Verdict], what: str, margin: float) -> str:
    compared = [each.comparison for each in verdicts]
    above = sum(each.low is not None and each.low > 0 for each in compared)
    below = sum(each.high is not None and each.high < 0 for each in compared)
    return (
        f"Of {len(verdicts)} {what}: looked at one by one, {above} lie above their interval of no difference and "
        f"{below} below it. Looked at together (Holm), {count(verdicts, 'better')} are better, "
        f"{count(verdicts, 'worse')} worse, {count(verdicts, 'same')} the same within {margin:g}, and "
        f"{count(verdicts, 'not enough seeds')} open."
    )


def assumed_in_words(verdicts: Sequence[Verdict]) -> str | None:
    """A warning that arms with one run are assumed to vary as random runs do; None if there is no such arm."""
    single = sum(each.comparison.spread_assumed for each in verdicts)
    if not single:
        return None
    return (
        f"{single} of {len(verdicts)} comparisons have one run of an arm, which is assumed to vary as random runs do. "
        "This cannot be checked with one run: an arm that varies more is too often called better or worse. Give the "
        "arm as many seeds as random to measure how it varies."
    )


def looks_in_words(verdicts: Sequence[Verdict]) -> str | None:
    """That seeds are added by looks, and what that means for the numbers; None where none are added."""
    of_looks = [each.comparison for each in verdicts if each.comparison.looks]
    if not of_looks:
        return None
    waiting = sum(not each.look for each in of_looks)
    most = max(of_looks, key=lambda each: each.look or 0)
    first = f" {waiting} wait for their first seeds." if waiting else ""
    return (
        f"Seeds are added until a verdict is settled: {len(of_looks)} of {len(verdicts)} comparisons are looked at "
        f"again and again, so far {most.look} times of {most.looks} at most.{first} Their p-values and 95% "
        "intervals hold however often one looks (alpha spending). An interval is what those of all looks so far have "
        "in common, or the gap between them if that is nothing, so it may leave out the last difference."
    )


def pooled_in_words(verdicts: Sequence[Verdict]) -> str | None:
    """The methods' verdicts on one measure with one spread for all cells and arms, and why they are not used.

    None if there are too few runs.
    """
    methods = [each for each in verdicts if each.family == "method" and each.pooled is not None]
    if not methods or methods[0].pooled is None:
        return None
    one, digits = methods[0].pooled, digits_of(methods[0].measure)
    test = f"Brown and Forsythe's test of equal spreads: p = {one.equal_spreads_p:.2f}"
    if one.spread is None or one.freedom is None:
        return f"The spreads of arms and cells differ ({test}), so they are not pooled."
    words = [each.pooled.word for each in methods if each.pooled is not None]
    freedom = sorted({round(each.comparison.freedom, 1) for each in methods if each.comparison.freedom is not None})
    own = f"{freedom[0]:g}" if len(freedom) == 1 else f"{freedom[0]:g} to {freedom[-1]:g}" if freedom else "no"
    return (
        f"With one spread for all cells and arms, {one.spread:.{digits}f} with {one.freedom:g} degrees of freedom "
        f"instead of {own}, {words.count('better')} would be better, {words.count('worse')} worse and "
        f"{words.count('same')} the same ({test}). More degrees of freedom show smaller differences. The "
        "verdicts do not use it: so few runs cannot show that all cells have the same spread, and if they do not, too "
        "many arms are called better or worse."
    )


def random_runs_in_words(verdicts: Sequence[Verdict], runs: Sequence[Run], margin: float) -> dict[Cell, str]:
    """Sentences for each cell about how much random runs vary on one measure, and which differences can be seen.

    Args:
        verdicts: verdicts on the measure.
        runs: runs on the measure, including random ones.
        margin: the difference that is too small to matter, in the measure's unit.
    """
    sentences = {}
    for cell in dict.fromkeys(each.cell for each in verdicts):
        of_cell = [each for each in verdicts if each.cell == cell]
        values = [run.value for run in runs if run.cell == cell and run.method == RANDOM]
        sentences[cell] = _random_in_words(values, of_cell, margin)
    return sentences


def _random_in_words(values: list[float], of_cell: list[Verdict], margin: float) -> str:
    digits = digits_of(of_cell[0].measure)
    single = next((each.comparison for each in of_cell if each.comparison.spread_assumed), None)
    if single is None or single.visible is None or single.spread is None:
        return f"{len(values)} random runs, too few or too equal to know how much a run varies."
    mean = sum(values) / len(values)
    if single.looks:
        return (
            f"{len(values)} random runs, {mean:.{digits}f} on average, standard deviation {single.spread:.{digits}f}."
        )
    still_open = (each for each in of_cell if each.family == "method" and each.word == "not enough seeds")
    more = next((_needed_in_words(each, margin) for each in still_open), "")
    return (
        f"{len(values)} random runs, {mean:.{digits}f} on average, standard deviation {single.spread:.{digits}f}; 95% "
        f"of new ones lie within {single.visible:.{digits}f} of it. In a single comparison, one run shows a true "
        f"difference of that size half the time, and of {detectable(single):.{digits}f} four times in five."
        f"{_together_in_words(of_cell, digits)}{more}"
    )


def _together_in_words(of_cell: Sequence[Verdict], digits: int) -> str:
    methods = [each.comparison for each in of_cell if each.family == "method"]
    single = next((each for each in methods if each.spread_assumed), None)
    if single is None or single.detectable is None or single.compared == 1:
        return ""
    return f" Among {single.compared} comparisons, that takes {single.detectable:.{digits}f} (Holm's first step)."


def _needed_in_words(each: Verdict, margin: float) -> str:
    def text(seeds: int | None) -> str:
        return "over 1,000" if seeds is None else f"{seeds}"

    compared = each.comparison.compared
    together = "" if compared == 1 else f" in a single comparison, and {text(each.seeds_needed)} among {compared}"
    return f" To see {margin:g} four times in five takes {text(each.seeds_needed_alone)} seeds of each arm{together}."


def items_table(intervals: OverItems, verdicts: Sequence[Verdict] = ()) -> TextTable:
    """The intervals over items, and over seeds and items.

    Args:
        intervals: intervals over items, by cell and arm.
        verdicts: verdicts, including those on the average, which the intervals over seeds need.
    """
    compared = {(each.cell, each.method): each.comparison for each in verdicts if each.measure == AVERAGE}
    rows = []
    for (cell, method), each in intervals.items():
        of_seeds = compared.get((cell, method))
        both = None if of_seeds is None else seeds_and_items(of_seeds, each)
        texts = [interval_text(*ends, 2) or "not known" for ends in ((each.low, each.high), both or (None, None))]
        rows.append([cell_name(cell), method, f"{each.difference:+.2f}", *texts])
    return TextTable(
        ["model · pool · samples", "arm", "difference", "95% interval over items", "over seeds and items"], rows
    )


def cell_name(cell: Cell) -> str:
    """The name of a cell in tables."""
    # A table of results from elsewhere may have no budget.
    return f"{cell.model} · {cell.pool}" + (f" · {cell.budget:,}" if cell.budget else "")


def count(verdicts: Sequence[Verdict], word: str) -> int:
    """The number of verdicts with a word."""
    return sum(each.word == word for each in verdicts)


def interval_text(low: float | None, high: float | None, digits: int) -> str:
    """An interval of differences; empty if there is none."""
    return "" if low is None else f"{low:+.{digits}f} to {high:+.{digits}f}"


def _row(each: Verdict, digits: int) -> list[str]:
    numbers = each.comparison
    p_values = ["" if p is None else f"{p:.3f}" for p in (numbers.p_value, numbers.p_adjusted)]
    runs = f"{numbers.arm_runs} : {numbers.random_runs}"
    interval = interval_text(numbers.low, numbers.high, digits)
    return [
        cell_name(each.cell),
        each.method,
        runs,
        f"{numbers.difference:+.{digits}f}",
        interval,
        *p_values,
        each.word,
    ]
