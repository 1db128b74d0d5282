"""The command that says which runs to make next, and which verdicts they would settle."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile

if TYPE_CHECKING:
    from orchestration.run_plan import Candidate, RunPlan

NOT_KNOWN = "?"


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "plan",
        help="list which runs would settle which open comparison, and what they cost",
        epilog="Example: selection-platform plan --json",
    )
    add_json(parser)
    parser.set_defaults(command=plan)


def plan(profile: Profile, options: argparse.Namespace) -> None:
    """Print what would settle each open comparison, the best buy first."""
    from orchestration.run_plan import run_plan
    from orchestration.workspace import open_workspace

    with open_workspace(profile) as workspace:
        found = run_plan(workspace)
    if options.json:
        print_json(_json(found))
    else:
        print_plan(found)


def print_plan(found: "RunPlan") -> None:
    """Print a plan in 80 columns."""
    from selection_platform.verdict.words import measure_name

    settled, whole = len(found.of("settled")), len(found.candidates)
    print(wrapped(f"{measure_name(found.measure)} (primary): {settled} of {whole} comparisons are settled"))
    for title, states, header, row in (
        ("More seeds, the best buy first", ["open"], ADDING, _adding),
        ("Hopeless: no look to come is likely to settle them; they get no more seeds", ["hopeless"], ADDING, _adding),
        ("Without more seeds to add", ["out of seeds"], WITHOUT, _without),
    ):  # fmt: skip
        candidates = found.of(*states)
        if candidates:
            print("\n" + wrapped(title))
            _print_cells(candidates, header, row)
    for line in _notes(found):
        print("\n" + wrapped(line))


ADDING = ["#", "arm", "difference", "look", "to settle it", "chance", "time"]
WITHOUT = ["#", "arm", "difference", "runs", "runs to add", "time"]


def _print_cells(candidates: "Sequence[Candidate]", header: list[str], row: Any) -> None:
    """A table for each cell. The numbers in the first column are the order over all cells."""
    from selection_platform.verdict.words import cell_name

    places = list(enumerate(candidates, start=1))
    for cell in dict.fromkeys(each.prospect.verdict.cell for each in candidates):
        of_cell = [(place, each) for place, each in places if each.prospect.verdict.cell == cell]
        print(f"\n{cell_name(cell)}")
        print_table(header, [[f"{place}", *row(each)] for place, each in of_cell], text=(1,))


def _adding(each: "Candidate") -> list[str]:
    numbers = each.prospect.verdict.comparison
    chance = NOT_KNOWN if each.chance is None else f"{each.chance:.0%}"
    more = f"{len(each.runs) - each.of_random} + {each.of_random} random"
    return [*_difference(each), f"{numbers.look} of {numbers.looks}", more, chance, _time(each)]


def _without(each: "Candidate") -> list[str]:
    numbers = each.prospect.verdict.comparison
    runs = f"{numbers.arm_runs} : {numbers.random_runs}"
    more = "over 1,000" if each.needed is None else f"{each.needed[0]} + {each.needed[1]} random"
    return [*_difference(each), runs, NOT_KNOWN if numbers.spread is None else more, _time(each)]


def _difference(each: "Candidate") -> list[str]:
    from selection_platform.verdict.words import digits_of, signed

    verdict = each.prospect.verdict
    return [verdict.method, signed(verdict.comparison.difference, digits_of(verdict.measure))]


def in_words(each: "Candidate") -> str:
    """What would settle a comparison, in half a sentence."""
    from selection_platform.verdict.words import cell_name

    verdict = each.prospect.verdict
    more = sum(each.needed) if each.needed else len(each.runs)
    runs = f"{more:,} more runs" if more else "over 1,000 more runs"
    # Seeds that are added to these results do not count.
    where = ", in a new experiment" if each.prospect.state == "out of seeds" else ""
    return f"Cheapest to settle: {verdict.method} on {cell_name(verdict.cell)}, with {runs} ({_time(each)}){where}"


def _time(each: "Candidate") -> str:
    from selection_platform.text.numbers import duration

    return NOT_KNOWN if each.seconds is None else duration(each.seconds).removeprefix("about ")


def _notes(found: "RunPlan") -> Iterator[str]:
    from orchestration.run_plan import runs_of_round
    from selection_platform.text.numbers import duration

    if found.of("open"):
        yield (
            "Runs to settle it are those of the look that is the best buy: its chance to settle the comparison, for "
            "its time. Time is by the clock, one run after another, as such runs took before; of random runs that "
            "several arms need, each arm has all."
        )
    runs = runs_of_round(found.next_round())
    if runs:
        seconds = found.costs.seconds(runs)
        took = "" if seconds is None else f", {duration(seconds)}"
        yield f"One more look at each takes {len(runs)} runs{took}: selection-platform run --until-settled"
    if found.of("out of seeds"):
        yield (
            "`runs to add` are those with which a difference of the margin is seen four times in five among all "
            "comparisons. Verdicts on these results have spent their 5% chance of a false one, so seeds that are added "
            "now do not count. A range of seeds belongs to a new experiment, with another pool, model or budget, and "
            "is named before its runs: for example `seeds: {first: 3, max: 10}` for random and for the arms to settle."
        )
    if found.due:
        yield f"{found.due} partitions are due, whose results this plan does not know: selection-platform run"
    yield from found.notes


def _json(found: "RunPlan") -> dict[str, Any]:
    from orchestration.run_plan import runs_of_round

    runs = runs_of_round(found.next_round())
    return {
        "measure": found.measure,
        "comparisons": [_comparison(each) for each in found.candidates],
        "next": {"runs": runs, "seconds": found.costs.seconds(runs)},
        "due": found.due,
        "notes": found.notes,
    }


def _comparison(each: "Candidate") -> dict[str, Any]:
    prospect = each.prospect
    verdict, numbers = prospect.verdict, prospect.verdict.comparison
    return {
        **verdict.cell._asdict(),
        "method": verdict.method,
        "state": prospect.state,
        "verdict": verdict.word,
        "difference": numbers.difference,
        "look": numbers.look,
        "looks": numbers.looks,
        "arm_runs": numbers.arm_runs,
        "random_runs": numbers.random_runs,
        "chances": [
            {"arm_runs": look.arm_runs, "random_runs": look.random_runs, "chance": chance}
            for look, chance in zip(prospect.later, prospect.chances or [None] * len(prospect.later), strict=True)
        ],
        "runs": each.runs,
        "seconds": each.seconds,
        "chance": each.chance,
        "runs_to_add": each.needed and {"arm": each.needed[0], "random": each.needed[1]},
    }
