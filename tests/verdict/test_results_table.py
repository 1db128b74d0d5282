"""Tables that were made elsewhere: read as they say, judged like our own, and refused by name where they cannot be."""

import json
import re

import polars as pl
import pytest

from selection_platform.cli.main import main
from selection_platform.errors import PlatformError
from selection_platform.verdict.results_table import paper_runs, read_results
from selection_platform.verdict.runs import Cell, Run
from selection_platform.verdict.verdicts import verdicts

HEADER = "arm,seed,pool,model,measure,value\n"
RANDOM = "".join(f"random,{seed},p,m,average,{value}\n" for seed, value in enumerate((10, 11, 12)))
CELL = Cell("m", "p", 0)


def written(tmp_path, text):
    path = tmp_path / "results.csv"
    path.write_text(text)
    return path


def test_a_table_of_runs_is_judged_like_our_own(tmp_path):
    found = read_results(written(tmp_path, HEADER + RANDOM + "mine,0,p,m,average,40\n base ,0,,m,average,1\n"))
    expected = [Run("average", CELL, "random", seed, 10.0 + seed) for seed in range(3)]
    expected += [Run("average", CELL, "mine", 0, 40.0), Run("average", CELL, "base", 0, 1.0)]
    assert (found.runs, found.intervals) == (expected, {})


def test_benchmarks_are_averaged_and_the_loss_is_not(tmp_path):
    rows = "".join(
        f"{arm},{seed},p,m,{measure},{value}\n"
        for arm, seed, values in (("random", 0, (10, 30, 2)), ("random", 1, (12, 32, 2)), ("mine", 0, (20, 60, 3)))
        for measure, value in zip(("gsm8k", "mmlu", "held_out_loss"), values, strict=True)
    )
    runs = read_results(written(tmp_path, HEADER + rows)).runs
    assert [run.value for run in runs if run.measure == "average"] == [20, 22, 40]
    assert {run.measure for run in runs} == {"average", "gsm8k", "mmlu", "held_out_loss"}


def test_controls_stand_beside_each_pool_and_budget_of_their_model(tmp_path):
    text = "arm,seed,pool,model,budget,measure,value\n" + "".join(
        f"random,0,{pool},{model},{budget},average,5\n"
        for pool, model, budget in (("p", "m", 1), ("p", "m", 2), ("q", "m", 1), ("p", "n", 1))
    )
    runs = read_results(written(tmp_path, text + "base,0,,m,,average,3\nall_data,0,p,m,,average,4\n")).runs
    cells = [(run.method, run.cell.pool, run.cell.budget) for run in runs if run.method != "random"]
    assert cells == [
        ("base", "p", 1), ("base", "p", 2), ("base", "q", 1), ("all_data", "p", 1), ("all_data", "p", 2),
    ]  # fmt: skip


ITEMS = "arm,seed,pool,model,measure,subset,item,value\n" + "".join(
    f"{arm},{seed},p,m,{measure},{subset},{item},{value}\n"
    for arm, seed, marks in (("random", 0, "0110 01"), ("random", 1, "0110 11"), ("mine", 0, "1010 11"))
    for measure, part in zip(("bbh", "gsm8k"), marks.split(), strict=True)
    for item, (value, subset) in enumerate(zip(part, "abbb" if measure == "bbh" else "xx", strict=True))
)


def test_items_become_runs_and_an_interval_over_items(tmp_path):
    found = read_results(written(tmp_path, ITEMS))
    values = {(run.measure, run.method, run.seed): run.value for run in found.runs}
    # Two subsets of BBH count alike: 0 and 2/3 for random, 1 and 1/3 for the other.
    assert values["bbh", "random", 0] == pytest.approx(100 * (0 + 2 / 3) / 2)
    assert values["bbh", "mine", 0] == pytest.approx(100 * (1 + 1 / 3) / 2)
    assert values["average", "mine", 0] == pytest.approx((200 / 3 + 100) / 2)
    (interval,) = found.intervals.values()
    (verdict,) = (each for each in verdicts(found.runs, {}, 1) if each.measure == "average")
    assert interval.difference == pytest.approx(verdict.comparison.difference)


CLUSTERS = "arm,seed,pool,model,measure,cluster,item,value\n" + "".join(
    f"{arm},{seed},p,m,race,{cluster},{item},{value}\n"
    for arm, seed, marks in (("random", 0, "00000000"), ("random", 1, "00000000"), ("mine", 0, "11110000"))
    for item, (value, cluster) in enumerate(zip(marks, "aabbccdd", strict=True))
)


def test_items_of_a_cluster_are_drawn_together(tmp_path):
    (together,) = read_results(written(tmp_path, CLUSTERS)).intervals.values()
    alone = CLUSTERS.replace("cluster,", "").replace(",race,a", ",race").replace(",race,b", ",race")
    alone = alone.replace(",race,c", ",race").replace(",race,d", ",race")
    (apart,) = read_results(written(tmp_path, alone)).intervals.values()
    assert together.difference == apart.difference == 50
    # Of 4 means, or 8: the standard deviation of 0 and 100 by halves, with n - 1 in place of n.
    assert together.error == pytest.approx(50 * (4 / 3) ** 0.5 / 4**0.5, rel=0.05)
    assert apart.error == pytest.approx(50 * (8 / 7) ** 0.5 / 8**0.5, rel=0.05)


WRONG = [
    ("no header", "", "is not a CSV file in UTF-8"),
    ("not text", HEADER.encode() + b"caf\xe9,0,p,m,average,1\n", "is not a CSV file in UTF-8"),
    ("no rows", HEADER, "has no rows"),
    ("a column is missing", "arm,seed,pool,model,value\n", "the column measure is missing; it has arm, seed"),
    ("a column too many", HEADER.replace("\n", ",note\n"), "does not know the column note; take it out"),
    ("subsets without items", HEADER.replace("\n", ",subset\n"), "has a column subset and no column item"),
    ("clusters without items", HEADER.replace("\n", ",cluster\n"), "has a column cluster and no column item"),
    ("no number", HEADER + RANDOM + "mine,0,p,m,average,good\n", "row 4, column value: 'good' is not a number"),
    ("NaN", HEADER + RANDOM + "mine,0,p,m,average,nan\n", "row 4, column value: 'nan' is not a number"),
    ("no value", HEADER + RANDOM + "mine,0,p,m,average,\n", "row 4, column value: is empty"),
    ("half a seed", HEADER + RANDOM + "mine,0.5,p,m,average,1\n", "row 4, column seed: '0.5' is not a whole number"),
    ("no pool", HEADER + RANDOM + "mine,0,,m,average,1\n", "row 4, column pool: is empty, which only rows of base"),
    ("a run twice", HEADER + RANDOM + "random,2,p,m,average,1\n", "row 4, column arm: 'random' has a row with the"),
    ("no random run", HEADER + RANDOM + "mine,0,q,m,average,1\n", "row 4: no row of the arm `random` has model 'm',"),
    ("a control of no model", HEADER + RANDOM + "base,0,,n,average,1\n", "row 4, column model: 'n' matches no row"),
    ("a control of no pool", HEADER.replace("model", "model,budget") + RANDOM.replace(",m,", ",m,1,")
     + "all_data,0,q,m,,average,1\n", "row 4, column pool: 'q' matches no row of the arm `random`"),
    ("a control of no budget", HEADER.replace("model", "model,budget") + RANDOM.replace(",m,", ",m,1,")
     + "base,0,,m,2,average,1\n", "row 4, column budget: 2 matches no row of the arm `random`"),
    ("fractions", HEADER + RANDOM.replace("average,1", "average,0.1"), "all values are between 0 and 1; multiply"),
    ("a benchmark less", HEADER + RANDOM.replace("average", "mmlu") + "random,0,p,m,gsm8k,4\n",
     "row 2, column arm: 'random' does not have all of mmlu, gsm8k in this run"),
    ("an item less", ITEMS.rsplit("mine", 1)[0], "column item: '1' is not in every run of its cell"),
    ("an item in two clusters", CLUSTERS + "mine,0,p,m,race,z,0,1\n", "column arm: 'mine' has a row"),
    ("another cluster in another run", CLUSTERS.replace("mine,0,p,m,race,a,0", "mine,0,p,m,race,z,0"),
     "column item: '0' is in several clusters; name the same one in each run"),
    ("a cluster in two subsets", ITEMS.replace("subset,item", "subset,cluster,item").replace(",a,0,", ",a,c,0,")
     .replace(",b,", ",b,c,").replace(",x,", ",x,d,"), "column cluster: 'c' is in several subsets"),
    ("an item twice", ITEMS + "mine,0,p,m,gsm8k,x,1,1\n", "column arm: 'mine' has a row with the same run"),
    ("an item in percent", ITEMS.replace("gsm8k,x,1,1", "gsm8k,x,1,100"), "column value: 100.0 is not between 0 and 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [pytest.param(*case, id=name) for name, *case in WRONG])
def test_tables_that_cannot_be_judged(tmp_path, text, message):
    path = tmp_path / "results.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PlatformError, match=f"^{re.escape(str(path))}.*{re.escape(message)}"):
        read_results(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PlatformError, match="no such file; name a CSV file with the columns arm, seed"):
        read_results(tmp_path / "none.csv")


def test_the_papers_table_is_such_a_table():
    assert paper_runs()[0] == Run("average", Cell("qwen2-7b", "openhermes", 10_000), "base", 0, 52.90)


@pytest.mark.slow
def test_the_commands(tmp_path, capsys):
    path = written(tmp_path, HEADER + RANDOM + RANDOM.replace("average", "gsm8k") + "mine,0,p,m,average,40\n")
    assert main(["verdict", "--table", str(path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["method"], row["verdict"], row["role"]) == ("mine", "better", "primary")
    assert main(["verdict", "--table", str(path)]) == 0
    text = capsys.readouterr().out
    assert "m · p: 3 random runs, 11.00 on average" in text
    assert "Among" not in text
    assert main(["verdict", "--table", str(path), "--primary", "mmlu"]) == 1
    assert "--primary: no measure 'mmlu'; the measures are average, gsm8k" in capsys.readouterr().err
    assert main(["report", "--table", str(path), "--to", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out.startswith("Yes, in 1 of 1 comparisons: mine (m · p).")
    assert pl.read_csv(tmp_path / "page" / "verdict.csv")["method"].to_list() == ["mine"]
    assert main(["report", "--primary", "gsm8k"]) == 1
    assert "--primary: it needs --table" in capsys.readouterr().err
