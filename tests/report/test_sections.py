"""The numbers of each section are those of its table, worked out by hand."""

from dataclasses import replace

import polars as pl
import pytest

from selection_platform.configuration.settings import FineTuningSettings
from selection_platform.report.answer import answer
from selection_platform.report.cost_section import duration, operations
from selection_platform.report.costs import PARTS, Arm, ExperimentCost, Spent, arm_costs
from selection_platform.report.pool_size_plot import beside_each_size, catching_up
from selection_platform.report.sections import sections
from selection_platform.report.selection_sections import overlap_numbers, unlikeness
from selection_platform.report.study_sections import ablation_numbers
from selection_platform.report.unchanged import unchanged_cells
from selection_platform.report.verdict_sections import verdict_numbers
from selection_platform.verdict.tables import runs_of, verdict_rows, verdicts_of
from selection_platform.verdict.verdicts import LOSS, verdicts
from selection_platform.verdict.words import cell_name, signed
from tests.report.frames import ABLATION, CELL, COSTS, EVERYTHING, EVIL, OVERLAP, PROFILE, TRAINING, VALUES, curve, data


def section(name, of):
    """One section alone: drawing all takes a second."""
    made = sections(of)[name]()
    assert made is not None
    assert made.name == name
    return made


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_the_leaderboard_has_means_and_marks_best_and_second():
    average, loss = section("leaderboard", data()).tables
    assert average.header == ["arm", "seeds", cell_name(CELL)]
    assert texts(average) == [
        ["base", "1", "11.00"],
        ["random", "3", "11.00"],
        ["ifd", "1", "15.00"],
        ["zip", "2", "5.25"],
    ]
    assert [row[2].rank for row in average.rows] == ["second", "second", "best", None]
    assert [row[2].text for row in loss.rows] == ["2.1000", "2.1000", "2.0000", "3.0000"]
    assert [row[2].rank for row in loss.rows] == ["second", "second", "best", None]
    # Random is what the others are held against.
    assert [row[2].verdict for row in average.rows][1] is None
    assert average.markdown().splitlines()[4].split("|")[3].strip() == "**15.00** ?"


def test_each_benchmark_has_its_column():
    table, _ = section("benchmarks", data()).tables
    assert (table.caption, table.header) == (cell_name(CELL), ["arm", "mmlu"])
    assert texts(table) == [["base", "11.00"], ["random", "11.00"], ["ifd", "15.00"], ["zip", "5.25"]]


def test_verdicts_have_differences_intervals_and_what_would_settle_them():
    average, _ = section("verdict", data()).tables
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in average.rows}
    # t of two degrees of freedom times sqrt(1 + 1/3), as in tests/verdict.
    assert rows["ifd"][:3] == ["not enough seeds", "+4.00", "-0.97 to +8.97"]
    # 21 seeds of each for one standard deviation, where two methods are looked at together.
    assert rows["ifd"][4:] == ["1 : 3", "20 more runs of it, 18 of random"]
    assert (rows["zip"][0], rows["zip"][-1]) == ("worse", "settled")
    assert rows["base"][-1] == "no number of runs: the base model has no seeds"


def test_what_would_settle_it_has_a_price_where_costs_are_known():
    average, _ = section("verdict", data(costs=COSTS)).tables
    # 38 runs of 20 s of training and 10 s of evaluation: 1,140 s.
    assert average.rows[1][-1].text == "20 more runs of it, 18 of random: 19.0 min of CPU time"


def test_an_arm_without_seeds_says_so():
    made = data({"average": {"random": [10, 10, 10], "ifd": [16]}})
    (table,) = section("verdict", made).tables
    assert [cell.text for cell in table.rows[0]] == [
        "ifd", "not enough seeds", "+6.00", "not known", "", "1 : 3", "two or more random runs that differ",
    ]  # fmt: skip
    assert "too few, or all equal" in answer(made).sentences[-1]


def losses(base, *trained, **others):
    return {LOSS: {"base": [base], "random": list(trained), **others}}


def test_training_that_changed_nothing_is_said():
    recipe = FineTuningSettings(epochs=3, global_batch=128, learning_rate=7e-6)
    found = answer(replace(data(losses(0.8489, 0.8489, 0.8488, zip=[0.8488], all_data=[0.7])), fine_tuning=recipe))
    assert found.headline == "Not known: training had no visible effect."
    assert f"{cell_name(CELL)} (0.8489 before, 0.8488 to 0.8489 after)" in found.sentences[0]
    # 10 rows are one step an epoch.
    assert "too weak for so few rows: 10 rows give 3 steps" in found.sentences[0]
    assert "at most 7e-06" in found.sentences[0]


def test_training_that_changed_less_than_the_margin_is_said():
    # More than random runs vary by.
    found = answer(data(losses(0.8489, 0.8440, 0.8441, 0.8440, zip=[0.8441])))
    assert found.headline == "No: no choice beats random selection by 0.01 bits per byte or more."
    assert f"of {cell_name(CELL)} (0.8489 before, 0.8440 to 0.8441 after) by less than the margin" in found.sentences[0]


@pytest.mark.parametrize(
    "values",
    [
        # No more than random runs vary by, and more than the margin.
        losses(0.85, 0.80, 0.90, 0.85),
        # One arm learnt something.
        losses(0.8489, 0.8489, 0.8488, zip=[0.7]),
        # No base model to compare with.
        {LOSS: {"random": [0.8489, 0.8488], "zip": [0.8489]}},
    ],
)
def test_training_that_changed_something_is_not_said_to_have_changed_nothing(values):
    assert unchanged_cells(data(values)) == ({}, {})
    assert not any(sentence.startswith("Training") for sentence in answer(data(values)).sentences)


@pytest.mark.parametrize(
    ("values", "headline"),
    [
        ({"random": [10, 11, 12], "ifd": [40]}, f"Yes, in 1 of 1 comparisons: ifd ({cell_name(CELL)})."),
        ({"random": [10, 10.1, 10.2], "ifd": [1]}, "No: no choice beats random selection."),
        # The base model chooses nothing, so that it beats random is no choice's merit.
        (
            {"random": [10, 11, 12], "ifd": [15], "base": [90]},
            "Not shown: no choice is seen to beat random selection, and 1 of 1 comparisons are open.",
        ),
        ({"ifd": [16]}, "Not known yet."),
        ({}, "Not known yet."),
    ],
)
def test_the_answer(values, headline):
    assert answer(data({"average": values})).headline == headline


def test_the_answer_is_that_of_the_primary_measure():
    average = {"random": [10, 11, 12], "ifd": [40]}
    made = data({"average": average, "gsm8k": {"random": [10, 11, 12], "ifd": [11]}})
    assert answer(made).headline.startswith("Yes")
    rows = verdict_rows(verdicts(runs_of(made.runs), {}, 1, "gsm8k"), {})
    found = answer(replace(made, verdict=rows))
    assert found.headline.startswith("Not shown")
    assert [sentence.split(", of")[0] for sentence in found.sentences[:2]] == [
        "On the gsm8k (primary)", "On the average of the benchmarks (exploratory)",
    ]  # fmt: skip


def test_the_answer_names_benchmarks_without_a_right_answer():
    values = VALUES | {"gsm8k": {"random": [0, 0, 0], "ifd": [0]}}
    assert any(
        sentence.startswith("No run has a right answer on gsm8k.") for sentence in answer(data(values)).sentences
    )
    values["gsm8k"]["ifd"] = [5]
    assert not any("right answer" in sentence for sentence in answer(data(values)).sentences)


def test_the_answer_says_how_far_to_trust_it():
    counts, loss, trust = answer(data()).sentences
    assert "of 2 comparisons of a method with random selection 0 are better, 1 worse" in counts
    assert "within 0.01 bits per byte" in loss
    assert "there are 3 random runs" in trust
    assert "a true difference of 4.97 percentage points is seen half the time" in trust
    assert "To see a difference of 1 four times in five among 2 comparisons, it takes 21 seeds of each arm." in trust


def test_the_trust_table():
    (table,) = section("trust", data()).tables
    assert texts(table)[0] == [
        cell_name(CELL), "average of the benchmarks", "3", "11.00", "1.00", "4.97", "17, 21 for 1",
    ]  # fmt: skip


def test_the_papers_differences_stand_beside_ours():
    paper = data({"average": {"random": [50, 51, 52], "ifd": [49], "less": [60]}}).verdict
    made = data()
    (table,) = section("paper", replace(made, paper=paper)).tables
    assert table.header[1:] == [f"ours: {cell_name(CELL)}", f"paper: {cell_name(CELL)}"]
    assert texts(table) == [["ifd", "+4.00", "-2.00"]]


def test_clusters_show_with_and_without():
    made = section("clusters", data(diversity_ablation=ABLATION))
    (table,) = made.tables
    assert texts(table) == [["ifd", "16.00", "14.50", "-1.50"], ["less", "12.00", "12.00", "0.00"]]
    assert [row[2].note for row in table.rows] == ["2 seeds", "1 seed"]
    assert "ifd -1.50, less 0.00" in made.pictures[0].alternative
    assert ablation_numbers(ABLATION) == {f"average: mean gain, {cell_name(CELL)}": -0.75}


def test_overlap_names_the_most_alike():
    made = section("overlap", data(selection_overlap=OVERLAP))
    assert (
        "two random draws share 25.0% on average. Most alike: ifd and zip 70%, random and ifd 20%" in made.paragraphs[1]
    )
    (share,) = overlap_numbers(OVERLAP).values()
    assert share == pytest.approx(0.3)


def test_looks_are_measured_against_the_pool():
    made = section("looks", data(selection_profile=PROFILE))
    # Half of |0.5 - 0.75| + |0.5 - 0.25|, and of |1 - 0.75| + |0 - 0.25|.
    assert unlikeness(PROFILE.filter(pl.col("trait") == "source")) == {"random": 0.25, "ifd": 0.25}
    (table,) = made.tables
    assert (table.header, texts(table)) == (["method", "source"], [["random", "25%"], ["ifd", "25%"]])
    assert "the whole pool has the same turns" in made.paragraphs[1]


def test_costs_are_means_over_seeds_and_arithmetic_comes_first():
    made = section("costs", data(costs=COSTS))
    arithmetic, time = made.tables
    assert (arithmetic.caption, time.caption) == (
        f"Arithmetic of one run, {cell_name(CELL)}",
        f"CPU time of one run, {cell_name(CELL)}",
    )
    assert texts(time) == [
        ["random", "1.0 s", "2.0 s", "20.0 s", "10.0 s", ""],
        # 1 + 63 / 20, by time and, as all is proportional here, by arithmetic.
        ["ifd", "63.0 s", "2.1 min", "20.0 s", "10.0 s", "4.2x"],
    ]
    assert [cell.text for cell in arithmetic.rows[1]][-1] == "4.2x"
    # Sorted by seconds, whatever the unit that they are shown in.
    assert [cell.order for cell in time.rows[1]][1:5] == [63.0, 126.0, 20.0, 10.0]
    assert made.pictures[0].alternative.startswith("Arithmetic of one run")


@pytest.mark.parametrize(
    ("counted", "text"), [(0, "0"), (2e6, "2.0 MFLOP"), (1.5e12, "1.5 TFLOP"), (2.5e21, "2,500.0 EFLOP")]
)
def test_operations(counted, text):
    assert operations(counted) == text


def test_gpu_and_cpu_time_have_tables_and_prices_of_their_own():
    # Choosing takes 1000 s of cores; training 25 s of cores and 10 s on a GPU, and evaluating 5 s and 2 s.
    spent = {"random": Spent(), "ifd": Spent(1000.0)}
    arms = arm_costs(
        [
            ExperimentCost(method, part, cost)
            for method, chosen in spent.items()
            for part, cost in zip(PARTS, (chosen, chosen, Spent(25.0, 10.0), Spent(5.0, 2.0)), strict=True)
        ],
        {method: Arm(method, *CELL) for method in spent},
    )
    made = section("costs", data(costs=arms))
    of_gpu, of_cpu = made.tables
    assert (of_gpu.caption.split(",")[0], of_cpu.caption.split(",")[0]) == (
        "GPU time of one run",
        "CPU time of one run",
    )
    assert texts(of_gpu)[1] == ["ifd", "0.0 s", "0.0 s", "10.0 s", "2.0 s", "1.0x"]
    assert texts(of_cpu)[1] == ["ifd", "16.7 min", "16.7 min", "25.0 s", "5.0 s", "41.0x"]
    (picture,) = made.pictures
    assert "ifd: selecting 0.0 s, training 10.0 s, evaluating 2.0 s" in picture.alternative
    average, _ = section("verdict", data(costs=arms)).tables
    # 38 runs, each 12 s on the GPU and 30 s of cores.
    assert average.rows[1][-1].text.endswith("18 of random: 7.6 min of GPU time, 19.0 min of CPU time")


@pytest.mark.parametrize(
    ("seconds", "text"), [(119, "119.0 s"), (120, "2.0 min"), (7200, "2.0 h"), (259_200, "3.0 days")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_size_where_random_catches_up():
    # New random runs would lie within 4.97 of 11.
    made = curve(
        {
            "ifd": {100: 17, 200: 15, 400: 12},
            "zip": {100: 12, 200: 12, 400: 12},
            "less": {100: 12, 200: 17, 400: 18},
        }
    )
    assert catching_up(made) == {
        "ifd": "random has caught up at 200",
        "less": "still above random at 400",
        "zip": "not above random at any size",
    }
    assert set(catching_up(made.filter(pl.col("method") != "random")).values()) == {
        "not known: there are too few random runs, or all are equal"
    }
    rounded = pl.when(pl.col("method") == "random").then(10 + 1e-14 * pl.col("seed")).otherwise("value")
    assert catching_up(made.with_columns(rounded.alias("value"))) == catching_up(
        made.filter(pl.col("method") != "random")
    )
    (table,) = section("pool-size", data(pool_size_curve=made)).tables
    assert [row[1:] for row in texts(table)] == [[method, text] for method, text in catching_up(made).items()]


def test_all_data_stands_beside_each_size_of_selection():
    made = curve({"ifd": {100: 17}, "all_data": {100: 13}})
    made = made.with_columns(pl.when(pl.col("method") == "all_data").then(None).otherwise("budget").alias("budget"))
    assert beside_each_size(made).filter(pl.col("method") == "all_data")["budget"].to_list() == [10]


def shown(of):
    """The names of the sections that have something to show."""
    return [name for name, make in sections(of).items() if make() is not None]


def test_sections_without_rows_are_left_out():
    empty = {name: rows.clear() for name, rows in EVERYTHING.items()} | {"pool_size_curve": curve({}).clear()}
    results = ["trust", "leaderboard", "intervals", "verdict", "benchmarks", "arms"]
    for made in (data(), data(**empty)):
        assert shown(made) == results
    # A profile that only selects, and one without random runs.
    assert shown(data({}, selection_profile=PROFILE)) == ["looks"]
    assert shown(data({"average": {"ifd": [15]}})) == ["leaderboard", "arms"]
    # None of the arms is the paper's.
    paper = data({"average": {"random": [50, 51], "less": [60]}}).verdict
    assert shown(replace(data(), paper=paper)) == results


def test_trainings_whose_samples_were_cut_or_left_out_are_shown():
    found = section("training", data(training=TRAINING))
    (table,) = found.tables
    assert texts(table) == [
        [f"m · {EVIL} · 10", "ifd", "0", "10", "8", "3", "2", "25.0%"],
        # An earlier version did not count the tokens.
        [f"m · {EVIL} · 10", "zip", "1", "10", "10", "1", "0", "not counted"],
        [f"m · {EVIL} · all", "all_data", "0", "1,200", "1,200", "1", "0", "0.1%"],
    ]
    assert found.paragraphs[1].startswith("In 3 of 4 trainings, samples longer")
    fewer = found.paragraphs[0]
    assert fewer.startswith("1 of 4 trainings (")
    assert "(ifd)" in fewer
    assert answer(data(training=TRAINING)).sentences[-1] == fewer


def test_trainings_on_whole_samples_are_two_sentences_and_no_warning():
    whole = TRAINING.filter(pl.col("experiment") == "zip/10/s0")
    found = section("training", data(training=whole))
    assert (len(found.paragraphs), len(found.tables)) == (2, 0)
    assert found.paragraphs[0] == "All 1 trainings used every selected sample."
    assert answer(data(training=whole)).sentences == answer(data()).sentences
    # Those of an earlier version were not counted.
    assert "training" not in shown(data(training=TRAINING.clear()))


def test_many_cells_are_cut_and_said_so():
    rows = pl.concat([OVERLAP.with_columns(pl.lit(f"p{index}").alias("pool")) for index in range(13)])
    found = section("overlap", data(selection_overlap=rows))
    assert len(found.pictures) == 12
    assert found.paragraphs[-1].startswith("The first 12 of 13 combinations")


def test_verdicts_come_back_from_their_table():
    found = verdicts_of(data().verdict)
    assert verdict_rows(found, {}).equals(data().verdict)
    numbers = verdict_numbers(found)
    assert (numbers["average: worse"], numbers["average: not enough seeds"]) == (1, 2)
    assert numbers[f"average: best difference, {cell_name(CELL)}"] == 4


def test_a_difference_that_rounds_to_0_has_no_sign():
    assert [signed(value, 2) for value in (0.004, -0.004, -0.01)] == ["0.00", "0.00", "-0.01"]


def test_arms_stand_in_one_order_everywhere():
    # The order of `methods`, and not that of the rows or of the numbers.
    backwards = {"ifd": [12], "token_length": [30], "all_data": [1], "random": [10, 11, 12], "base": [11]}
    order = ["base", "all_data", "random", "token_length", "ifd"]
    made = data({"average": backwards, LOSS: backwards})
    compared = [name for name in order if name != "random"]
    assert [row[0] for row in texts(section("leaderboard", made).tables[0])] == order
    assert [row[0] for row in texts(section("verdict", made).tables[0])] == compared
    picture = section("intervals", made).pictures[0]
    assert [label.get_text() for label in picture.figure.axes[0].get_yticklabels()] == order
    said = picture.alternative.partition("Differences from random: ")[2]
    assert [text.split()[0] for text in said.split(", ")] == compared
    of_profile = section("looks", data(selection_profile=PROFILE.reverse()))
    assert [row[0] for row in texts(of_profile.tables[0])] == ["random", "ifd"]


def test_text_alternatives_count_as_the_figures_do():
    # The base model and all data are drawn, and are no methods that are counted.
    picture = section("intervals", data()).pictures[0]
    title = " ".join(text.get_text() for text in picture.figure.texts)
    assert "Of 2 methods, 0 better than random, 1 worse, 1 open" in title
    assert "Of 2 methods, 0 better than random, 1 worse, 1 open. " in picture.alternative
    gains = section("clusters", data(diversity_ablation=ABLATION)).pictures[0].alternative
    assert "With clusters, 0 of 2 methods do better. Gain" in gains


@pytest.mark.slow
def test_the_figures_of_twelve_cells_are_all_there_on_each_measure():
    rows = [ABLATION.with_columns(pl.lit(f"p{index}").alias("pool")) for index in range(12)]
    both = pl.concat([*rows, *(of_pool.with_columns(pl.lit(LOSS).alias("measure")) for of_pool in rows)])
    assert len(section("clusters", data(diversity_ablation=both)).pictures) == 24
