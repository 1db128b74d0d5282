"""The answer as sentences: does any method beat random selection, and how far can that be trusted?"""

from collections.abc import Sequence
from dataclasses import dataclass

from selection_platform.report.card_section import with_changed_cards
from selection_platform.report.contamination import owed_to_items
from selection_platform.report.data import ReportData
from selection_platform.report.interval_plot import REFERENCES
from selection_platform.report.training_section import smaller_trainings
from selection_platform.report.unchanged import little_changed_in_words, unchanged_cells, unchanged_in_words
from selection_platform.verdict.runs import AVERAGE
from selection_platform.verdict.statistics import interval_of_one_run, seeds_to_see
from selection_platform.verdict.tables import runs_of, verdicts_of
from selection_platform.verdict.verdicts import LOSS, Verdict
from selection_platform.verdict.words import (
    cell_name,
    count,
    digits_of,
    looks_in_words,
    measure_name,
    shown_measures,
    unit_of,
)

MOST_NAMED = 5
NO_RANDOM = "There is no random run to compare with: add an arm `random` with several seeds."


@dataclass(frozen=True)
class Answer:
    """The top of the page.

    Attributes:
        headline: the answer, in one sentence.
        sentences: the reasons for it.
    """

    headline: str
    sentences: Sequence[str]


def answer(data: ReportData) -> Answer:
    """The answer on the primary measure. Other measures are exploratory."""
    verdicts = [each for each in verdicts_of(data.verdict) if each.method not in REFERENCES]
    measures = shown_measures(verdicts)
    if not any(each.role == "primary" for each in verdicts):
        known = "Nothing is evaluated yet." if data.runs.is_empty() else NO_RANDOM
        return Answer("Not known yet.", [known])
    of_measures = {measure: [each for each in verdicts if each.measure == measure] for measure in measures}
    sentences = [_counts(of_measure, data) for of_measure in of_measures.values()]
    sentences.append(_trust(of_measures[measures[0]], data))
    by_looks = looks_in_words(of_measures[measures[0]])
    sentences += [by_looks] if by_looks else []
    training = data.table("training")
    fewer = None if training is None else smaller_trainings(training)
    # The compared trainings then differ in size.
    sentences += [fewer] if fewer else []
    overlaps = data.table("contamination")
    better = [
        (each.cell.model, each.cell.pool, each.cell.budget, each.method)
        for each in verdicts
        if each.measure == AVERAGE and each.word == "better"
    ]
    sentences += [] if overlaps is None else owed_to_items(overlaps, better)
    headline = _headline(of_measures[measures[0]], data)
    sentences += _by_another_way_to_write(of_measures[measures[0]], data)
    sentences += _without_a_right_answer(data)
    unchanged, little_changed = unchanged_cells(data)
    if little_changed:
        sentences.insert(0, little_changed_in_words(little_changed, data))
    if unchanged:
        sentences.insert(0, unchanged_in_words(unchanged, data))
        # No arm is better, and no training has an effect, so the verdicts mean nothing.
        if len(unchanged) == len({each.cell for each in verdicts}) and not headline.startswith("Yes"):
            headline = "Not known: training had no visible effect."
    return Answer(headline, sentences)


def _without_a_right_answer(data: ReportData) -> list[str]:
    """A sentence that names the benchmarks on which no run has a right answer."""
    highest: dict[str, float] = {}
    for run in runs_of(data.runs):
        if run.measure not in (AVERAGE, LOSS):
            highest[run.measure] = max(run.value, highest.get(run.measure, 0.0))
    names = [measure for measure, value in highest.items() if value == 0]
    if not names:
        return []
    return [
        f"No run has a right answer on {', '.join(names)}. More seeds do not help there: take easier benchmarks or a "
        "stronger model, or let another measure answer with `verdict: {primary: held_out_loss}`."
    ]


def _headline(verdicts: Sequence[Verdict], data: ReportData) -> str:
    better = [each for each in verdicts if each.word == "better"]
    if better:
        named = ", ".join(f"{each.method} ({cell_name(each.cell)})" for each in better[:MOST_NAMED])
        more = f" and {len(better) - MOST_NAMED} more" if len(better) > MOST_NAMED else ""
        return f"Yes, in {len(better)} of {len(verdicts)} comparisons: {named}{more}."
    still_open = count(verdicts, "not enough seeds")
    if still_open:
        openly = f"{still_open} of {len(verdicts)} comparisons are open"
        return f"Not shown: no choice is seen to beat random selection, and {openly}."
    if count(verdicts, "same"):
        # A smaller gain was not ruled out.
        measure = verdicts[0].measure
        return f"No: no choice beats random selection by {data.margins.of(measure):g} {unit_of(measure)} or more."
    return "No: no choice beats random selection."


def _by_another_way_to_write(verdicts: Sequence[Verdict], data: ReportData) -> list[str]:
    """A warning that names the arms that are better, mostly on items whose answers are found or ended otherwise."""
    if data.card_gains is None:
        return []
    doubtful = {
        (row["method"], row["model"], row["pool"], row["budget"])
        for row in with_changed_cards(data.card_gains).iter_rows(named=True)
    }
    named = [
        f"{each.method} ({cell_name(each.cell)})"
        for each in verdicts
        if each.measure == AVERAGE and each.word == "better" and (each.method, *each.cell) in doubtful
    ]
    if not named:
        return []
    names = ", ".join(named[:MOST_NAMED]) + " and others" * (len(named) > MOST_NAMED)
    return [
        f"Warning: more of the gain of {names} comes from benchmark items whose answers are found or ended more often "
        "or less often than from the others. It may be only another way to write: see the answer cards below."
    ]


def _counts(verdicts: Sequence[Verdict], data: ReportData) -> str:
    measure = verdicts[0].measure
    return (
        f"On the {measure_name(measure)} ({verdicts[0].role}), of {len(verdicts)} comparisons of a method with random "
        f"selection {count(verdicts, 'better')} are better, {count(verdicts, 'worse')} worse, "
        f"{count(verdicts, 'same')} the same within {data.margins.of(measure):g} {unit_of(measure)}, and "
        f"{count(verdicts, 'not enough seeds')} open."
    )


def _trust(verdicts: Sequence[Verdict], data: ReportData) -> str:
    """How much random runs vary, and which differences can therefore be seen."""
    measure, runs = verdicts[0].measure, [each.comparison.random_runs for each in verdicts]
    # Those that wait for their first look, which know no spread, come first, so that others of the cell count.
    known_last = sorted(verdicts, key=lambda each: each.comparison.spread is not None)
    cells = {each.cell: each.comparison for each in known_last}
    widths = [interval_of_one_run(each.spread, each.random_runs) for each in cells.values()]
    known = sorted(width for width in widths if width is not None)
    if not known:
        return f"Random runs ({span(runs)} for each) are too few, or all equal, so it is not known how much runs vary."
    digits, margin = digits_of(measure), data.margins.of(measure)
    unknown = len(widths) - len(known)
    # With looks it is not so: each look is more careful than a single one.
    visible = (
        f" With one run of a method, a true difference of {span(known, digits)} {unit_of(measure)} is seen half the "
        "time, in a single comparison."
    )
    return (
        f"How far to trust that: there are {span(runs)} random runs per model, pool and size."
        + ("" if any(each.comparison.looks for each in verdicts) else visible)
        + _needed(verdicts, margin)
        + (f" In {unknown} of {len(widths)} cells random runs are too few, or all equal." if unknown else "")
    )


def _needed(verdicts: Sequence[Verdict], margin: float) -> str:
    """How many seeds show a difference of the margin; with looks, by the verdicts that are open, empty if none is."""
    compared = max(each.comparison.compared or 1 for each in verdicts)
    known = [each for each in verdicts if each.comparison.spread is not None]
    if any(each.comparison.looks for each in verdicts):
        needed = [each.seeds_needed for each in known if each.word == "not enough seeds"]
    else:
        spreads = {each.cell: each.comparison.spread or 0.0 for each in known}
        needed = [seeds_to_see(margin, spread, compared) for spread in spreads.values()]
    if not needed:
        return ""
    enough = [seeds for seeds in needed if seeds is not None]
    seeds = f"{span(enough)} seeds of each arm" if len(enough) == len(needed) else "over 1,000 seeds"
    return f" To see a difference of {margin:g} four times in five among {compared} comparisons, it takes {seeds}."


def span(values: Sequence[float], digits: int = 0) -> str:
    """The range of some numbers, at least one."""
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return low if low == high else f"{low} to {high}"
