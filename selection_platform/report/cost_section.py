"""What choosing costs beside training, when it breaks even, and what it would cost to settle a verdict."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from selection_platform.experiments.methods import BASE
from selection_platform.report.costs import NOT_KNOWN, TIMES, Arm, ArmCost, Part, Time, break_even, times_used
from selection_platform.report.parts import Picture, Section, Table, TableCell
from selection_platform.report.style import BLUE, ORANGE, SKY, drawing
from selection_platform.verdict.runs import Cell
from selection_platform.verdict.verdicts import RANDOM, Verdict
from selection_platform.verdict.words import cell_name

DRAWN: Mapping[Part, tuple[str, str]] = {"selecting": (BLUE, "//"), "training": (ORANGE, ""), "evaluating": (SKY, "..")}
"""Colour and hatch of each part of an experiment's cost."""
SHOWN: tuple[Part, ...] = ("selecting", "selecting alone", "training", "evaluating")
MOST_CELLS = 12


def costs(found: Sequence[ArmCost]) -> Section:
    """The cost of each arm's parts, and what else could have been had for it."""
    title = "What does it cost, and when does it break even?"
    cells = _cells(found)
    if not cells:
        return Section("costs", title, ["No cost was recorded."])
    pictures, tables, sentences = [], [], []
    for place, cell in enumerate(cells[:MOST_CELLS], start=1):
        of_cell = [each for each in found if _is_in(each.arm, cell)]
        name, used = cell_name(cell), times_used(spent for each in of_cell for spent in each.parts.values())
        words = [text for text in map(break_even, of_cell) if text]
        sentences += [f"{name}: {'; '.join(words)}."] if words else []
        tables += [_table(of_cell, name, time) for time in used]
        pictures.append(_picture(of_cell, name, used[0], f"costs-{place}"))
    elsewhere = [each.name for each in found if each.arm.pool is not None and "training" not in each.parts]
    if elsewhere:
        sentences.append(
            f"Trained elsewhere, at a cost and by a recipe that are not known here: {'; '.join(elsewhere)}."
        )
    paragraphs = [
        *sentences,
        "Means over seeds. Selecting has of each feature that several methods use an equal share for each of them; "
        "selecting alone has all of it, as if no other method were run. The last columns say on how many times as much "
        "data, picked at random, a model could have been trained for the cost of selecting and training: a choice that "
        "does no better than that is not worth its cost. GPU time is by the clock while a step holds the GPU, CPU time "
        "is over all cores; each is held against its own kind.",
    ]
    return Section("costs", title, paragraphs, tables, pictures, "experiment_costs.csv")


def settling(found: Sequence[ArmCost], each: Verdict) -> str:
    """Which runs would settle a verdict, and at what cost where that is known."""
    if each.word != "not enough seeds":
        return "settled"
    if each.comparison.spread is None:
        return "two random runs or more that differ"
    if each.seeds_needed is None:
        return "over 1,000 seeds of each"
    if each.method == BASE.name:
        return "not by runs: the base model is one, and has no seeds"
    of_arm = max(0, each.seeds_needed - each.comparison.arm_runs)
    of_random = max(0, each.seeds_needed - each.comparison.random_runs)
    price = _price(found, each.cell, of_arm + of_random)
    return f"{of_arm} more run{'s' * (of_arm != 1)} of it, {of_random} of random{price}"


def _price(found: Sequence[ArmCost], cell: Cell, runs: int) -> str:
    """What more runs of a cell cost, trained and evaluated, by its random runs; nothing where that is not known."""
    random = next((each for each in found if each.arm == Arm(RANDOM, *cell)), None)
    if random is None or "training" not in random.parts or not times_used([random.parts["training"]]):
        return ""
    one = random.parts["training"].plus(random.parts["evaluating"])
    return ": " + ", ".join(f"{duration(runs * getattr(one, time))} of {TIMES[time]}" for time in times_used([one]))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _cells(found: Sequence[ArmCost]) -> list[Cell]:
    """The models, whole pools and sizes that something was selected for, and at some cost."""
    sized = [each for each in found if each.arm.pool is not None and each.arm.budget and each.arm.pool_size is None]
    known = [each.arm for each in sized if times_used(each.parts.values())]
    return list(dict.fromkeys(Cell(arm.model, arm.pool or "", arm.budget or 0) for arm in known))


def _is_in(arm: Arm, cell: Cell) -> bool:
    """Whether an arm stands in a cell. What takes the whole pool has no size of its own, and stands in each."""
    return (
        (arm.model, arm.pool) == (cell.model, cell.pool) and arm.budget in (None, cell.budget) and arm.pool_size is None
    )


def _table(of_cell: Sequence[ArmCost], name: str, time: Time) -> Table:
    header = ["arm", *SHOWN, f"random data for it, by {TIMES[time]}", "by arithmetic"]
    return Table(f"{TIMES[time]} of one run, {name}", header, [_row(each, time) for each in of_cell])


def _picture(of_cell: Sequence[ArmCost], name: str, time: Time, file: str) -> Picture:
    rows = [_row(each, time) for each in of_cell]
    drawn = "; ".join(f"{row[0].text}: choosing {row[1].text}, training {row[3].text}" for row in rows)
    return Picture(file, _plot(of_cell, name, time), f"{TIMES[time]} of one run, {name}: {drawn}.")


def _row(each: ArmCost, time: Time) -> list[TableCell]:
    ratios = [each.times.get(time), each.times.get("flops")]
    return [
        TableCell(each.arm.method),
        *(TableCell(_duration(each, part, time)) for part in SHOWN),
        *(TableCell("" if each.arm.method == RANDOM or ratio is None else f"{ratio:.1f}x") for ratio in ratios),
    ]


def _duration(each: ArmCost, part: Part, time: Time) -> str:
    return duration(getattr(each.parts[part], time)) if part in each.parts else NOT_KNOWN


def _seconds(each: ArmCost, part: Part, time: Time) -> float:
    """As it is drawn: nothing where it is not known."""
    return getattr(each.parts[part], time) if part in each.parts else 0.0


def _plot(found: Sequence[ArmCost], name: str, time: Time) -> Figure:
    most = max(sum(_seconds(each, part, time) for part in DRAWN) for each in found)
    unit, length = next((each for each in (("hours", 3600), ("minutes", 60)) if most >= 2 * each[1]), ("seconds", 1))
    methods = [each.arm.method for each in found]
    with drawing("How much goes into choosing?", name, 1 + 0.2 * len(methods)) as (figure, axes):
        left = [0.0] * len(methods)
        for part, (colour, hatch) in DRAWN.items():
            widths = [_seconds(each, part, time) / length for each in found]
            axes.barh(methods, widths, 0.7, left=left, color=colour, hatch=hatch, edgecolor="white", lw=0.4, label=part)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{TIMES[time]} of one run, {unit}")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure
