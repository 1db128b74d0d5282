"""The sections of the page, each from the tables that it shows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import polars as pl

from selection_platform.experiments.methods import METHODS
from selection_platform.report.ablation_plot import ablation_plot
from selection_platform.report.answer import NO_RANDOM, span
from selection_platform.report.cost_section import costs, settling
from selection_platform.report.data import Margins, ReportData
from selection_platform.report.heat_maps import overlap_plot, trait_plot
from selection_platform.report.interval_plot import finding, interval_plot
from selection_platform.report.parts import Picture, Section, Table, TableCell, cells
from selection_platform.report.pool_size_plot import beside_each_size, catching_up, pool_size_plot
from selection_platform.report.style import VERDICTS
from selection_platform.report.training_section import training
from selection_platform.text.tables import ranks
from selection_platform.verdict.runs import AVERAGE, Cell, Run
from selection_platform.verdict.statistics import Word, interval_between_runs, interval_of_one_run, seeds_to_see
from selection_platform.verdict.tables import runs_of, verdicts_of
from selection_platform.verdict.verdicts import LOSS, RANDOM, Verdict
from selection_platform.verdict.words import (
    SHOWN,
    cell_name,
    count,
    counts_in_words,
    digits_of,
    interval_text,
    measure_name,
    signed,
    unit_of,
)

MOST_COLUMNS = 5
"""Cells side by side in a table; more stand in another one below, so that a page of paper holds each."""
MOST_CELLS = 12
"""Cells (models, pools and sizes) whose figures and detail are shown. The CSV files have all."""
TRAITS = ("length", "turns", "source", "cluster")


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
        "pool-size": lambda: pool_size(data.table("pool_size_curve")),
        "clusters": lambda: clusters(data.table("diversity_ablation"), found),
        "overlap": lambda: overlap(data.table("selection_overlap")),
        "looks": lambda: looks(data.table("selection_profile")),
        "costs": lambda: costs(data.costs),
        "arms": lambda: arms(runs),
    }
    absent = {"paper"} if data.paper is None else set()
    # Trainings of earlier versions were not counted, and say nothing.
    absent |= {"training"} if data.table("training") is None else set()
    return {name: make for name, make in made.items() if name not in absent}


def trust(margins: Margins, runs: Sequence[Run], found: Sequence[Verdict]) -> Section:
    """How far random runs vary, for each cell."""
    rows = []
    for measure in SHOWN:
        digits, margin = digits_of(measure), margins.of(measure)
        for cell, spread in _spreads(found, measure).items():
            values = _random(runs, measure, cell)
            half = interval_of_one_run(spread, len(values))
            needed = None if spread is None else seeds_to_see(margin, spread)
            seeds = "not known" if spread is None else f"{needed or 'over 1,000'}"
            rows.append(
                cells(
                    cell_name(cell),
                    measure_name(measure),
                    f"{len(values)}",
                    f"{sum(values) / len(values):.{digits}f}",
                    "" if spread is None else f"{spread:.{digits}f}",
                    "not known" if half is None else f"{half:.{digits}f}",
                    f"{seeds} for {margin:g}",
                )
            )
    header = [
        "model · pool · samples", "measure", "random runs", "mean", "standard deviation", "smallest visible difference",
        "seeds of each arm needed",
    ]  # fmt: skip
    paragraphs = [
        "A run's number depends on its seed: of the draw and of the training. Random runs show by how much. One "
        "run of a method is held against the interval in which one new random run would lie (Student's t, 95%), "
        "several by the difference of means (Welch). What lies within cannot be told from luck, whatever its sign.",
    ]
    if not rows:
        return Section("trust", "How far can this be trusted?", [NO_RANDOM])
    return Section("trust", "How far can this be trusted?", paragraphs, [Table("Random runs", header, rows, _words(1))])


def leaderboard(runs: Sequence[Run], found: Sequence[Verdict]) -> Section:
    """Means over seeds, best and second marked, with the verdict's sign."""
    words = _words_of(found)
    tables = [
        table
        for measure in SHOWN
        for table in _mean_tables([run for run in runs if run.measure == measure], measure, words)
    ]
    paragraphs = [
        "The mean over the seeds of each arm, and how many there are. The sign behind it is the verdict against "
        "random selection. The average is in percent (higher is better), the held-out loss in bits per byte (lower "
        "is better).",
    ]
    return Section("leaderboard", "Leaderboard", paragraphs, tables, file="leaderboard.csv")


def _mean_tables(runs: Sequence[Run], measure: str, words: Mapping[tuple[str, Cell, str], Word]) -> Iterator[Table]:
    columns = list(dict.fromkeys(run.cell for run in runs))
    methods = _in_order(run.method for run in runs)
    for start in range(0, len(columns), MOST_COLUMNS):
        shown = columns[start : start + MOST_COLUMNS]
        means = {cell: _means([run for run in runs if run.cell == cell]) for cell in shown}
        marks = {
            cell: ranks({name: mean for name, (mean, _) in of_cell.items()}, higher_is_better=measure != LOSS)
            for cell, of_cell in means.items()
        }
        rows = []
        for method in methods:
            counts = [means[cell][method][1] for cell in shown if method in means[cell]]
            row = [TableCell(method), TableCell(span(counts) if counts else "0")]
            for cell in shown:
                text = f"{means[cell][method][0]:.{digits_of(measure)}f}" if method in means[cell] else ""
                row.append(TableCell(text, marks[cell].get(method), verdict=words.get((measure, cell, method))))
            rows.append(row)
        header = ["arm", "seeds", *(cell_name(cell) for cell in shown)]
        yield Table(measure_name(measure).capitalize(), header, rows)


def _means(runs: Sequence[Run]) -> dict[str, tuple[float, int]]:
    """Mean over the seeds of each arm, and their number. Rounded, so that equal means are equal."""
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run.method, []).append(run.value)
    return {method: (round(sum(each) / len(each), 9), len(each)) for method, each in values.items()}


def _words_of(found: Sequence[Verdict]) -> dict[tuple[str, Cell, str], Word]:
    """Each verdict's word, by measure, cell and method."""
    return {(each.measure, each.cell, each.method): each.word for each in found}


def _seeds(runs: int) -> str:
    return "" if runs == 0 else "1 seed" if runs == 1 else f"{runs} seeds"


def intervals(runs: Sequence[Run], found: Sequence[Verdict]) -> Section:
    """An interval plot for each cell."""
    title = "Which arms differ from random?"
    if not found:
        return Section("intervals", title, [NO_RANDOM])
    pictures = []
    for measure in SHOWN:
        of_measure = [each for each in found if each.measure == measure]
        for place, cell in enumerate(_cells(of_measure)[:MOST_CELLS], start=1):
            of_cell = [each for each in of_measure if each.cell == cell]
            about = f"{measure_name(measure)}, {cell_name(cell)}"
            differences = ", ".join(
                f"{each.method} {signed(each.comparison.difference, digits_of(measure))}" for each in of_cell
            )
            pictures.append(
                Picture(
                    f"intervals-{measure}-{place}".replace("_", "-"),
                    interval_plot(of_cell, _random(runs, measure, cell)),
                    f"{about}: {finding(of_cell)}. Differences from random: {differences}.",
                )
            )
    paragraphs = [
        "The grey band is where 95% of new random runs would lie, the strokes in its row are the random runs that "
        "there are. A method with one run differs, looked at by itself, where it lies outside the band; one with "
        "several where its own interval, a line, leaves out 0. The signs are the verdicts after all comparisons "
        "are looked at together (Holm), so an open circle outside the band is what luck alone shows now and then.",
        *_left_out(len(_cells(found))),
    ]
    return Section("intervals", title, paragraphs, pictures=pictures, file="verdict.csv")


def verdict(data: ReportData, found: Sequence[Verdict]) -> Section:
    """Every verdict on average and held-out loss, and what would settle it."""
    title = "The verdicts, and what would settle them"
    paragraphs, tables = [], []
    for measure in SHOWN:
        of_measure = [each for each in found if each.measure == measure]
        if not of_measure:
            continue
        counted = counts_in_words(of_measure, data.margins.of(measure))
        paragraphs.append(f"{measure_name(measure).capitalize()}, in {unit_of(measure)}: {counted}")
        for cell in _cells(of_measure)[:MOST_CELLS]:
            of_cell = {each.method: each for each in of_measure if each.cell == cell}
            rows = [_verdict_row(data, of_cell[method]) for method in _in_order(of_cell)]
            header = ["arm", "runs", "difference", "95% interval", "p (Holm)", "verdict", "to settle it"]
            caption = f"{measure_name(measure).capitalize()}, {cell_name(cell)}"
            tables.append(Table(caption, header, rows, _words(5, 6)))
    if not tables:
        return Section("verdict", title, [NO_RANDOM])
    paragraphs += [
        "Above 0 is better than random, on both measures. Runs are of the arm and of random. To settle means: with "
        f"so many seeds of each, a difference of {data.margins.points:g} points, or {data.margins.loss:g} bits per "
        "byte, would be seen four times in five.",
        *_left_out(len(_cells(found))),
    ]
    return Section("verdict", title, paragraphs, tables, file="verdict.csv")


def _verdict_row(data: ReportData, each: Verdict) -> list[TableCell]:
    numbers, digits = each.comparison, digits_of(each.measure)
    return [
        TableCell(each.method),
        TableCell(f"{numbers.arm_runs} : {numbers.random_runs}"),
        TableCell(signed(numbers.difference, digits)),
        TableCell(interval_text(numbers.low, numbers.high, digits) or "not known"),
        TableCell("" if numbers.p_adjusted is None else f"{numbers.p_adjusted:.3f}"),
        TableCell(each.word, verdict=each.word),
        TableCell(settling(data.costs, each)),
    ]


def paper(published: pl.DataFrame | None, found: Sequence[Verdict]) -> Section:
    """The paper's differences from random beside ours, for the arms that both have."""
    title = "Beside the paper"
    ours = [each for each in found if each.measure == AVERAGE]
    theirs = [] if published is None else verdicts_of(published)
    methods = _in_order({each.method for each in ours} & {each.method for each in theirs})
    if not methods:
        return Section("paper", title, ["No arm here has a number in the paper."])
    columns = [("ours", cell) for cell in _cells(ours)[: MOST_COLUMNS - 1]] + [
        ("paper", cell) for cell in _cells(theirs)
    ]
    words = {("ours", each.cell, each.method): each for each in ours}
    words |= {("paper", each.cell, each.method): each for each in theirs}
    rows = [
        [TableCell(method), *(_difference(words.get((whose, cell, method))) for whose, cell in columns)]
        for method in methods
    ]
    header = ["arm", *(f"{whose}: {cell_name(cell)}" for whose, cell in columns)]
    paragraphs = [
        "Each arm's average less the mean of the random runs beside it, in percentage points, with its verdict. "
        "The paper's (arXiv 2410.09335) were put through the same code. Models, pools and benchmark items are "
        "others, so only the signs and the order can be compared.",
    ]
    return Section("paper", title, paragraphs, [Table("Difference from random", header, rows)])


def _difference(each: Verdict | None) -> TableCell:
    if each is None:
        return TableCell("")
    return TableCell(signed(each.comparison.difference, 2), verdict=each.word)


def benchmarks(runs: Sequence[Run], found: Sequence[Verdict]) -> Section:
    """Each benchmark's means, for each cell."""
    title = "Benchmark by benchmark"
    names = sorted({run.measure for run in runs} - set(SHOWN))
    if not names:
        return Section("benchmarks", title, ["There are no numbers of single benchmarks."])
    words = _words_of(found)
    columns = list(dict.fromkeys(run.cell for run in runs if run.measure in names))
    tables = []
    for cell in columns[:MOST_CELLS]:
        of_cell = [run for run in runs if run.cell == cell]
        means = {name: _means([run for run in of_cell if run.measure == name]) for name in names}
        marks = {
            name: ranks({method: mean for method, (mean, _) in means[name].items()}, higher_is_better=True)
            for name in names
        }
        rows = []
        for method in _in_order(run.method for run in of_cell):
            row = [TableCell(method)]
            for name in names:
                mean, _ = means[name].get(method, (None, 0))
                text = "" if mean is None else f"{mean:.2f}"
                row.append(TableCell(text, marks[name].get(method), verdict=words.get((name, cell, method))))
            rows.append(row)
        tables.append(Table(cell_name(cell), ["arm", *names], rows))
    paragraphs = ["In percent, higher is better; means over seeds.", *_left_out(len(columns))]
    return Section("benchmarks", title, paragraphs, tables, file="leaderboard.csv")


def pool_size(curve: pl.DataFrame | None) -> Section:
    """How methods fare as the pool grows."""
    title = "Does a larger pool help the choice?"
    if curve is None or curve.is_empty():
        return Section("pool-size", title, ["This profile selects from whole pools alone; name sub-pools to see it."])
    pictures, rows = [], []
    shown = beside_each_size(curve.filter(pl.col("measure").is_in(SHOWN)))
    for place, (about, of_cell) in enumerate(_parts(shown, ["measure", "model", "pool", "budget"]), start=1):
        measure, *_ = about
        name = f"{measure_name(str(measure))}, {_about(about[1:])}"
        caught = catching_up(of_cell)
        if place <= MOST_CELLS:
            alternative = f"{name}: " + "; ".join(f"{method}: {text}" for method, text in caught.items())
            pictures.append(Picture(f"pool-size-{place}", pool_size_plot(of_cell, name), alternative))
        rows += [cells(name, method, text) for method, text in caught.items()]
    paragraphs = [
        "The sub-pools are nested. Random runs are of the whole pool: a random draw of a random part is a random "
        "draw. A method is above random at a size where it lies above the interval of one new random run, or of "
        "several by the interval of the difference of means; comparisons are not adjusted for each other here.",
    ]
    header = ["measure, model · pool · samples", "method", "where random catches up"]
    table = Table("Where random catches up", header, rows, _words(1, 2))
    return Section("pool-size", title, paragraphs, [table], pictures, "pool_size_curve.csv")


def clusters(ablation: pl.DataFrame | None, found: Sequence[Verdict]) -> Section:
    """What k-means changes, for each method that has both arms."""
    title = "Does diversity by clusters help?"
    if ablation is None or ablation.is_empty():
        return Section("clusters", title, ["No method is trained both with and without k-means clusters."])
    pictures, tables = [], []
    shown = ablation.filter(pl.col("measure").is_in(SHOWN))
    for place, (about, of_cell) in enumerate(_parts(shown, ["measure", "model", "pool", "budget"]), start=1):
        if place > MOST_CELLS:
            break
        measure, cell = str(about[0]), _cell(about[1:])
        spreads = _spreads(found, measure)
        random_runs = next((each.comparison.random_runs for each in found if each.cell == cell), 0)
        visible = interval_between_runs(spreads.get(cell), random_runs)
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
        pictures.append(Picture(f"clusters-{place}", picture, f"Gain by clusters, {name}: {gains}."))
        tables.append(Table(name.capitalize(), ["method", "without clusters", "with clusters", "gain"], rows))
    paragraphs = [
        "Each method's best samples, against its best of each k-means cluster, as many as its share of the pool. "
        "Above 0 is better with clusters, on both measures. The grey band is where 95% of differences of two "
        "random runs lie: a smaller one of two single runs says nothing.",
    ]
    return Section("clusters", title, paragraphs, tables, pictures, "diversity_ablation.csv")


def overlap(pairs: pl.DataFrame | None) -> Section:
    """What methods' selections have in common."""
    title = "Do methods agree on what to pick?"
    if pairs is None or pairs.is_empty():
        return Section("overlap", title, ["There are no two selections to compare."])
    pictures, paragraphs = [], []
    parts = list(_parts(pairs, ["model", "pool", "budget"]))
    for place, (about, of_cell) in enumerate(parts[:MOST_CELLS], start=1):
        most = of_cell.sort("shared", descending=True, maintain_order=True).head(3)
        shares = [
            f"{one} and {other} {shared / budget:.0%}"
            for one, other, shared, budget in most.select("one", "other", "shared", "budget").iter_rows()
        ]
        by_chance = of_cell["by_chance"][0] / of_cell["budget"][0]
        text = f"{_about(about)}: two random draws share {by_chance:.1%} on average. Most alike: {', '.join(shares)}."
        paragraphs.append(text)
        pictures.append(Picture(f"overlap-{place}", overlap_plot(of_cell, _about(about)), text))
    first = "The share of a selection that another also has, in percent, each method with its first seed."
    return Section(
        "overlap", title, [first, *paragraphs, *_left_out(len(parts))], (), pictures, "selection_overlap.csv"
    )


def looks(profile: pl.DataFrame | None) -> Section:
    """What selections look like beside their pool."""
    title = "What does each selection look like?"
    if profile is None or profile.is_empty():
        return Section("looks", title, ["Nothing is selected yet."])
    pictures, tables, paragraphs = [], [], []
    parts = list(_parts(profile, ["model", "pool", "budget"]))
    for place, (about, of_cell) in enumerate(parts[:MOST_CELLS], start=1):
        traits = [trait for trait in TRAITS if _values(of_cell, trait) > 1]
        same = [trait for trait in TRAITS if _values(of_cell, trait) == 1]
        if same:
            paragraphs.append(f"{_about(about)}: the whole pool is alike in {' and '.join(same)}.")
        for trait in traits:
            of_trait = of_cell.filter(pl.col("trait") == trait)
            figure = trait_plot(of_trait, trait, _about(about))
            alternative = f"Share of each value of {trait} in each selection beside the pool's, {_about(about)}."
            pictures.append(Picture(f"looks-{place}-{trait}", figure, f"{alternative} {_farthest(of_trait)}"))
        distances = {trait: unlikeness(of_cell.filter(pl.col("trait") == trait)) for trait in traits}
        rows = [
            [TableCell(method), *(TableCell(f"{100 * distances[trait][method]:.0f}%") for trait in traits)]
            for method in dict.fromkeys(of_cell["method"])
        ]
        tables.append(Table(f"Unlike the pool, {_about(about)}", ["method", *traits], rows))
    first = (
        "Each method's first seed beside its pool. The number is the share of the selection, the colour says more "
        "(blue) or less (red) than the pool has. Unlike the pool: the share of the selection that would have to be "
        "swapped to be like it; what random has there is what a draw of this size differs by luck."
    )
    return Section(
        "looks", title, [first, *paragraphs, *_left_out(len(parts))], tables, pictures, "selection_profile.csv"
    )


def unlikeness(of_trait: pl.DataFrame) -> dict[str, float]:
    """For each method the total variation distance of its selection from the pool, 0 to 1.

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
    return f"The most unlike it is {method}, {distances[method]:.0%}."


def _values(of_cell: pl.DataFrame, trait: str) -> int:
    return of_cell.filter(pl.col("trait") == trait)["value"].n_unique()


def arms(runs: Sequence[Run]) -> Section:
    """What each arm picks."""
    names = dict.fromkeys(run.method for run in runs)
    rows = [cells(name, METHODS[name].summary) for name in METHODS if name in names]
    return Section("arms", "The arms", [], [Table("What each arm picks", ["arm", "what it picks"], rows, _words(1))])


def _in_order(methods: Iterable[str]) -> list[str]:
    """The methods, each once, in the order in which `methods` lists them."""
    there = set(methods)
    return [name for name in METHODS if name in there]


def _cells(found: Sequence[Verdict]) -> list[Cell]:
    return list(dict.fromkeys(each.cell for each in found))


def _spreads(found: Sequence[Verdict], measure: str) -> dict[Cell, float | None]:
    """Standard deviation of one random run in each cell."""
    return {each.cell: each.comparison.spread for each in found if each.measure == measure}


def _random(runs: Sequence[Run], measure: str, cell: Cell) -> list[float]:
    return [run.value for run in runs if run.measure == measure and run.cell == cell and run.method == RANDOM]


def _parts(rows: pl.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[object, ...], pl.DataFrame]]:
    yield from rows.group_by(keys, maintain_order=True)


def _cell(key: Sequence[object]) -> Cell:
    model, pool, budget = key
    return Cell(str(model), str(pool), int(str(budget)))


def _about(key: Sequence[object]) -> str:
    return cell_name(_cell(key))


def _words(*columns: int) -> frozenset[int]:
    return frozenset(columns)


def _left_out(cells: int) -> list[str]:
    if cells <= MOST_CELLS:
        return []
    return [f"The first {MOST_CELLS} of {cells} combinations of model, pool and size are shown; the CSV file has all."]


def verdict_numbers(found: Sequence[Verdict]) -> dict[str, float]:
    """What is worth following over time of the verdicts on average and held-out loss, by name."""
    numbers: dict[str, float] = {}
    for measure in SHOWN:
        of_measure = [each for each in found if each.measure == measure]
        for word in VERDICTS if of_measure else ():
            numbers[f"{measure}: {word}"] = count(of_measure, word)
        for cell in _cells(of_measure)[:MOST_CELLS]:
            of_cell = [each.comparison for each in of_measure if each.cell == cell]
            numbers[f"{measure}: best difference, {cell_name(cell)}"] = max(each.difference for each in of_cell)
            half = interval_of_one_run(of_cell[0].spread, of_cell[0].random_runs)
            if half is not None:
                numbers[f"{measure}: smallest visible difference, {cell_name(cell)}"] = half
    return numbers


def ablation_numbers(ablation: pl.DataFrame) -> dict[str, float]:
    """The mean gain by clusters over methods, by measure, model, pool and size."""
    shown = ablation.filter(pl.col("measure").is_in(SHOWN))
    parts = list(_parts(shown, ["measure", "model", "pool", "budget"]))[:MOST_CELLS]
    return {
        f"{about[0]}: mean gain, {_about(about[1:])}": float(of_cell["gain"].to_numpy().mean())
        for about, of_cell in parts
    }


def overlap_numbers(pairs: pl.DataFrame) -> dict[str, float]:
    """The mean share that two methods' selections have in common, by model, pool and size."""
    parts = list(_parts(pairs, ["model", "pool", "budget"]))[:MOST_CELLS]
    return {
        f"mean share in common, {_about(about)}": float((of_cell["shared"] / of_cell["budget"]).to_numpy().mean())
        for about, of_cell in parts
    }
