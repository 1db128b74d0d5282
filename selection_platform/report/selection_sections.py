"""Sections of selections: their overlap, and how they differ from the pool."""

import polars as pl

from selection_platform.report.cells import MOST_CELLS, about_cell, left_out, methods_in_order, parts_of
from selection_platform.report.heat_maps import overlap_plot, trait_plot
from selection_platform.report.parts import Picture, Section, Table, TableCell
from selection_platform.report.rescored import sentences

TRAITS = ("length", "turns", "source", "cluster")


def overlap(pairs: pl.DataFrame | None, rescored: pl.DataFrame | None = None) -> Section | None:
    """The overlap of the methods' selections, and of IFD's with its own by another scoring; None without either."""
    title, again = "Do methods agree on what to pick?", [] if rescored is None else sentences(rescored)
    if pairs is None or pairs.is_empty():
        return Section("overlap", title, again) if again else None
    pictures, paragraphs = [], []
    parts = list(parts_of(pairs, ["model", "pool", "budget"]))
    for place, (about, of_cell) in enumerate(parts[:MOST_CELLS], start=1):
        most = of_cell.sort("shared", descending=True, maintain_order=True).head(3)
        shares = [
            f"{one} and {other} {shared / budget:.0%}"
            for one, other, shared, budget in most.select("one", "other", "shared", "budget").iter_rows()
        ]
        by_chance = of_cell["by_chance"][0] / of_cell["budget"][0]
        text = (
            f"{about_cell(about)}: two random draws share {by_chance:.1%} on average. Most alike: {', '.join(shares)}."
        )
        paragraphs.append(text)
        pictures.append(Picture(f"overlap-{place}", overlap_plot(of_cell, about_cell(about)), text, about_cell(about)))
    first = "The share of a selection that is also in another one, in percent. Each method has its first seed."
    return Section(
        "overlap", title, [first, *paragraphs, *left_out(len(parts)), *again], (), pictures, "selection_overlap.csv"
    )


def looks(profile: pl.DataFrame | None) -> Section | None:
    """The selections compared with their pool; None without selections."""
    title = "What does each selection look like?"
    if profile is None or profile.is_empty():
        return None
    pictures, tables, paragraphs = [], [], []
    parts = list(parts_of(profile, ["model", "pool", "budget"]))
    for place, (about, of_cell) in enumerate(parts[:MOST_CELLS], start=1):
        traits = [trait for trait in TRAITS if _values(of_cell, trait) > 1]
        same = [trait for trait in TRAITS if _values(of_cell, trait) == 1]
        if same:
            paragraphs.append(f"{about_cell(about)}: the whole pool has the same {' and '.join(same)}.")
        for trait in traits:
            of_trait = of_cell.filter(pl.col("trait") == trait)
            figure = trait_plot(of_trait, trait, about_cell(about))
            alternative = f"Share of each value of {trait} in each selection and in the pool, {about_cell(about)}."
            said = f"{alternative} {_farthest(of_trait)}"
            pictures.append(Picture(f"looks-{place}-{trait}", figure, said, about_cell(about)))
        distances = {trait: unlikeness(of_cell.filter(pl.col("trait") == trait)) for trait in traits}
        rows = [
            [TableCell(method), *(TableCell(f"{100 * distances[trait][method]:.0f}%") for trait in traits)]
            for method in methods_in_order(of_cell["method"])
        ]
        caption = f"Distance from the pool, {about_cell(about)}"
        tables.append(Table(caption, ["method", *traits], rows, cell=about_cell(about)))
    first = (
        "Each method's first seed, compared with its pool. The number is the share of the selection; the colour shows "
        "whether it is more (blue) or less (red) than in the pool. The distance from the pool is the share of the "
        "selection that would have to be replaced to match it; the distance of random selection is due to luck."
    )
    return Section(
        "looks", title, [first, *paragraphs, *left_out(len(parts))], tables, pictures, "selection_profile.csv"
    )


def unlikeness(of_trait: pl.DataFrame) -> dict[str, float]:
    """The total variation distance of each method's selection from the pool, 0 to 1.

    Args:
        of_trait: columns `method`, `share`, `pool_share` of one trait in one cell.
    """
    distances = of_trait.group_by("method", maintain_order=True).agg(
        ((pl.col("share") - pl.col("pool_share")).abs().sum() / 2).alias("distance")
    )
    return dict(distances.iter_rows())


def _farthest(of_trait: pl.DataFrame) -> str:
    distances = unlikeness(of_trait)
    method = max(distances, key=lambda name: distances[name])
    return f"The most different is {method}, {distances[method]:.0%}."


def _values(of_cell: pl.DataFrame, trait: str) -> int:
    return of_cell.filter(pl.col("trait") == trait)["value"].n_unique()


def overlap_numbers(pairs: pl.DataFrame) -> dict[str, float]:
    """The mean overlap of two methods' selections, by model, pool and size."""
    parts = list(parts_of(pairs, ["model", "pool", "budget"]))[:MOST_CELLS]
    return {
        f"mean share in common, {about_cell(about)}": float((of_cell["shared"] / of_cell["budget"]).to_numpy().mean())
        for about, of_cell in parts
    }
