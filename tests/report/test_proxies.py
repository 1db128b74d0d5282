"""The proxy card on four samples: which scorers are compared, by what scores, and at what cost."""

from dataclasses import replace

import polars as pl
import pytest
import yaml

from assets.record.cost_ledger import Entry, spent_by_partition
from selection_platform.configuration.profile import load_profile
from selection_platform.report import proxies as module
from selection_platform.report.agreement import wilson
from selection_platform.report.costs import Spent
from selection_platform.report.data import own_data
from selection_platform.report.proxies import SCHEMA, has_cheaper_scorers, proxy_rows
from selection_platform.report.proxy_section import proxies, saved, sentences
from tests.report.frames import data
from tests.report.test_sections import shown
from tests.small_run import PROFILE

BIG, SMALL = {"pool": "letters", "model": "big"}, {"pool": "letters", "model": "small"}
MODEL = PROFILE["models"]["tiny"]
MODELS = {"big": MODEL, "small": MODEL, "helper": {**MODEL, "fine_tune": False}}
ARMS = {name: {} for name in ("random", "entropy", "less", "selectit", "token_length", "grape", "diverse_evol")}
COSTS = {
    "entropy/letters/big/2/s0": Spent(8, 0, 100, 0), "entropy/letters/small/2/s0": Spent(2, 0, 10, 0),
    "less/letters/big/2/s0": Spent(8, 0, 40, 60), "less/letters/small/2/s0": Spent(2, 0, 4, 6),
    "selectit/letters/big/2/s0": Spent(10, 0, 120, 0), "selectit/letters/small/2/s0": Spent(2, 0, 10, 0),
    "random/letters/2/s0": Spent(),
    # No model runs: which took more time is chance.
    "token_length/letters/big/2/s0": Spent(8, 0, 0, 0), "token_length/letters/small/2/s0": Spent(2, 0, 0, 0),
    # Each budget and seed has scores of its own.
    "grape/letters/big/2/s0": Spent(8, 0, 100, 0), "grape/letters/small/2/s0": Spent(2, 0, 10, 0),
    "diverse_evol/letters/big/2/s0": Spent(8, 0, 100, 0), "diverse_evol/letters/small/2/s0": Spent(2, 0, 10, 0),
}  # fmt: skip
LEDGER = [
    Entry("rating_probability", f"letters/{model}", "run", 0.0, version, Spent(flops / 10, 0, flops, 0)._asdict())
    for model, version, flops in (("big", "new", 60), ("big", "new", 40), ("big", "old", 1000), ("helper", "new", 20))
]
"""The newest first. What was spent on older content is past."""


def profile_of(folder, **changes):
    path = folder / "own.yaml"
    parts = {"budgets": [2], "models": MODELS, "arms": ARMS, "selectit": {"helpers": {"big": ["helper"]}}}
    parts |= {"less": {"training": {"max_length": 128}}, **changes}
    path.write_text(yaml.safe_dump({**PROFILE, **parts}))
    return load_profile(str(path))


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return profile_of(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    """Samples a to d. By LESS, the big model's two checkpoints pick {a, b}, and its first alone {a, c}."""
    warehouse = new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")
    warehouse.replace("pools.samples", {"pool": "letters"}, "SELECT unnest(['a', 'b', 'c', 'd']) AS sample_id")
    for method, partition, scores in (
        ("entropy", BIG, [4, 3, 2, 1]),
        ("entropy", SMALL, [4, 3, 2, 1]),
        ("less", BIG, [0.5, 0.4, 0.3, 0.0]),
        ("less", SMALL, [0, 0, 1, 1]),
        ("selectit", BIG, [4, 3, 2, 1]),
        ("selectit", SMALL, [4, 3, 2, 1]),
        ("token_length", BIG, [4, 3, 2, 1]),
        ("token_length", SMALL, [4, 3, 2, 1]),
        ("grape", {**BIG, "seed": 0}, [4, 3, 2, 1]),
        ("grape", {**SMALL, "seed": 0}, [4, 3, 2, 1]),
        ("diverse_evol", {**BIG, "budget": 2}, [4, 3, 2, 1]),
        ("diverse_evol", {**SMALL, "budget": 2}, [4, 3, 2, 1]),
    ):
        rows = "SELECT unnest(['a', 'b', 'c', 'd']) AS sample_id, unnest($scores::DOUBLE[]) AS score"
        warehouse.replace(f"scores.{method}", partition, rows, {"scores": scores})
    influence = """
        SELECT unnest(['a', 'b', 'c', 'd']) AS sample_id, $epoch AS epoch, $rate AS mean_learning_rate, 'all' AS target,
            unnest($influence::DOUBLE[]) AS influence
    """
    rows = [(1, 0.2, [0.5, 0.1, 0.3, 0.0]), (2, 0.1, [0.5, 1.0, 0.3, 0.0])]
    both = " UNION ALL ".join(
        influence.replace("$epoch", str(epoch)).replace("$rate", str(rate)).replace("$influence", str(values))
        for epoch, rate, values in rows
    )
    warehouse.replace("features.gradient_influence", {**BIG, "direction": "adam"}, both)
    # The helper is sure of c and d with every wording, the big model of a and b, but of d with the first wording.
    for model, sure, by_first in (("big", "ab", "d"), ("helper", "cd", "cd")):
        ratings = """
            SELECT sample_id, prompt, CASE
                WHEN contains(CASE WHEN prompt = 1 THEN $by_first ELSE $sure END, sample_id) THEN [0, 0, 0, 0, 1]
                ELSE [0.2, 0.2, 0.2, 0.2, 0.2] END::DOUBLE[] AS probabilities
            FROM pools.samples, range(1, 6) AS prompts (prompt) WHERE pool = 'letters'
        """
        values = {"sure": sure, "by_first": by_first}
        warehouse.replace("features.rating_probability", {"pool": "letters", "model": model}, ratings, values)
    costs = [{"experiment": name, "part": "selecting alone", **cost._asdict()} for name, cost in COSTS.items()]
    unnest = "SELECT unnest($rows, recursive := true)"
    warehouse.replace("reports.experiment_costs", {}, unnest, {"rows": costs})
    return warehouse


def rows_of(warehouse, profile, ledger=LEDGER):
    with warehouse.queries(warehouse.snapshot()) as query:
        return proxy_rows(profile, query, spent_by_partition(ledger))


@pytest.fixture(scope="module")
def rows(warehouse, profile):
    return rows_of(warehouse, profile)


def test_each_cheaper_scorer_stands_beside_the_dearer_one(rows):
    found = rows.select("method", "model", "proxy", "shared", "flops", "whole_flops", "cpu_seconds").rows()
    assert found == [
        ("entropy", "big", "model small", 2, 10, 100, 2),
        # Equal scores: the small model picks c and d.
        ("less", "big", "model small", 0, 10, 100, 2),
        ("less", "big", "1 of 2 checkpoints", 1, 50, 100, 4),
        ("selectit", "big", "model small", 2, 10, 120, 2),
        ("selectit", "big", "rater big, five wordings", 2, 100, 120, 10),
        # The first wording is sure of d, and of equal ones the lower id is picked.
        ("selectit", "big", "rater big, one wording", 1, 20, 120, 2),
        ("selectit", "big", "rater helper, five wordings", 0, 20, 120, 2),
        ("selectit", "big", "rater helper, one wording", 0, 4, 120, pytest.approx(0.4)),
    ]
    assert dict(rows.schema) == SCHEMA
    of_less = rows.row(2, named=True)
    assert (of_less["budget"], of_less["samples"], of_less["unscored"], of_less["by_chance"]) == (2, 4, 0, 0.5)
    # Ranks 4, 2, 3, 1 and 4, 3, 2, 1.
    assert of_less["correlation"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert (of_less["share_low"], of_less["share_high"]) == pytest.approx(wilson(1, 2))


def test_the_table_takes_the_rows(warehouse, rows):
    assert warehouse.replace_from_frame("reports.proxy_card", {}, rows) == rows.height
    assert warehouse.query("FROM reports.proxy_card").rows() == rows.rows()


@pytest.mark.parametrize("missing", ["big", "small"])
def test_a_scorer_that_the_ledger_does_not_have_saves_nothing(warehouse, profile, rows, monkeypatch, missing):
    known = {name: cost for name, cost in COSTS.items() if name != f"entropy/letters/{missing}/2/s0"}
    monkeypatch.setattr(module, "_costs", lambda _: known)
    assert rows_of(warehouse, profile).rows() == rows.filter(pl.col("method") != "entropy").rows()


def test_a_rater_that_the_ledger_does_not_have_has_no_row(warehouse, profile, rows):
    expected = rows.filter(~pl.col("proxy").str.starts_with("rater"))
    assert rows_of(warehouse, profile, []).rows() == expected.rows()


def test_scores_are_read_once_for_all_budgets_and_a_budget_of_all_has_no_row(tmp_path, warehouse, monkeypatch):
    """Of four samples, all budgets of four and more pick all four."""
    profile = profile_of(tmp_path, budgets=[2, 1, 4, 5], arms={"entropy": {}})
    monkeypatch.setattr(module, "_costs", lambda _: COSTS)
    read = []
    with warehouse.queries(warehouse.snapshot()) as query:

        def counted(statement, values):
            read.append(values["model"])
            return query(statement, values)

        rows = proxy_rows(profile, counted, {})
    assert rows.select("budget", "picks", "shared").rows() == [(2, 2, 2), (1, 1, 1)]
    assert sorted(read) == ["big", "small"]


@pytest.mark.slow
def test_a_home_that_was_made_before_the_card_has_a_report(tmp_path, new_warehouse, profile):
    warehouse = new_warehouse(tmp_path / "warehouse")
    with warehouse.write() as connection:
        connection.execute("DROP TABLE reports.proxy_card")
    snapshot = warehouse.snapshot()
    with warehouse.queries(snapshot) as query:
        assert "proxies" not in shown(own_data(profile, query, snapshot))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        # Unrelated models agree where scores are a draw.
        ({"models": {"big": MODEL, "small": MODEL}, "arms": {"grape": {}, "diverse_evol": {}}, "selectit": {}}, False),
        # One model, and a method without parts.
        ({"models": {"big": MODEL}, "arms": {"random": {}, "entropy": {}, "selectit": {}}, "selectit": {}}, False),
        ({"models": {"big": MODEL}, "arms": {"random": {}, "less": {}}, "selectit": {}}, True),
        # No scores by a model.
        ({"models": {"big": MODEL, "small": MODEL}, "arms": {"random": {}}, "selectit": {}}, False),
    ],
)
def test_whether_there_is_a_cheaper_scorer(tmp_path, changes, expected):
    assert has_cheaper_scorers(profile_of(tmp_path, **changes)) is expected


def of_rows(rows, **changed):
    """The rows with other values."""
    return rows.with_columns(pl.lit(value, dtype=SCHEMA[name]).alias(name) for name, value in changed.items())


def test_the_section_names_the_cheapest_that_is_good_enough(rows):
    less = rows.filter(pl.col("method") == "less")
    assert list(sentences(less)) == [
        "for less, no cheaper scorer is good enough; the nearest, 1 of 2 checkpoints, has 1 of 2 picks the same."
    ]
    enough = of_rows(less, good_enough=True, flops=1e9, whole_flops=4e9)
    assert list(sentences(enough)) == [
        "for less, the cheapest that is good enough is model small, with 0 of 2 picks the same; it saves 3.0 GFLOP of "
        "4.0 GFLOP (75%), 6.0 s of CPU time."
    ]
    section = proxies(of_rows(rows, flops=1e9, whole_flops=4e9))
    assert section is not None
    (table,) = section.tables
    assert [cell.text for cell in table.rows[2]] == [
        "less", "1 of 2 checkpoints", "50% (9% to 91%)", "50.0%", "0.80 (-0.82 to 1.00)",
        "1.0 GFLOP of 4.0 GFLOP", "no",
    ]  # fmt: skip


def test_time_that_the_cheaper_scorer_takes_more_of_is_said(rows):
    row = of_rows(rows, flops=1e9, whole_flops=4e9, gpu_seconds=5.0, whole_gpu_seconds=2.0).row(0, named=True)
    assert saved(row) == "saves 3.0 GFLOP of 4.0 GFLOP (75%), 6.0 s of CPU time, but takes 3.0 s more of GPU time"


def test_without_rows_there_is_no_section(rows):
    assert "proxies" not in shown(data())
    assert "proxies" not in shown(data(proxy_card=rows.clear()))
    assert "proxies" in shown(replace(data(), tables={"proxy_card": rows}))
