"""Sections of the two studies: pool sizes, and k-means clusters."""

from collections.abc import Sequence

import polars as pl

from selection_platform.report.ablation_plot import ablation_plot, gain_finding
from selection_platform.report.cells import (
    MOST_CELLS,
    about_cell,
    cell_of,
    left_out,
    parts_of,
    rows_in_order,
    spreads,
    word_columns,
)
from selection_platform.report.parts import Picture, Section, Table, TableCell, cells
from selection_platform.report.pool_size_plot import beside_each_size, catching_up, pool_size_plot
from selection_platform.verdict.statistics import interval_between_runs
from selection_platform.verdict.verdicts import Verdict
from selection_platform.verdict.words import (
    SHOWN,
    cell_name,
    digits_of,
    measure_name,
    signed,
)


def pool_size(curve: pl.DataFrame | None) -> Section | None:
    """How methods do as the pool grows; None without a study of it."""
    if curve is None or curve.is_empty():
        return None
    pictures, rows = [], []
    shown = beside_each_size(curve.filter(pl.col("measure").is_in(SHOWN)))
    drawn = list(dict.fromkeys(shown.select("model", "pool", "budget").iter_rows()))[:MOST_CELLS]
    for place, (about, of_cell) in enumerate(parts_of(shown, ["measure", "model", "pool", "budget"]), start=1):
        measure, *_ = about
        name = f"{measure_name(str(measure))}, {about_cell(about[1:])}"
        caught = catching_up(of_cell)
        if about[1:] in drawn:
            alternative = f"{name}: " + "; ".join(f"{method}: {text}" for method, text in caught.items())
            pictures.append(
                Picture(f"pool-size-{place}", pool_size_plot(of_cell, name), alternative, about_cell(about[1:]))
            )
        rows += [cells(name, method, text) for method, text in caught.items()]
    paragraphs = [
        "The sub-pools are nested. Random runs select from the whole pool: a random draw from a random part is also a "
        "random draw. A method is above random if its single run is above the interval of one new random run, or if "
        "the interval of the difference of means is above 0. These comparisons are not adjusted for each other.",
        *left_out(len(dict.fromkeys(shown.select("model", "pool", "budget").iter_rows()))),
    ]
    header = ["measure, model · pool · samples", "method", "where random catches up"]
    table = Table("Where random catches up", header, rows, word_columns(1, 2), arms=1)
    title = "Does a larger pool help the methods?"
    return Section("pool-size", title, paragraphs, [table], pictures, "pool_size_curve.csv")


def clusters(ablation: pl.DataFrame | None, verdicts: Sequence[Verdict]) -> Section | None:
    """The effect of k-means clusters on each method that has both arms; None without such a method."""
    if ablation is None or ablation.is_empty():
        return None
    pictures, tables = [], []
    shown = ablation.filter(pl.col("measure").is_in(SHOWN))
    combinations = list(dict.fromkeys(shown.select("model", "pool", "budget").iter_rows()))
    for place, (about, of_cell) in enumerate(parts_of(shown, ["measure", "model", "pool", "budget"]), start=1):
        if about[1:] not in combinations[:MOST_CELLS]:
            continue
        of_cell = rows_in_order(of_cell)
        measure, cell = str(about[0]), cell_of(about[1:])
        random_runs = next((each.comparison.random_runs for each in verdicts if each.cell == cell), 0)
        visible = interval_between_runs(spreads(verdicts, measure).get(cell), random_runs)
        name = f"{measure_name(measure)}, {cell_name(cell)}"
        digits = digits_of(measure)
        rows = [
            [
                TableCell(row["method"]),
                TableCell(f"{row['value']:.{digits}f}", note=_seeds(row["runs"])),
                TableCell(f"{row['clustered_value']:.{digits}f}", note=_seeds(row["clustered_runs"])),
                TableCell(signed(row["gain"], digits)),
            ]
            for row in of_cell.iter_rows(named=True)
        ]
        gains = ", ".join(f"{row[0].text} {row[3].text}" for row in rows)
        picture = ablation_plot(of_cell, name, visible)
        alternative = f"{name}: {gain_finding(of_cell)}. Gain from clusters: {gains}."
        pictures.append(Picture(f"clusters-{place}", picture, alternative, cell_name(cell)))
        header = ["method", "without clusters", "with clusters", "gain"]
        tables.append(Table(name.capitalize(), header, rows, cell=cell_name(cell)))
    paragraphs = [
        "Each method's best samples, compared with its best of each k-means cluster, in proportion to the cluster's "
        "share of the pool. Above 0 is better with clusters, on both measures. The grey band has 95% of the "
        "differences between two random runs: a smaller difference between two single runs may be luck.",
        *left_out(len(combinations)),
    ]
    title = "Does diversity by clusters help?"
    return Section("clusters", title, paragraphs, tables, pictures, "diversity_ablation.csv")


def _seeds(runs: int) -> str:
    return "" if runs == 0 else "1 seed" if runs == 1 else f"{runs} seeds"


def ablation_numbers(ablation: pl.DataFrame) -> dict[str, float]:
    """The mean gain from clusters over all methods, by measure, model, pool and size."""
    shown = ablation.filter(pl.col("measure").is_in(SHOWN))
    parts = list(parts_of(shown, ["measure", "model", "pool", "budget"]))[:MOST_CELLS]
    return {
        f"{about[0]}: mean gain, {about_cell(about[1:])}": float(of_cell["gain"].to_numpy().mean())
        for about, of_cell in parts
    }
