"""The section of costs: selecting compared with training, break-even, and the cost of settling a verdict."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from selection_platform.experiments.methods import BASE
from selection_platform.report.cells import MOST_CELLS, in_order, left_out
from selection_platform.report.costs import NOT_KNOWN, TIMES, UNITS, Arm, ArmCost, Part, Unit, times_used
from selection_platform.report.parts import Picture, Section, Table, TableCell
from selection_platform.report.style import BLUE, ORANGE, SKY, drawing, hover_row
from selection_platform.verdict.runs import Cell
from selection_platform.verdict.verdicts import RANDOM, Verdict
from selection_platform.verdict.words import cell_name

DRAWN: Mapping[Part, tuple[str, str]] = {"selecting": (BLUE, "//"), "training": (ORANGE, ""), "evaluating": (SKY, "..")}
"""Colour and hatch of each part of an experiment's cost."""
SHOWN: tuple[Part, ...] = ("selecting", "selecting alone", "training", "evaluating")
FLOPS = (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6))
SECONDS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def costs(arms: Sequence[ArmCost]) -> Section | None:
    """The cost of each arm's parts, and how much random data the same cost would train; None without costs."""
    cells = _cells(arms)
    if not cells:
        return None
    pictures, tables = [], []
    for place, cell in enumerate(cells[:MOST_CELLS], start=1):
        of_cell = in_order((arm for arm in arms if _is_in(arm.arm, cell)), lambda arm: arm.arm.method)
        name, used = cell_name(cell), _units_used(of_cell)
        tables += [_table(of_cell, name, unit) for unit in used]
        pictures.append(_picture(of_cell, name, used[0], f"costs-{place}"))
    elsewhere = [arm.name for arm in arms if arm.arm.pool is not None and "training" not in arm.parts]
    paragraphs = [
        "Means over seeds. Arithmetic counts the operations of models and is the same on any machine. It is 0 for work "
        "such as compressing texts or k-means, which only has time. Time depends on the machine and on what else runs "
        "on it: GPU time is wall time while a step holds the GPU, CPU time is over all cores.",
        "If several methods use a feature, `selecting` counts an equal share of it for each of them, and `selecting "
        "alone` counts all of it, as if no other method were run. The last column says how many times as much random "
        "data a model could be trained on for the cost of selecting and training. A method that does no better than a "
        "model trained on that is not worth its cost.",
        *left_out(len(cells)),
    ]
    if elsewhere:
        paragraphs.append(
            f"Trained elsewhere, at a cost and with a recipe that are not known here: {'; '.join(elsewhere)}."
        )
    title = "What does it cost, and when does it break even?"
    return Section("costs", title, paragraphs, tables, pictures, "experiment_costs.csv")


def settling(arms: Sequence[ArmCost], verdict: Verdict) -> str:
    """The runs that would settle a verdict, with their cost if it is known."""
    if verdict.word != "not enough seeds":
        return "settled"
    if verdict.comparison.look == 0:
        return "its first seeds, which are not all made"
    if verdict.comparison.spread is None:
        return "two or more random runs that differ"
    if verdict.seeds_needed is None:
        return "over 1,000 seeds of each"
    if verdict.method == BASE.name:
        return "no number of runs: the base model has no seeds"
    of_arm = max(0, verdict.seeds_needed - verdict.comparison.arm_runs)
    of_random = max(0, verdict.seeds_needed - verdict.comparison.random_runs)
    price = _price(arms, verdict.cell, of_arm + of_random)
    return f"{of_arm} more run{'s' * (of_arm != 1)} of it, {of_random} of random{price}"


def _price(arms: Sequence[ArmCost], cell: Cell, runs: int) -> str:
    """The cost of training and evaluating more runs, from the random runs of the cell; empty if it is not known."""
    random = next((arm for arm in arms if arm.arm == Arm(RANDOM, *cell)), None)
    if random is None or "training" not in random.parts or not times_used([random.parts["training"]]):
        return ""
    one = random.parts["training"].plus(random.parts["evaluating"])
    return ": " + ", ".join(f"{duration(runs * getattr(one, time))} of {TIMES[time]}" for time in times_used([one]))


def duration(seconds: float) -> str:
    """Seconds as text, in a suitable unit."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _cells(arms: Sequence[ArmCost]) -> list[Cell]:
    """The models, whole pools and sizes with selections that have recorded costs."""
    sized = [arm for arm in arms if arm.arm.pool is not None and arm.arm.budget and arm.arm.pool_size is None]
    known = [arm.arm for arm in sized if times_used(arm.parts.values())]
    return list(dict.fromkeys(Cell(arm.model, arm.pool or "", arm.budget or 0) for arm in known))


def _is_in(arm: Arm, cell: Cell) -> bool:
    """Whether an arm belongs to a cell. An arm that takes the whole pool has no size, and belongs to all sizes."""
    return (
        (arm.model, arm.pool) == (cell.model, cell.pool) and arm.budget in (None, cell.budget) and arm.pool_size is None
    )


def _units_used(of_cell: Sequence[ArmCost]) -> list[Unit]:
    """Arithmetic first, because times on a busy machine mislead; then the kinds of time that are not 0."""
    spent = [cost for arm in of_cell for cost in arm.parts.values()]
    counted: list[Unit] = ["flops"] if any(cost.flops for cost in spent) else []
    return [*counted, *times_used(spent)]


def _table(of_cell: Sequence[ArmCost], name: str, unit: Unit) -> Table:
    header = ["arm", *SHOWN, "random data for that"]
    rows = [_row(arm, unit) for arm in of_cell]
    return Table(f"{_name(unit)} of one run, {name}", header, rows, cell=name)


def _picture(of_cell: Sequence[ArmCost], name: str, unit: Unit, file: str) -> Picture:
    drawn = "; ".join(_parts_in_words(arm, unit) for arm in of_cell)
    said = f"{_name(unit)} of one run, {name}: {drawn}."
    return Picture(file, _plot(of_cell, name, unit), said, name)


def _parts_in_words(arm: ArmCost, unit: Unit) -> str:
    return f"{arm.arm.method}: " + ", ".join(f"{part} {_said(arm, part, unit)}" for part in DRAWN)


def _row(arm: ArmCost, unit: Unit) -> list[TableCell]:
    times = None if arm.arm.method == RANDOM else arm.times.get(unit)
    return [
        TableCell(arm.arm.method),
        *(TableCell(_said(arm, part, unit), order=_spent(arm, part, unit)) for part in SHOWN),
        TableCell("" if times is None else f"{times:.1f}x"),
    ]


def _spent(arm: ArmCost, part: Part, unit: Unit) -> float | None:
    """The cost of a part; None if it is not known, as for a training elsewhere."""
    return getattr(arm.parts[part], unit) if part in arm.parts else None


def _said(arm: ArmCost, part: Part, unit: Unit) -> str:
    spent = _spent(arm, part, unit)
    return NOT_KNOWN if spent is None else amount(spent, unit)


def _drawn(arm: ArmCost, part: Part, unit: Unit) -> float:
    return _spent(arm, part, unit) or 0.0


def _name(unit: Unit) -> str:
    """The unit with a capital letter, for the start of a sentence."""
    return UNITS[unit][0].upper() + UNITS[unit][1:]


def amount(value: float, unit: Unit) -> str:
    """A cost as text."""
    return duration(value) if unit != "flops" else operations(value)


def operations(value: float) -> str:
    """Floating-point operations as text, in a suitable unit."""
    name, size = next((pair for pair in FLOPS if value >= pair[1]), FLOPS[-1])
    return f"{value / size:,.1f} {name}" if value else "0"


def _plot(arms: Sequence[ArmCost], name: str, unit: Unit) -> Figure:
    most = max(sum(_drawn(arm, part, unit) for part in DRAWN) for arm in arms)
    sizes = FLOPS if unit == "flops" else SECONDS
    shown, length = next((pair for pair in sizes if most >= 2 * pair[1]), sizes[-1])
    methods = [arm.arm.method for arm in arms]
    with drawing("How much of the cost is selecting?", name, 1 + 0.2 * len(methods)) as (figure, axes):
        left = [0.0] * len(methods)
        for part, (colour, hatch) in DRAWN.items():
            widths = [_drawn(arm, part, unit) / length for arm in arms]
            axes.barh(methods, widths, 0.7, left=left, color=colour, hatch=hatch, edgecolor="white", lw=0.4, label=part)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for place, arm in enumerate(arms):
            hover_row(axes, _parts_in_words(arm, unit), place)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{UNITS[unit]} of one run, {shown}")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure
