"""Tables in 80 columns and without a terminal's colours, also those that stand as Markdown elsewhere."""

from dataclasses import replace

from selection_platform.cli.main import main
from selection_platform.cli.output import print_table
from selection_platform.configuration.profile import load_profile
from selection_platform.report.data import paper_data
from selection_platform.verdict.tables import verdicts_of
from selection_platform.verdict.words import narrow_tables


def lines(capsys, *table, **options):
    print_table(*table, **options)
    return capsys.readouterr().out.splitlines()


def test_marks_are_signs_where_there_is_no_terminal(capsys):
    assert lines(capsys, ["arm", "m · p"], [["ifd", "**1.25**"], ["zip", "_1.00_"], ["base", "0.75"]]) == [
        "arm    m · p", "────────────", "ifd    1.25*", "zip    1.00+", "base    0.75",
    ]  # fmt: skip
    # In others' words a mark is no mark.
    assert lines(capsys, ["a", "b"], [["_x_", "**y**"]], plain=True)[-1] == "_x_   **y**"


def test_long_cells_end_their_lines_at_a_space_or_a_slash(capsys, monkeypatch):
    table = ["asset", "partitions"], [["answer_likelihood, grape", "zip/letters/tiny/6/s0"], ["pool", "2"]]
    monkeypatch.setenv("COLUMNS", "36")
    assert lines(capsys, *table, text=range(2), wraps=True) == [
        "asset                partitions",
        "─" * 33,
        "answer_likelihood,   zip/letters/",
        "grape                tiny/6/s0",
        "pool                 2",
    ]
    # No word is broken: the table is wider than the terminal.
    monkeypatch.setenv("COLUMNS", "20")
    assert lines(capsys, *table, text=range(2), wraps=True)[2:] == [
        "answer_likelihood,   zip/",
        "grape                letters/",
        "                     tiny/6/s0",
        "pool                 2",
    ]


def test_verdicts_fit_80_columns_and_none_is_lost(capsys):
    found = verdicts_of(paper_data(load_profile("demo")).verdict)
    tables = narrow_tables(found)
    assert sum(len(table.rows) for table in tables.values()) == len(found)
    for name, table in tables.items():
        assert name.endswith(", runs of each arm and at random 1 : 5")
        shown = lines(capsys, *table, text=(0, 1))
        assert max(map(len, shown)) <= 80
        assert len(shown) == len(table.rows) + 2


def test_arms_with_other_numbers_of_runs_say_how_many():
    one, other, *_ = verdicts_of(paper_data(load_profile("demo")).verdict)
    twice = replace(other, comparison=replace(other.comparison, arm_runs=2))
    (table,) = narrow_tables([one, twice]).values()
    assert table.header[-1] == "runs"
    assert [row[-1] for row in table.rows] == ["1 : 5", "2 : 5"]


def test_the_answer_comes_first(capsys):
    assert main(["verdict", "--reference", "paper"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("Not shown: no choice is seen to beat random selection, and 23 of 24")
    assert max(map(len, others)) <= 80
