"""How long a run takes, by what was made before; and `run --dry-run`, which makes nothing."""

import dagster as dg
import pytest
import yaml

from assets.record.cost_ledger import Entry
from orchestration import estimate
from orchestration.expected_time import ExpectedTime
from orchestration.graph import Step
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE
from selection_platform.estimate.machines import stated_machine
from selection_platform.text.numbers import duration
from tests.small_run import PROFILE


def entry(asset, partition, seconds):
    return Entry(asset, partition, "run", 0.0, None, {"wall_seconds": seconds})


def step(partition, *names):
    @dg.multi_asset(specs=[dg.AssetSpec(name) for name in names])
    def computed(): ...

    return Step(computed, partition)


def test_the_same_partition_else_others_of_the_asset():
    # The newest of pool a found its files there already.
    known = ExpectedTime([entry("pool", "a", 0.1), entry("pool", "a", 30.0), entry("pool", "b", 10.0)])
    a, b, c, other = step("a", "pool"), step("b", "pool"), step("c", "pool"), step("a", "selection")
    assert known.of([a, b]) == (40.0, 0)
    assert known.of([c]) == (20.0, 0)
    assert known.of([a, other]) == (30.0, 1)
    assert known.of([]) == (0, 0)


def test_arithmetic_tells_of_what_was_never_made():
    known = ExpectedTime([entry("pool", "a", 30.0)], lambda step: 7.0 if step.partition_key == "b" else None)
    assert known.of([step("b", "pool"), step("b", "checkpoint"), step("a", "checkpoint")]) == (37.0, 1)


def test_what_is_made_together_is_added_up():
    known = ExpectedTime([entry("likelihood", "a", 1.0), entry("embedding", "a", 2.0)])
    assert known.of([step("a", "likelihood", "embedding")]) == (3.0, 0)


def test_a_run_learns_on_the_way():
    known = ExpectedTime([entry("pool", "a", 2.0), entry("pool", "b", 10.0)])
    # The machine has much more to do than before: one minute as foreseen, and 2 s that took 64.
    known.add(step("a", "pool"), 64.0)
    assert known.of([step("b", "pool")]) == (20.0, 0)
    # What was never made before is known once one of it is made.
    assert known.of([step("y", "selection")]) == (0, 1)
    known.add(step("x", "selection"), 3.0)
    assert known.of([step("y", "selection"), step("b", "pool")]) == (23.0, 0)


def test_times_in_words():
    words = [duration(seconds) for seconds in (0.4, 89, 90, 600, 5399, 5400)]
    assert words == ["about 0 s", "about 89 s", "about 2 min", "about 10 min", "about 90 min", "about 1.5 h"]


BY_ARITHMETIC = (
    "31 steps would run From earlier runs, else by arithmetic: about 0 s for all of them, and the time of 20 steps is "
    "not known By stage, with memory and disk: selection-platform estimate"
)
NOT_KNOWN = "4 steps would run The time is not known, because none of these steps ran before"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"), [(["run"], BY_ARITHMETIC), (["refresh", "scores/random"], NOT_KNOWN)], ids=["run", "refresh"]
)
def test_a_dry_run_says_what_would_be_made_and_makes_nothing(tmp_path, monkeypatch, capsys, command, said):
    (tmp_path / "letters.jsonl").write_text('{"messages": []}')
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(PROFILE))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "own.yaml"))
    monkeypatch.setattr(estimate, "_this_machine", lambda _: stated_machine("80 GB"))
    assert main([*command, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["missing", "raw_pool", "letters", "never", "materialised"] in [line.split() for line in lines]
    assert " ".join(" ".join(lines).split()).endswith(said)
    assert not (tmp_path / "home" / "own" / "artifacts").exists()
