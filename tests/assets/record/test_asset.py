"""Code versions: what an edit of a statement, or a raised version of a computation, makes due."""

from functools import cache

import pytest

from assets import build_assets
from assets.record import asset as asset_module
from assets.record import recording
from assets.record.asset import SQL, code_version
from orchestration.materialize import materialize_step
from orchestration.workspace import open_workspace
from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.profile import load_profile
from selection_platform.configuration.target_settings import TargetSettings
from selection_platform.experiments.methods import DEFAULT_TARGETS, METHODS
from selection_platform.job.versions import VERSIONS
from sql import queries
from sql.queries import list_sql, load_sql
from tests.small_run import due

CONTENT_STAGES = (
    "10_pools", "20_models", "30_features", "35_pre_experience", "36_influence", "40_scores", "50_selections",
    "70_benchmarks", "90_reports",
)  # fmt: skip
WITHOUT_CONTENT = {
    "10_pools/any_untrained": "says whether there is a mask to put beside conversations",
    "10_pools/on_both_sides": "stops a pool that is unsound",
    "10_pools/contaminated": "describes what was found",
    "10_pools/counts_of_targets": "describes what was made",
    "10_pools/dropped_by_reason": "describes an export",
    "10_pools/sizes": "stops what wants more of a pool than there is, and follows from the pool",
    "10_pools/trimmed_parts": "says in `status` what rows lost",
    "10_pools/with_untrained": "puts a mask beside conversations, whose ids cover it",
    "20_models/set_aside": "says before a run that a base model has nothing to learn",
    "30_features/completeness": "stops features that are not complete",
    "30_features/cluster_sizes": "describes what was made",
    "30_features/gradient_influence": "writes a job's rows as they are",
    "40_scores/summary": "stops scores that are not finite, and describes the others",
    "40_scores/dropped": "describes what was made",
    "40_scores/histogram": "describes what was made",
    "40_scores/length_correlation": "describes what was made",
    "50_selections/faults": "stops a selection that is unsound",
    "50_selections/size": "stops a selection of another size",
    "50_selections/changed": "says in `status` what changed",
    "50_selections/first_picks": "describes what was made",
    "50_selections/origins": "is written by `export`",
    "50_selections/ids": "is read by `verify`",
    "70_benchmarks/averages": "says whose weights stay",
    "70_benchmarks/results_of_experiment": "describes what was made",
}
"""Statements that make no content of any asset, and why."""


@cache
def every_arm():
    arms = {name: ArmSettings() for name in METHODS} | {"mine": ArmSettings(column="quality")}
    # With benchmarks that are tasks of lm-eval's own, and with what exists in half precision alone.
    changes = {"arms": arms, "evaluation": load_profile("paper").evaluation, "dtype": "bfloat16"}
    targets = {DEFAULT_TARGETS: TargetSettings(pool_samples=3)}
    return load_profile("demo").model_copy(update={**changes, "targets": targets})


@pytest.fixture(scope="module")
def declared():
    """The statements that make each asset's content."""
    return {
        spec.key.to_user_string(): set(spec.metadata[SQL])
        for asset in build_assets(every_arm())
        for spec in asset.specs
    }


def versions_of_definitions():
    return {
        key.to_user_string(): asset.code_versions_by_key[key]
        for asset in build_assets(every_arm())
        for key in asset.keys
    }


@pytest.fixture(scope="module")
def before():
    """The code versions as they are."""
    return versions_of_definitions()


@pytest.fixture(scope="module")
def code():
    """What each asset's code version is made of: to build the assets again for each change takes seconds in all."""
    made_of = []

    def note(*parts):
        made_of.append(parts)
        return str(len(made_of) - 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asset_module, "code_version", note)
        return {asset: made_of[int(number or "")] for asset, number in versions_of_definitions().items()}


def changed_now(code, before):
    now = {asset: code_version(*parts) for asset, parts in code.items()}
    assert now.keys() == before.keys()
    return {asset: version for asset, version in now.items() if version != before[asset]}


def test_comments_and_white_space_are_not_the_meaning_of_a_statement(monkeypatch):
    texts = {
        "one": "SELECT a, 'it''s  -- kept' AS \"b  c\" FROM t -- why\nWHERE x >= 1",
        "other": "SELECT a,\n  'it''s  -- kept' AS \"b  c\"/* here\n too */FROM t\nWHERE x>=1  -- and why",
        "string": "SELECT a, 'it''s -- kept' AS \"b  c\" FROM t WHERE x >= 1",
        "number": "SELECT a, 'it''s  -- kept' AS \"b  c\" FROM t WHERE x >= 2",
    }
    monkeypatch.setattr(asset_module, "load_sql", lambda name: texts["one" if name == "s" else name])
    before = code_version(["s"], [], 1)
    meanings = {name: asset_module._meaning(text) for name, text in texts.items()}
    assert meanings["one"] == meanings["other"]
    assert len(set(meanings.values())) == 3
    texts["one"] = texts["other"]
    assert code_version(["s"], [], 1) == before
    texts["one"] = texts["number"]
    assert code_version(["s"], [], 1) != before


@pytest.mark.parametrize("name", [name for stage in CONTENT_STAGES for name in list_sql(stage)])
def test_an_edit_of_a_statement_makes_exactly_its_assets_due(name, declared, code, before, monkeypatch):
    monkeypatch.setattr(asset_module, "load_sql", lambda other: load_sql(other) + (" LIMIT 7" if other == name else ""))
    changed = set(changed_now(code, before))
    assert changed == {asset for asset, statements in declared.items() if name in statements}
    assert bool(changed) != (name in WITHOUT_CONTENT)


# What makes text of conversations is among the settings of those who read it: `text_used`. So are logits in half
# precision: `logits_in`. No shipped profile evaluates with vLLM.
@pytest.mark.parametrize("name", sorted(VERSIONS.keys() - {"rendering", "half_precision_logits", "vllm_engine"}))
def test_a_raised_version_makes_the_assets_due_that_are_made_by_it(name, code, before, monkeypatch):
    monkeypatch.setitem(VERSIONS, name, 99)
    changed = changed_now(code, before)
    assert changed
    assert all(f"{name} 99" in version for version in changed.values())


class Recorder:
    """Stands in for the folder of the statements, and notes which are read."""

    def __init__(self, folder):
        self.folder, self.read = folder, set()

    def joinpath(self, name):
        self.read.add(name.removesuffix(".sql"))
        return self.folder.joinpath(name)


@pytest.mark.slow
def test_every_statement_that_an_asset_runs_is_declared(place, declared, monkeypatch):
    recorder = Recorder(queries._FOLDER)
    # All is up to date, and would be reused.
    monkeypatch.setattr(recording, "reused", lambda *arguments: [])
    monkeypatch.setattr(queries, "_FOLDER", recorder)
    with open_workspace(load_profile(str(place.profile))) as workspace:
        for step in workspace.staleness.graph.steps:
            load_sql.cache_clear()
            recorder.read.clear()
            materialize_step(step, workspace.assets, workspace.resources, workspace.instance)
            of_content = {name for name in recorder.read if name.startswith(CONTENT_STAGES)}
            assert of_content - set.union(*(declared[key.to_user_string()] for key in step.asset.keys)) <= set(
                WITHOUT_CONTENT
            ), step


def test_status_says_what_of_the_code_changed(place, capsys, monkeypatch):
    monkeypatch.setattr(
        asset_module, "load_sql", lambda name: load_sql(name) + (" LIMIT 7" if name == "40_scores/entropy" else "")
    )
    ((step, (status, causes)),) = due(capsys, place).items()
    assert (step, status) == ("scores/entropy letters/tiny", "stale")
    assert causes[0].startswith("code version 1, sql 4d8fe766 -> 1, sql ")
