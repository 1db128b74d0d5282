"""The sections of the page, each from the tables that it shows."""

from collections.abc import Callable, Mapping, Sequence

from selection_platform.experiments.methods import METHODS
from selection_platform.report.card_section import answer_cards
from selection_platform.report.cells import methods_in_order, word_columns
from selection_platform.report.cost_section import costs
from selection_platform.report.data import ReportData
from selection_platform.report.item_section import items
from selection_platform.report.parts import Section, Table, cells
from selection_platform.report.result_sections import benchmarks, leaderboard, paper, trust
from selection_platform.report.selection_sections import looks, overlap
from selection_platform.report.study_sections import clusters, pool_size
from selection_platform.report.training_section import training
from selection_platform.report.verdict_sections import intervals, verdict
from selection_platform.verdict.runs import Run
from selection_platform.verdict.tables import runs_of, verdicts_of


def sections(data: ReportData) -> dict[str, Callable[[], Section]]:
    """What makes each section, by its name, in the page's order."""
    runs, found = runs_of(data.runs), verdicts_of(data.verdict)
    made = {
        "trust": lambda: trust(data.margins, runs, found),
        "leaderboard": lambda: leaderboard(runs, found),
        "training": lambda: training(data.tables["training"]),
        "intervals": lambda: intervals(runs, found),
        "verdict": lambda: verdict(data, found),
        "paper": lambda: paper(data.paper, found),
        "benchmarks": lambda: benchmarks(runs, found),
        "cards": lambda: answer_cards(data.table("answer_card"), data.card_gains),
        "items": lambda: items(data.table("items_won_and_lost")),
        "pool-size": lambda: pool_size(data.table("pool_size_curve")),
        "clusters": lambda: clusters(data.table("diversity_ablation"), found),
        "overlap": lambda: overlap(data.table("selection_overlap")),
        "looks": lambda: looks(data.table("selection_profile")),
        "costs": lambda: costs(data.costs),
        "arms": lambda: arms(runs),
        "recipe": lambda: how_it_was_made(data.recipe),
    }
    absent = {"paper"} if data.paper is None else set()
    absent |= set() if data.recipe else {"recipe"}
    # Trainings of earlier versions were not counted, and say nothing.
    absent |= {"training"} if data.table("training") is None else set()
    return {name: make for name, make in made.items() if name not in absent}


def arms(runs: Sequence[Run]) -> Section:
    """What each arm picks."""
    names = methods_in_order(run.method for run in runs)
    rows = [cells(name, METHODS[name].summary if name in METHODS else "not said") for name in names]
    table = Table("What each arm picks", ["arm", "what it picks"], rows, word_columns(1))
    said = (
        "An arm's name leads to its page: the conversations that it picks first, and the items that it wins and loses."
    )
    return Section("arms", "The arms", [said], [table], arm_pages=True)


def how_it_was_made(recipe: Mapping[str, str]) -> Section:
    """The settings that the numbers depend on."""
    rows = [cells(name, text) for name, text in recipe.items()]
    table = Table("Settings that the numbers depend on", ["of", "settings"], rows, word_columns(1), arms=None)
    return Section("recipe", "How it was made", [], [table])
