"""The sections of the page."""

from collections.abc import Callable, Mapping, Sequence

from selection_platform.report.card_section import answer_cards
from selection_platform.report.cells import methods_in_order, word_columns
from selection_platform.report.contamination import contamination
from selection_platform.report.cost_section import costs
from selection_platform.report.data import ReportData
from selection_platform.report.item_section import items
from selection_platform.report.parts import Section, Table, cells
from selection_platform.report.proxy_section import proxies
from selection_platform.report.result_sections import benchmarks, leaderboard, paper, trust
from selection_platform.report.selection_sections import looks, overlap
from selection_platform.report.study_sections import clusters, pool_size
from selection_platform.report.training_section import training
from selection_platform.report.verdict_sections import intervals, verdict
from selection_platform.verdict.runs import Run
from selection_platform.verdict.tables import runs_of, verdicts_of


def sections(data: ReportData) -> dict[str, Callable[[], Section | None]]:
    """A function for each section, by name of the section, in the page's order. None: there is nothing to show."""
    runs, verdicts = runs_of(data.runs), verdicts_of(data.verdict)
    return {
        "trust": lambda: trust(data.margins, runs, verdicts),
        "leaderboard": lambda: leaderboard(runs, verdicts),
        "training": lambda: training(data.table("training")),
        "intervals": lambda: intervals(runs, verdicts),
        "verdict": lambda: verdict(data, verdicts),
        "paper": lambda: paper(data.paper, verdicts),
        "benchmarks": lambda: benchmarks(runs, verdicts),
        "cards": lambda: answer_cards(data.table("answer_card"), data.card_gains),
        "items": lambda: items(data.table("items_won_and_lost")),
        "contamination": lambda: contamination(data.table("contamination")),
        "pool-size": lambda: pool_size(data.table("pool_size_curve")),
        "clusters": lambda: clusters(data.table("diversity_ablation"), verdicts),
        "overlap": lambda: overlap(data.table("selection_overlap"), data.table("rescored")),
        "looks": lambda: looks(data.table("selection_profile")),
        "costs": lambda: costs(data.costs),
        "proxies": lambda: proxies(data.table("proxy_card")),
        "arms": lambda: arms(runs, data.summaries),
        "recipe": lambda: settings(data.recipe),
    }


def arms(runs: Sequence[Run], summaries: Mapping[str, str]) -> Section | None:
    """What each arm picks; None without runs."""
    names = methods_in_order(run.method for run in runs)
    if not names:
        return None
    rows = [cells(name, summaries.get(name, "not known")) for name in names]
    table = Table("What each arm picks", ["arm", "what it picks"], rows, word_columns(1))
    said = "An arm's name links to its page, with its first picks, and the items that it wins and loses."
    return Section("arms", "The arms", [said], [table], arm_pages=True)


def settings(recipe: Mapping[str, str]) -> Section | None:
    """The settings that the numbers depend on; None where they are not known."""
    if not recipe:
        return None
    rows = [cells(name, text) for name, text in recipe.items()]
    table = Table("Settings that the numbers depend on", ["subject", "settings"], rows, word_columns(1), arms=None)
    return Section("recipe", "Settings", [], [table])
