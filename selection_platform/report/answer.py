"""The answer in words: does any choice beat picking at random here, and how far can that be trusted?"""

from collections.abc import Sequence
from dataclasses import dataclass

from selection_platform.report.card_section import with_changed_cards
from selection_platform.report.data import ReportData
from selection_platform.report.interval_plot import REFERENCES
from selection_platform.report.training_section import smaller_trainings
from selection_platform.report.unchanged import unchanged_cells, unchanged_in_words
from selection_platform.verdict.statistics import interval_of_one_run, seeds_to_see
from selection_platform.verdict.tables import verdicts_of
from selection_platform.verdict.verdicts import Verdict
from selection_platform.verdict.words import cell_name, count, digits_of, measure_name, shown_measures, unit_of

MOST_NAMED = 5
NO_RANDOM = "There is no random run to compare with: add an arm `random` with several seeds."


@dataclass(frozen=True)
class Answer:
    """The first thing that the page says.

    Attributes:
        headline: in a few words.
        sentences: what it rests on.
    """

    headline: str
    sentences: Sequence[str]


def answer(data: ReportData) -> Answer:
    """The answer on the primary measure; what others say is exploratory."""
    found = [each for each in verdicts_of(data.verdict) if each.method not in REFERENCES]
    measures = shown_measures(found)
    if not any(each.role == "primary" for each in found):
        known = "Nothing is evaluated yet." if data.runs.is_empty() else NO_RANDOM
        return Answer("Not known yet.", [known])
    of_measures = {measure: [each for each in found if each.measure == measure] for measure in measures}
    sentences = [_counts(of_measure, data) for of_measure in of_measures.values()]
    sentences.append(_trust(of_measures[measures[0]], data))
    training = data.table("training")
    fewer = None if training is None else smaller_trainings(training)
    # What is compared is then not of one size.
    sentences += [fewer] if fewer else []
    headline = _headline(of_measures[measures[0]])
    sentences += _by_another_way_to_write(of_measures[measures[0]], data)
    unchanged = unchanged_cells(data)
    if unchanged:
        sentences.insert(0, unchanged_in_words(unchanged, data))
        # Nothing that is better was seen, and no training either: the verdicts are about nothing.
        if len(unchanged) == len({each.cell for each in found}) and not headline.startswith("Yes"):
            headline = "Not known: training changed nothing that can be seen."
    return Answer(headline, sentences)


def _headline(found: Sequence[Verdict]) -> str:
    better = [each for each in found if each.word == "better"]
    if better:
        named = ", ".join(f"{each.method} ({cell_name(each.cell)})" for each in better[:MOST_NAMED])
        more = f" and {len(better) - MOST_NAMED} more" if len(better) > MOST_NAMED else ""
        return f"Yes, in {len(better)} of {len(found)} comparisons: {named}{more}."
    still_open = count(found, "not enough seeds")
    if still_open:
        openly = f"{still_open} of {len(found)} comparisons are open"
        return f"Not shown: no choice is seen to beat random selection, and {openly}."
    return "No: no choice beats random selection."


def _by_another_way_to_write(found: Sequence[Verdict], data: ReportData) -> list[str]:
    """A warning that names the arms which are better, mostly on items whose answers are found or ended otherwise."""
    if data.card_gains is None:
        return []
    doubtful = {
        (row["method"], row["model"], row["pool"], row["budget"])
        for row in with_changed_cards(data.card_gains).iter_rows(named=True)
    }
    named = [
        f"{each.method} ({cell_name(each.cell)})"
        for each in found
        if each.word == "better" and (each.method, *each.cell) in doubtful
    ]
    if not named:
        return []
    names = ", ".join(named[:MOST_NAMED]) + " and others" * (len(named) > MOST_NAMED)
    return [
        f"Warning: more of the gain of {names} comes from benchmark items whose answers are found or ended more often "
        "or more seldom than from the others: it may be another way to write. See the answer cards below."
    ]


def _counts(found: Sequence[Verdict], data: ReportData) -> str:
    measure = found[0].measure
    return (
        f"On the {measure_name(measure)} ({found[0].role}), of {len(found)} comparisons of a method with random "
        f"selection {count(found, 'better')} are better, {count(found, 'worse')} worse, {count(found, 'same')} the "
        f"same within {data.margins.of(measure):g} {unit_of(measure)}, and {count(found, 'not enough seeds')} open."
    )


def _trust(found: Sequence[Verdict], data: ReportData) -> str:
    """How much random runs vary, and what follows for what can be seen."""
    measure, runs = found[0].measure, [each.comparison.random_runs for each in found]
    cells = {each.cell: each.comparison for each in found}
    widths = [interval_of_one_run(each.spread, each.random_runs) for each in cells.values()]
    known = sorted(width for width in widths if width is not None)
    if not known:
        return f"Random runs ({span(runs)} for each) are too few, or all equal: how far a run can vary is not known."
    digits, margin = digits_of(measure), data.margins.of(measure)
    spreads = [each.spread for each in cells.values() if each.spread is not None]
    compared = max(each.comparison.compared or 1 for each in found)
    needed = [seeds_to_see(margin, spread, compared) for spread in spreads]
    enough = [seeds for seeds in needed if seeds is not None]
    seeds = f"it takes {span(enough)} seeds of each arm" if len(enough) == len(needed) else "it takes over 1,000 seeds"
    visible = span(known, digits)
    unknown = len(widths) - len(known)
    return (
        f"How far to trust that: there are {span(runs)} random runs for each model, pool and size, so one run of a "
        f"method that truly differs by {visible} {unit_of(measure)} is seen half the time, by itself. To see a "
        f"difference of {margin:g} four times in five among {compared} comparisons, {seeds}."
        + (f" In {unknown} of {len(widths)} cells random runs are too few, or all equal." if unknown else "")
    )


def span(values: Sequence[float], digits: int = 0) -> str:
    """The least and the largest of some numbers, at least one."""
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return low if low == high else f"{low} to {high}"
