"""What no plan names is in no graph."""

import polars as pl
import pytest
import yaml

from assets import build_assets
from assets.keys import BENCHMARK_RESULT, CHECKPOINT, SELECTION
from orchestration.graph import Graph
from orchestration.planned import not_wanted
from selection_platform.configuration.profile import load_profile
from tests.small_run import PROFILE

KEY = "random/letters/tiny/6/s{}".format
STAGES = (SELECTION, CHECKPOINT, BENCHMARK_RESULT)


@pytest.fixture
def profile(tmp_path):
    file = tmp_path / "small.yaml"
    arms = {"random": {"seeds": {"first": 1, "max": 4}}, "token_length": {}}
    file.write_text(yaml.safe_dump(PROFILE | {"arms": arms}))
    return load_profile(str(file))


def plan_run(warehouse, number, key):
    rows = pl.DataFrame({"decision": ["run"], "experiment": [key]})
    warehouse.replace_from_frame("experiments.plan", {"round": number}, rows)


def nothing_made(asset) -> dict[str | None, object]:
    return {}


def test_planned_runs_are_wanted_and_so_is_what_was_made_by_hand(profile, new_warehouse, tmp_path):
    warehouse = new_warehouse(tmp_path / "warehouse")
    assert not_wanted(profile, warehouse, nothing_made) == {
        (asset, KEY(seed)) for asset in STAGES for seed in (1, 2, 3)
    }
    plan_run(warehouse, 1, KEY(1))
    plan_run(warehouse, 2, KEY(2))

    def made(asset) -> dict[str | None, object]:
        return {KEY(3): "a record"} if asset == SELECTION else {}

    found = not_wanted(profile, warehouse, made)
    assert found == {(CHECKPOINT, KEY(3)), (BENCHMARK_RESULT, KEY(3))}


def test_a_profile_with_lists_asks_nobody(new_warehouse, tmp_path):
    def never(asset):
        raise AssertionError

    assert not_wanted(load_profile("demo"), new_warehouse(tmp_path / "warehouse"), never) == set()


def test_the_graph_has_neither_steps_nor_inputs_of_what_is_not_wanted(profile):
    assets = build_assets(profile)
    without = {(asset, KEY(seed)) for asset in STAGES for seed in (2, 3)}
    whole, graph = Graph(assets), Graph(assets, without)
    left_out = {node for step in whole.steps for node in step.nodes} - {
        node for step in graph.steps for node in step.nodes
    }
    assert left_out == without
    for key in ("leaderboard", "cost_ledger", "selection_overlap"):
        (node,) = next(step.nodes for step in graph.steps if step.name == key)
        inputs = {upstream for _, upstream in graph.inputs(node)}
        assert KEY(1) in inputs
        assert not inputs & {KEY(2), KEY(3)}
    assert {key for _, key in graph.inputs((CHECKPOINT, KEY(1)))} == {KEY(1), "letters", "tiny"}
