"""The section of the answer cards: were each arm's answers found and ended, and what do other rules make of them?"""

from collections.abc import Iterator

import polars as pl

from selection_platform.evaluation.results import ANSWER_FOUND, CARD, ENDED
from selection_platform.report.cells import MOST_CELLS, about_cell, left_out, methods_in_order, parts_of
from selection_platform.report.item_outcomes import CELL
from selection_platform.report.parts import Section, Table, cells
from selection_platform.verdict.tables import with_subsets

MOST_WARNINGS = 10
_ARM = [*CELL, "method"]
_SAID = (
    "A benchmark should measure what a model knows, and not how it writes. Found: in how many of its answers, in "
    "percent, the scoring rule found an answer, right or wrong. Ended: how many the model ended before "
    "`max_new_tokens` cut them off. Where an arm differs from random here, look at its answers (column `response` of "
    "`benchmarks.items`) before you believe its gain."
)
_RULES = (
    "The same answers by other rules: strict ones, which published numbers follow, and for IFEval the instructions on "
    "language and form alone. None of them counts in a verdict."
)


def gains_by_card(differences: pl.DataFrame) -> pl.DataFrame:
    """How much of each arm's gain over random comes from items whose card differs.

    Args:
        differences: rows of `90_reports/item_differences.sql`.

    Returns:
        Columns `model`, `pool`, `budget`, `method`, `changed` and `items` (numbers of items), `of_changed` and
        `of_others`: what these items add to the average over benchmarks, in percentage points.
    """
    benchmark = [*_ARM, "benchmark"]
    share = pl.col("weight") / pl.col("weight").sum().over([*benchmark, "subset"])
    of_average = pl.col("subset").n_unique().over(benchmark) * pl.col("benchmark").n_unique().over(_ARM)
    points = pl.col("difference") * share / of_average
    rows = with_subsets(differences).with_columns(points.alias("points"))
    return rows.group_by(_ARM, maintain_order=True).agg(
        pl.col("card_changed").sum().cast(pl.Int64).alias("changed"),
        pl.len().cast(pl.Int64).alias("items"),
        pl.col("points").filter(pl.col("card_changed")).sum().alias("of_changed"),
        pl.col("points").filter(~pl.col("card_changed")).sum().alias("of_others"),
    )


def answer_cards(rows: pl.DataFrame | None, gains: pl.DataFrame | None) -> Section | None:
    """Each arm's answers beside its scores, and a warning where they may be what its gain is of.

    Args:
        rows: of `90_reports/answer_card.sql`; None where no benchmark asks for written answers, and so without section.
        gains: of `gains_by_card`.
    """
    if rows is None:
        return None
    parts = list(parts_of(rows, CELL))
    tables = [table for about, of_cell in parts[:MOST_CELLS] for table in _tables(of_cell, about_cell(about))]
    paragraphs = [_SAID, *([] if gains is None else warnings(gains)), _RULES, *left_out(len(parts))]
    title = "Is a gain more than another way to write?"
    return Section("cards", title, paragraphs, tables, file="answer_card.csv", arm_pages=True)


def warnings(gains: pl.DataFrame) -> list[str]:
    """A sentence for each arm more of whose gain comes from items whose card differs than from the others."""
    of_style = with_changed_cards(gains)
    said = [
        f"Warning: of what {row['method']} gains over random in {about_cell([row[name] for name in CELL])}, "
        f"{row['of_changed'] + row['of_others']:.2f} points of the average, {row['of_changed']:.2f} come from the "
        f"{row['changed']:,} of {row['items']:,} items whose answers were found or ended more often or more seldom, "
        f"and {row['of_others']:.2f} from the others."
        for row in of_style.iter_rows(named=True)
    ]
    more = len(said) - MOST_WARNINGS
    return said[:MOST_WARNINGS] + ([f"So it is with {more} more."] if more > 0 else [])


def with_changed_cards(gains: pl.DataFrame) -> pl.DataFrame:
    """Of rows of `gains_by_card`, those of arms more of whose gain comes from items whose card differs."""
    gained = pl.col("of_changed") + pl.col("of_others") > 0
    return gains.filter(gained & (pl.col("of_changed") > pl.col("of_others")))


def _tables(of_cell: pl.DataFrame, name: str) -> Iterator[Table]:
    of_card = pl.col("metric").is_in(CARD)
    names = {ANSWER_FOUND: "found", ENDED: "ended"}
    yield _table(of_cell.filter(of_card).with_columns(pl.col("metric").replace(names)), f"Answers, {name}", name)
    others = of_cell.filter(~of_card & ~pl.col("primary"))
    if not others.is_empty():
        compared = of_cell.filter(~of_card & pl.col("benchmark").is_in(others["benchmark"].unique().to_list()))
        yield _table(compared, f"By other rules, {name}", name)


def _table(rows: pl.DataFrame, caption: str, name: str) -> Table:
    """Arms by benchmark and metric, in percent."""
    columns = list(rows.select("benchmark", "metric").unique(maintain_order=True).iter_rows())
    values = {(row["method"], row["benchmark"], row["metric"]): row["value"] for row in rows.iter_rows(named=True)}
    shown = []
    for method in methods_in_order(rows["method"]):
        found = [values.get((method, *column)) for column in columns]
        shown.append(cells(method, *("" if value is None else f"{value:.2f}" for value in found)))
    # With blanks a long name breaks into lines.
    names = [f"{benchmark} {metric}".replace("_", " ") for benchmark, metric in columns]
    return Table(caption, ["arm", *names], shown, cell=name)
