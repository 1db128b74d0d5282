import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import assets
import selection_platform
from assets import build_assets
from assets.partitions import Partitions
from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.profile import load_profile
from selection_platform.definitions import build_definitions
from selection_platform.experiments.methods import METHODS

HEAVY = ("torch", "transformers", "peft", "datasets", "lm_eval", "accelerate", "matplotlib", "scipy")


@pytest.mark.parametrize("name", ["demo", "cpu", "paper"])
def test_every_shipped_profile_gives_a_sound_graph(name):
    dg.Definitions.validate_loadable(build_definitions(load_profile(name)))


@pytest.mark.slow
def test_loading_the_definitions_imports_nothing_heavy_and_takes_seconds():
    program = (
        "import sys, time; started = time.process_time(); import selection_platform.definitions; "
        f"print(time.process_time() - started, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    seconds, loaded = output.split(maxsplit=1)
    assert loaded.strip() == "[]"
    assert float(seconds) < 4


def test_every_asset_says_what_it_is():
    definitions = build_definitions(load_profile("demo"))
    for key in definitions.resolve_all_asset_keys():
        spec = definitions.resolve_assets_def(key).specs_by_key[key]
        assert spec.description
        assert spec.group_name
        assert spec.kinds
        assert spec.owners == ["team:selection"]
        assert spec.code_version


def test_scores_lead_to_their_own_methods_experiments_alone():
    mapping = Partitions(load_profile("demo")).scores_to_experiments("ifd")
    assert mapping.downstream_partition_keys_by_upstream_partition_key == {
        "instruct-mix/demo-3m": ["ifd/instruct-mix/demo-3m/32/s0"],
        "sharegpt-en/demo-3m": ["ifd/sharegpt-en/demo-3m/32/s0", "ifd/sharegpt-en@80/demo-3m/32/s0"],
    }


def test_ratings_lead_to_the_scores_of_the_models_that_they_choose_for():
    paper = load_profile("paper")
    mapping = Partitions(paper).ratings_to_scorings()
    assert {
        rating: scorings
        for rating, scorings in mapping.downstream_partition_keys_by_upstream_partition_key.items()
        if rating.startswith("wildchat/")
    } == {
        "wildchat/qwen2-7b": ["wildchat/qwen2-7b"],
        "wildchat/llama3-8b": ["wildchat/llama3-8b"],
        "wildchat/qwen2-1.5b": ["wildchat/qwen2-7b"],
    }


def test_every_scored_method_has_its_asset():
    scored = {name for name, method in METHODS.items() if method.scored_per is not None}
    demo = load_profile("demo")
    every_arm = demo.model_copy(update={"arms": {name: ArmSettings() for name in METHODS}})
    keys = build_definitions(every_arm).resolve_all_asset_keys()
    assert {key.path[1] for key in keys if key.path[0] == "scores"} == scored


def test_what_no_arm_needs_is_not_in_the_graph():
    profile = load_profile("demo").model_copy(update={"arms": {"km_ifd": ArmSettings()}})
    keys = {key.to_user_string() for asset in build_assets(profile) for key in asset.keys}
    assert {"scores/ifd", "scores/km_ifd", "sample_cluster", "answer_likelihood"} <= keys
    assert not {"scores/random", "token_count", "warmup_checkpoint", "rating_probability", "prompt_cluster"} & keys


def test_models_that_no_arm_needs_are_not_fetched():
    demo = load_profile("demo")

    def used(arms):
        return demo.model_copy(update={"arms": arms}).used_models

    select_only = ArmSettings(train=False)
    assert used({"zip": select_only, "random": select_only}) == []
    assert used({"entropy": select_only}) == ["demo-3m"]
    assert used({"zip": ArmSettings()}) == ["demo-3m"]
    assert used({"km_selectit": select_only}) == ["demo-3m", "demo-1m"]


def test_the_packages_are_this_projects_own():
    # `assets` and `resources` are common names: another package of that name would shadow ours.
    assert Path(str(assets.__file__)).parents[1] == Path(str(selection_platform.__file__)).parents[1]
