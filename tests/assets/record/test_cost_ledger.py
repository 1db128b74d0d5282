"""The ledger has what was recorded with every materialisation."""

import json

import pytest

from assets.record.cost_ledger import Entry, made_together, spent_by_partition
from tests.small_run import TOKEN_LENGTH, output_of


def entry(version, seconds, partition="p", asset="scores/ifd", step=("run", "ifd")):
    cost = {"cpu_seconds": seconds, "gpu_seconds": 0.0, "forward_flops": 0.0, "backward_flops": 0.0}
    run, name = step
    return Entry(asset, partition, run, 0.0, version, cost, name)


def test_what_came_out_the_same_cost_each_time_and_what_was_replaced_is_past():
    ledger = [
        entry("new", 1.0),
        entry("new", 10.0),
        entry("old", 100.0),
        entry("new", 1000.0),
        entry("other", 7.0, "q"),
    ]
    spent = spent_by_partition(ledger)
    assert spent["scores/ifd p"].cpu_seconds == 11.0
    assert spent["scores/ifd q"].cpu_seconds == 7.0


def test_what_the_newest_step_of_a_partition_made_too():
    first, second, other = ("run 1", "pass"), ("run 2", "pass"), ("run 2", "zip")
    ledger = [
        entry("new", 9.0, asset="likelihood", step=second),
        entry("old", 9.0, asset="likelihood", step=first),
        entry("new", 1.0, asset="embedding", step=second),
        entry("old", 1.0, asset="clusters", step=first),
        entry("new", 1.0, asset="zip", step=other),
    ]
    assert made_together(ledger) == {
        "likelihood p": {"likelihood p", "embedding p"},
        "embedding p": {"likelihood p", "embedding p"},
        "clusters p": {"clusters p"},
        "zip p": {"zip p"},
    }


def test_a_finished_run_has_costs_of_every_arm(place, capsys):
    costs = json.loads(output_of(capsys, place, "cost", "--json"))
    arms = {each["method"]: each for each in costs["arms"]}
    assert arms["token_length"]["training"]["cpu_seconds"] > 0
    # Training everything takes twice the forward pass in the backward one.
    training = arms["token_length"]["training"]
    assert training["backward_flops"] == pytest.approx(2 * training["forward_flops"], rel=0.2)
    assert arms["entropy"]["selecting"]["forward_flops"] > 0
    assert arms["random"]["selecting"]["forward_flops"] == 0
    assert arms["base"]["training"]["forward_flops"] == 0
    assert arms["entropy"]["times_by_flops"] > 1
    query = f"SELECT part, cpu_seconds FROM reports.experiment_costs WHERE experiment = '{TOKEN_LENGTH}'"
    rows = {row["part"]: row["cpu_seconds"] for row in json.loads(output_of(capsys, place, "sql", query, "--json"))}
    assert rows["training"] == pytest.approx(training["cpu_seconds"])
    query = "SELECT count(*) AS n, count(DISTINCT asset) AS assets, max(year(made_at)) AS year FROM reports.cost_ledger"
    (row,) = json.loads(output_of(capsys, place, "sql", query, "--json"))
    assert row["n"] >= row["assets"] > 8
    assert row["year"] >= 2026
    assert "token_length costs as much as training on" in output_of(capsys, place, "cost")
