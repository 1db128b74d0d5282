"""Seeds that are made only where a plan says so, and a run that plans them until every verdict is settled."""

import json
import re
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml

from orchestration import until_settled
from selection_platform.cli.main import main
from selection_platform.cli.run import has_open
from tests.small_run import change_profile, due, output_of

RANDOM = "random/letters/tiny/6/s{}".format
LONGEST = "token_length/letters/tiny/6/s{}".format
STAGES = ("selection", "checkpoint", "benchmark_result")
REPORTS = {"leaderboard", "verdict", "selection_overlap", "selection_profile", "cost_ledger", "report"}


def with_ranges(place, margin):
    """Two seeds of random and one of token_length are made."""
    change_profile(
        place,
        verdict={"primary": "held_out_loss", "loss_margin": margin},
        arms={"random": {"seeds": {"first": 2, "max": 4}}, "token_length": {"seeds": {"first": 1, "max": 3}}},
    )


def planned(capsys, place):
    query = "SELECT * EXCLUDE planned_at FROM experiments.plan ORDER BY round, decision, method, experiment"
    return json.loads(output_of(capsys, place, "sql", query, "--json"))


def plan(capsys, place):
    return json.loads(output_of(capsys, place, "plan", "--json"))


def test_what_no_plan_names_is_not_due_anywhere(place, capsys):
    with_ranges(place, 0.001)
    # The draws of all seeds are made at once, and the verdict is made by another rule.
    assert due(capsys, place).keys() == {"scores/random letters", "verdict", "report"}
    output_of(capsys, place, "run")
    assert due(capsys, place) == {}
    states = {
        each["experiment"]: each["stages"] for each in json.loads(output_of(capsys, place, "experiments", "--json"))
    }
    assert set(states[RANDOM(2)].values()) == set(states[LONGEST(1)].values()) == {"not planned"}
    assert set(states[RANDOM(1)].values()) == set(states[LONGEST(0)].values()) == {"made"}
    assert "Nothing is to be made" in output_of(capsys, place, "estimate")
    assert main(["--profile", str(place.profile), "refresh", RANDOM(3)]) == 1
    assert f"{RANDOM(3)} is not planned" in capsys.readouterr().err


def test_runs_are_planned_until_no_comparison_is_open(place, capsys, monkeypatch):
    # So small a margin is never reached: the comparisons are hopeless, better or worse, or run out of seeds.
    with_ranges(place, 1e-9)
    output_of(capsys, place, "run")
    before = plan(capsys, place)
    open_before = {each["method"] for each in before["comparisons"] if each["state"] == "open"}
    assert open_before
    assert max(map(len, output_of(capsys, place, "plan").splitlines())) <= 80
    assert before["due"] == 0

    # Killed after the plan and before its runs: what is planned is due.
    class Killed(Exception):
        pass

    def refresh(*arguments, **options):
        if calls:
            raise Killed
        calls.append(arguments)

    calls: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(until_settled, "refresh", refresh)
        assert main(["--profile", str(place.profile), "run", "--until-settled"]) == 1
    runs = set(before["next"]["runs"])
    assert {row["experiment"] for row in planned(capsys, place) if row["decision"] == "run"} == runs
    found = due(capsys, place)
    assert {name for name in found if name.split()[0] in STAGES} == {
        f"{asset} {run}" for asset in STAGES for run in runs
    }
    assert {name for name in found if name.split()[0] not in STAGES} <= REPORTS

    # The next run goes on, to the end.
    output = output_of(capsys, place, "run", "--until-settled")
    rows = planned(capsys, place)
    assert [row for row in rows if row["round"] == 1] == planned(capsys, place)[
        : sum(row["round"] == 1 for row in rows)
    ]
    made = [row["experiment"] for row in rows if row["decision"] == "run"]
    assert len(made) == len(set(made))
    assert set(made) <= {RANDOM(2), RANDOM(3), LONGEST(1), LONGEST(2)}
    assert all(row["expected_seconds"] > 0 and row["reason"] for row in rows if row["decision"] == "run")
    after = plan(capsys, place)
    assert due(capsys, place) == {}
    assert after["next"]["runs"] == []
    states = {each["method"]: each["state"] for each in after["comparisons"]}
    assert set(states.values()) <= {"settled", "hopeless", "out of seeds"}
    dropped = {row["method"]: row["reason"].partition(":")[0] for row in rows if row["decision"] == "dropped"}
    assert dropped == states
    assert all(f"{method}, tiny · letters · 6: {state}" in output for method, state in states.items())
    # Once more, and nothing is left to say.
    output_of(capsys, place, "run", "--until-settled")
    assert planned(capsys, place) == rows


def test_runs_that_would_take_too_long_are_not_begun(place, capsys):
    with_ranges(place, 1e-9)
    output = output_of(capsys, place, "run", "--until-settled", "--hours", "0.00001")
    assert "open, and the hours are used" in output
    # It just said what is open, and why.
    assert "What would settle the open comparisons" not in output
    assert not [row for row in planned(capsys, place) if row["decision"] == "run"]


def test_a_profile_without_ranges_says_what_more_seeds_would_cost(place, capsys):
    change_profile(place, verdict={"primary": "held_out_loss", "loss_margin": 1e-4})
    answer = output_of(capsys, place, "run")
    found = plan(capsys, place)
    cheapest = found["comparisons"][0]["method"]
    cheap = rf"Cheapest to settle: {cheapest} on tiny · letters · 6, with .+ \([^)]+\), in a new experiment\."
    assert re.search(cheap, " ".join(answer.split()))
    still_open = [each for each in found["comparisons"] if each["verdict"] == "not enough seeds"]
    assert {each["state"] for each in still_open} == {"out of seeds"}
    assert all(each["seconds"] > 0 for each in still_open if each["runs_to_add"])
    # Nobody computed one.
    assert {each["chance"] for each in still_open} == {None}
    seconds = [each["seconds"] for each in still_open if each["runs_to_add"]]
    assert seconds == sorted(seconds)
    output = output_of(capsys, place, "plan")
    assert max(map(len, output.splitlines())) <= 80
    # A range that is written now would be a look that nobody paid for.
    assert "belongs to a new experiment" in " ".join(output.split())
    assert main(["--profile", str(place.profile), "run", "--until-settled"]) == 1
    assert "no arm has seeds to add" in capsys.readouterr().err


def test_what_the_leaderboard_has_and_the_profile_has_no_more_is_not_planned(place, capsys):
    written = yaml.safe_load(place.profile.read_text())

    def said(**sections):
        place.profile.write_text(yaml.safe_dump(written | sections, sort_keys=False))
        assert main(["--profile", str(place.profile), "plan"]) == 1
        return capsys.readouterr().err

    ranges = {"random": {"seeds": {"first": 2, "max": 4}}, "token_length": {"seeds": {"first": 1, "max": 3}}}
    # No run of another budget is made, and of the arms that were made only random is left.
    assert "no arm is evaluated beside a random run yet" in said(arms=ranges, budgets=[5])
    assert "no comparison of a method with random on average yet: run `sel" in said(arms={"random": ranges["random"]})
    two = {"mmlu": {"task": "offline_mmlu", "limit": 1}, "more": {"task": "offline_mmlu", "limit": 2}}
    assert "no comparison of a method with random on more yet" in said(
        arms=ranges, evaluation={"benchmarks": two}, verdict={"primary": "more"}
    )


@pytest.mark.parametrize(("seconds", "said"), [(None, "in a time that is not known"), (7200.0, "about 2.0 h")])
def test_a_round_says_what_it_takes(seconds, said):
    candidate: Any = SimpleNamespace(next_runs=(LONGEST(1), RANDOM(2)))
    plan: Any = SimpleNamespace(candidates=[candidate, candidate], costs=SimpleNamespace(seconds=lambda runs: seconds))
    lines: list[str] = []
    until_settled.tell_round(plan, [candidate], lines.append)
    assert lines[0] == f"Next: 2 runs, {said}, for one more look at 1 of 2 comparisons:"


@pytest.mark.parametrize(
    ("role", "family", "expected"),
    [("primary", "method", True), ("exploratory", "method", False), ("primary", "control", False)],
)
def test_plan_is_named_where_it_has_something_to_say(role, family, expected):
    rows = [("not enough seeds", role, family), ("better", "primary", "method")]
    assert has_open(pl.DataFrame(rows, schema=["verdict", "role", "family"], orient="row")) == expected


def test_hours_are_a_limit(place, capsys):
    assert main(["--profile", str(place.profile), "run", "--hours", "2"]) == 1
    assert "--hours: is the limit of `run --until-settled`" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--profile", str(place.profile), "run", "--until-settled", "--hours", "-1"])
    assert "'-1' is not a number of hours above 0" in capsys.readouterr().err
