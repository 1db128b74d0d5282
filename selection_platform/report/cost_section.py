"""What selecting costs beside training, when it breaks even, and what it would cost to settle a verdict."""

from collections.abc import Sequence

import polars as pl
from matplotlib.figure import Figure

from selection_platform.report.data import ReportData
from selection_platform.report.parts import Picture, Section, Table, TableCell
from selection_platform.report.style import BLUE, ORANGE, SKY, drawing
from selection_platform.verdict.runs import Cell
from selection_platform.verdict.verdicts import RANDOM, Verdict
from selection_platform.verdict.words import cell_name

PARTS = {"selecting": (BLUE, "//"), "training": (ORANGE, ""), "evaluating": (SKY, "..")}
"""Colour and hatch of each part of an experiment's cost."""
MOST_CELLS = 12


def costs(data: ReportData) -> Section:
    """The cost of each method's parts, and when selecting breaks even."""
    title = "What does it cost, and when does it break even?"
    experiments = data.table("method_costs")
    if experiments is None:
        return Section("costs", title, ["No cost was recorded."])
    column, device = _clock(experiments)
    means = experiments.group_by(["model", "pool", "budget", "method", "part"], maintain_order=True).agg(
        pl.col(column).mean().alias("seconds")
    )
    # What selects nothing has no size of its own, and stands beside each.
    whole = means.filter(pl.col("method") == "all_data").drop("budget")
    sized = means.filter(pl.col("pool").is_not_null(), pl.col("budget").is_not_null())
    pictures, tables = [], []
    parts = sized.group_by(["model", "pool", "budget"], maintain_order=True)
    for place, ((model, pool, budget), of_cell) in enumerate(parts, start=1):
        if place > MOST_CELLS:
            break
        name = cell_name(Cell(str(model), str(pool), int(str(budget))))
        beside = whole.filter(pl.col("model") == model, pl.col("pool") == pool)
        wide = _by_method(pl.concat([beside, of_cell], how="diagonal"))
        rows = [
            [
                TableCell(method),
                *(TableCell(duration(seconds[part])) for part in PARTS),
                TableCell(duration(sum(seconds.values()))),
            ]
            for method, seconds in wide.items()
        ]
        header = ["arm", *(f"{part}, {device}" for part in PARTS), "in all"]
        tables.append(Table(name, header, rows))
        alternative = "; ".join(f"{row[0].text} {row[-1].text}" for row in rows)
        pictures.append(
            Picture(f"costs-{place}", _plot(wide, name, device), f"{device} in all, {name}: {alternative}.")
        )
    paragraphs = [
        *data.break_even,
        f"{device} of one run, means over seeds. What several methods use is split among them. A choice breaks even "
        "where the model that it trains is as good as one trained at random on so much more data.",
    ]
    return Section("costs", title, paragraphs, tables, pictures, "method_costs.csv")


def settling(data: ReportData, each: Verdict) -> str:
    """Which runs would settle a verdict, and at what cost where that is known."""
    if each.word != "not enough seeds":
        return "settled"
    if each.comparison.spread is None:
        return "two random runs or more that differ"
    if each.seeds_needed is None:
        return "over 1,000 seeds of each"
    of_arm = max(0, each.seeds_needed - each.comparison.arm_runs)
    of_random = max(0, each.seeds_needed - each.comparison.random_runs)
    cost = run_cost(data, each.cell)
    price = "" if cost is None else f": {duration((of_arm + of_random) * cost[0])} of {cost[1]}"
    return f"{of_arm} more runs of it, {of_random} of random{price}"


def run_cost(data: ReportData, cell: Cell) -> tuple[float, str] | None:
    """What one more run of a cell costs, trained and evaluated, by its random runs: seconds, and on what."""
    experiments = data.table("method_costs")
    if experiments is None:
        return None
    column, device = _clock(experiments)
    of_cell = experiments.filter(
        pl.col("model") == cell.model,
        pl.col("pool") == cell.pool,
        pl.col("budget") == cell.budget,
        pl.col("method") == RANDOM,
        pl.col("part") != "selecting",
    )
    by_run = of_cell.group_by("experiment").agg(pl.col(column).sum())
    return None if by_run.is_empty() else (float(by_run[column].sum()) / by_run.height, device)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _clock(experiments: pl.DataFrame) -> tuple[str, str]:
    """The column of the time that counts, and its name: of the GPU where there is one."""
    return ("gpu_seconds", "GPU time") if (experiments["gpu_seconds"].sum() or 0) > 0 else ("cpu_seconds", "CPU time")


def _by_method(of_cell: pl.DataFrame) -> dict[str, dict[str, float]]:
    wide: dict[str, dict[str, float]] = {}
    for method, part, seconds in of_cell.select("method", "part", "seconds").iter_rows():
        wide.setdefault(method, dict.fromkeys(PARTS, 0.0))[part] = seconds or 0.0
    return wide


def _plot(wide: dict[str, dict[str, float]], name: str, device: str) -> Figure:
    most = max((sum(seconds.values()) for seconds in wide.values()), default=0)
    unit, length = next((each for each in (("hours", 3600), ("minutes", 60)) if most >= 2 * each[1]), ("seconds", 1))
    methods: Sequence[str] = list(wide)
    with drawing("How much goes into choosing?", name, 1 + 0.2 * len(methods)) as (figure, axes):
        left = [0.0] * len(methods)
        for part, (colour, hatch) in PARTS.items():
            widths = [wide[method][part] / length for method in methods]
            axes.barh(methods, widths, 0.7, left=left, color=colour, hatch=hatch, edgecolor="white", lw=0.4, label=part)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{device} of one run, {unit}")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure
