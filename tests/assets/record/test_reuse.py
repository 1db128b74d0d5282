"""A partition that would come out the same is reused: nothing is computed, and nothing is counted twice."""

from typing import Any

import dagster as dg
import pytest

from assets.keys import CHECKPOINT
from assets.record.cost_ledger import entries
from assets.record.provenance import latest_provenance
from orchestration.materialize import materialize_step
from orchestration.workspace import open_workspace
from selection_platform.configuration.profile import load_profile
from tests.small_run import ENTROPY, TOKEN_LENGTH, change_profile

pytestmark = pytest.mark.data


class Home:
    """A finished home that is open."""

    def __init__(self, workspace):
        self.workspace = workspace

    def make(self, asset, partition=None, *, again=None) -> dict[str, Any]:
        """The metadata of one more run of a step."""
        steps = self.workspace.staleness.graph.steps
        (step,) = [step for step in steps if asset in step.names and step.partition_key == partition]
        return materialize_step(
            step, self.workspace.assets, self.workspace.resources, self.workspace.instance, again=again
        )

    def newest(self, asset, partition=None):
        key = dg.AssetKey.from_user_string(asset)
        return latest_provenance(self.workspace.instance, key)[partition]

    @property
    def ledger(self):
        return entries(self.workspace.instance)

    def checks(self, asset, run_id):
        """What a run checked of an asset, and with which numbers."""
        logs = self.workspace.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [entry.asset_check_evaluation for entry in logs]
        return {
            each.check_name: (each.passed, each.partition, each.severity, each.metadata)
            for each in found
            if each.asset_key.to_user_string() == asset
        }


@pytest.fixture
def home(place):
    with open_workspace(load_profile(str(place.profile))) as workspace:
        yield Home(workspace)


def file_time(home, asset=TOKEN_LENGTH):
    return (home.workspace.resources.artifacts.checkpoint(asset) / "manifest.json").stat().st_mtime_ns


def test_what_is_complete_is_reused_and_costs_nothing(home):
    before, ledger, written = home.newest("checkpoint", TOKEN_LENGTH), home.ledger, file_time(home)
    metadata = home.make("checkpoint", TOKEN_LENGTH)
    assert str(metadata["reused"]).startswith("**Reused, nothing was computed.** It is from [run ")
    assert metadata["rows"] == before.metadata["rows"]
    assert not [name for name in metadata if "seconds" in name or "memory" in name or name == "cost"]
    assert home.ledger == ledger
    assert file_time(home) == written
    now = home.newest("checkpoint", TOKEN_LENGTH)
    assert (now.run_id, now.data_version, now.snapshot) == (before.run_id, before.data_version, before.snapshot)
    assert (now.settings, now.speed, now.inputs, now.packages) == (
        before.settings, before.speed, before.inputs, before.packages,
    )  # fmt: skip
    (run,) = home.workspace.instance.get_runs(limit=1)
    assert run.run_id != now.run_id
    assert home.checks("checkpoint", run.run_id) == home.checks("checkpoint", now.run_id)
    said = [entry.user_message for entry in home.workspace.instance.all_logs(run.run_id)]
    assert f"Reused, nothing was computed: it is from run {now.run_id}" in said
    # Reused again, it is still the first run that made it.
    assert home.make("checkpoint", TOKEN_LENGTH)["made by run"] == before.run_id


def test_assets_of_one_computation_are_reused_together(home):
    ledger = home.ledger
    assert "Reused" in str(home.make("answer_likelihood", "letters/tiny")["reused"])
    assert home.ledger == ledger


def test_an_asset_without_partitions_is_reused(home):
    ledger = home.ledger
    assert "Reused" in str(home.make("verdict")["reused"])
    assert home.ledger == ledger


def test_it_is_made_again_where_it_is_forced(home):
    before, count, written = home.newest("checkpoint", TOKEN_LENGTH), len(home.ledger), file_time(home)
    metadata = home.make("checkpoint", TOKEN_LENGTH, again="all")
    assert "reused" not in metadata
    assert len(home.ledger) == count + 1
    assert file_time(home) > written
    now = home.newest("checkpoint", TOKEN_LENGTH)
    assert (now.run_id != before.run_id, now.data_version) == (True, before.data_version)


def test_a_complete_job_is_kept_where_only_rows_are_made_again(home):
    before, written = home.newest("checkpoint", TOKEN_LENGTH), file_time(home)
    assert "reused" not in home.make("checkpoint", TOKEN_LENGTH, again="rows")
    assert file_time(home) == written
    now = home.newest("checkpoint", TOKEN_LENGTH)
    assert (now.run_id != before.run_id, now.data_version) == (True, before.data_version)
    assert home.make("answer_likelihood", "letters/tiny", again="rows")["samples scored now"] == 0


def test_shards_are_made_again_where_it_is_forced(home):
    assert home.make("answer_likelihood", "letters/tiny", again="all")["samples scored now"] > 0


def test_it_is_made_while_an_input_was_never_made(place, home):
    change_profile(place, arms={"random": {"seeds": [0, 1, 2]}})
    with open_workspace(load_profile(str(place.profile))) as changed:
        # As `status` says: the result of the third seed is new.
        assert "reused" not in Home(changed).make("leaderboard")
        # Its inputs are all there.
        assert "reused" in Home(changed).make("checkpoint", TOKEN_LENGTH)


def test_it_is_made_where_the_results_of_its_checks_are_not_known(home):
    made = home.newest("checkpoint", TOKEN_LENGTH).run_id
    assert "reused" in home.make("checkpoint", TOKEN_LENGTH)
    home.workspace.instance.delete_run(made)
    assert "reused" not in home.make("checkpoint", TOKEN_LENGTH)


def test_the_cost_ledger_is_made_each_time(home):
    # Costs are no input of its: those of work that came out the same are not seen otherwise.
    home.make("checkpoint", TOKEN_LENGTH, again="all")
    count = len(home.ledger)
    assert home.make("cost_ledger")["dagster/row_count"] == count


def test_it_is_made_where_its_files_are_gone_or_a_setting_changed(place, home):
    (home.workspace.resources.artifacts.checkpoint(ENTROPY) / "manifest.json").unlink()
    assert "reused" not in home.make("checkpoint", ENTROPY)
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    with open_workspace(load_profile(str(place.profile))) as changed:
        before = home.newest("checkpoint", TOKEN_LENGTH).data_version
        assert "reused" not in Home(changed).make("checkpoint", TOKEN_LENGTH)
    assert home.newest("checkpoint", TOKEN_LENGTH).data_version != before
    # Its input is another now.
    assert "reused" not in home.make("benchmark_result", TOKEN_LENGTH)
    assert CHECKPOINT in home.workspace.instance.get_asset_keys()
