"""The command that answers the question: does the choice beat picking at random?"""

import argparse
from dataclasses import asdict
from typing import Any

from selection_platform.commands import UserError, open_warehouse, print_json
from selection_platform.leaderboard import markdown_table
from selection_platform.profile import Profile
from selection_platform.queries import load_sql
from selection_platform.verdict.items import Items, item_interval
from selection_platform.verdict.runs import AVERAGE, Cell, Run, paper_runs
from selection_platform.verdict.verdicts import LOSS, RANDOM, Verdict, verdicts

SHOWN = (AVERAGE, LOSS)
HEADER = ["model · pool · samples", "arm", "runs", "difference", "95% interval", "p", "p (Holm)", "verdict"]


def verdict(profile: Profile, options: argparse.Namespace) -> None:
    """Say of every arm whether it is better than random, the same, worse, or what is missing to say so."""
    reference = options.reference == "paper"
    runs = paper_runs() if reference else _own_runs(profile)
    found = verdicts(runs, {LOSS: options.loss_margin}, options.margin)
    over_items = {} if reference else _over_items(profile)
    if options.json:
        print_json([_json(each, over_items) for each in found])
        return
    for measure in SHOWN:
        of_measure = [each for each in found if each.measure == measure]
        if of_measure:
            margin = options.loss_margin if measure == LOSS else options.margin
            _print_measure(measure, of_measure, [run for run in runs if run.measure == measure], margin)
    if not reference:
        _print_items(over_items)
        if profile.disclaimer:
            print(profile.disclaimer)


def _own_runs(profile: Profile) -> list[Run]:
    rows = open_warehouse(profile).query(load_sql("90_reports/runs")).iter_rows()
    runs = [Run(measure, Cell(model, pool, budget), *rest) for measure, model, pool, budget, *rest in rows]
    if not runs:
        raise UserError("no arm has been evaluated beside others: run `selection-platform run` first")
    return runs


def _over_items(profile: Profile) -> dict[tuple[Cell, str], tuple[float, float, float]]:
    """The difference of each arm's average, and its interval over items."""
    rows = open_warehouse(profile).query(load_sql("90_reports/item_differences"))
    found: dict[tuple[Cell, str], dict[str, Items]] = {}
    keys = ["model", "pool", "budget", "method", "benchmark"]
    for (model, pool, budget, method, benchmark), items in rows.group_by(keys, maintain_order=True):
        of_arm = found.setdefault((Cell(str(model), str(pool), int(budget)), str(method)), {})
        of_arm[str(benchmark)] = Items(items["difference"].to_numpy(), items["weight"].to_numpy())
    return {key: item_interval(benchmarks) for key, benchmarks in found.items()}


def _json(each: Verdict, over_items: dict[tuple[Cell, str], tuple[float, float, float]]) -> dict[str, Any]:
    interval = over_items.get((each.cell, each.method)) if each.measure == AVERAGE else None
    return {
        "measure": each.measure,
        **each.cell._asdict(),
        "method": each.method,
        "verdict": each.word,
        "seeds_needed": each.seeds_needed,
        **asdict(each.comparison),
        "over_items": interval,
    }


def _print_measure(measure: str, found: list[Verdict], runs: list[Run], margin: float) -> None:
    digits, unit = (4, "bits per byte") if measure == LOSS else (2, "percentage points")
    print(f"{measure}, against random selection; above 0 is better; {unit}\n")
    print(markdown_table(HEADER, [_row(each, digits) for each in found]))
    compared = [each.comparison for each in found]
    above = sum(each.low is not None and each.low > 0 for each in compared)
    below = sum(each.high is not None and each.high < 0 for each in compared)
    print(
        f"\nOf {len(found)} comparisons, looked at one by one, {above} lie above their interval of no difference and "
        f"{below} below it. Looked at together (Holm), {_count(found, 'better')} are better, {_count(found, 'worse')} "
        f"worse, {_count(found, 'same')} the same within {margin:g}, and {_count(found, 'not enough seeds')} open."
    )
    for cell in dict.fromkeys(each.cell for each in found):
        of_cell = [each for each in found if each.cell == cell]
        values = [run.value for run in runs if run.cell == cell and run.method == RANDOM]
        print(f"{_name(cell)}: {_random_in_words(values, of_cell, digits, margin)}")
    print()


def _random_in_words(values: list[float], of_cell: list[Verdict], digits: int, margin: float) -> str:
    single = next((each.comparison for each in of_cell if each.comparison.arm_runs == 1), None)
    if single is None or single.visible is None or single.spread is None:
        return f"{len(values)} random runs, too few or too equal to say how far one can vary."
    mean = sum(values) / len(values)
    needed = next((each.seeds_needed for each in of_cell if each.word == "not enough seeds"), None)
    more = f" To see {margin:g}, {needed} seeds of each arm are needed." if needed else ""
    return (
        f"{len(values)} random runs, {mean:.{digits}f} on average, standard deviation {single.spread:.{digits}f}; 95% "
        f"of new ones lie within {single.visible:.{digits}f} of it: no smaller difference of one run can be seen.{more}"
    )


def _row(each: Verdict, digits: int) -> list[str]:
    numbers = each.comparison
    interval = "" if numbers.low is None else f"{numbers.low:+.{digits}f} to {numbers.high:+.{digits}f}"
    p_values = ["" if p is None else f"{p:.3f}" for p in (numbers.p_value, numbers.p_adjusted)]
    runs = f"{numbers.arm_runs} : {numbers.random_runs}"
    return [_name(each.cell), each.method, runs, f"{numbers.difference:+.{digits}f}", interval, *p_values, each.word]


def _print_items(over_items: dict[tuple[Cell, str], tuple[float, float, float]]) -> None:
    print("The same averages with other items of the same benchmarks, for the runs that there are (bootstrap)\n")
    rows = [
        [_name(cell), method, f"{difference:+.2f}", f"{low:+.2f} to {high:+.2f}"]
        for (cell, method), (difference, low, high) in over_items.items()
    ]
    print(markdown_table(["model · pool · samples", "arm", "difference", "95% interval over items"], rows))
    print()


def _name(cell: Cell) -> str:
    return f"{cell.model} · {cell.pool} · {cell.budget:,}"


def _count(found: list[Verdict], word: str) -> int:
    return sum(each.word == word for each in found)
