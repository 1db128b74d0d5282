from pathlib import Path

import pytest
import yaml

from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.checks import adapters
from selection_platform.configuration.profile import ProfileError, load_profile, shipped_profiles
from selection_platform.pools.sources import source_state

SMALLEST = {
    "description": "A test.",
    "pools": {"mine": {"source": {"files": "rows.jsonl"}}},
    "models": {"tiny": {"pretraining": {"steps": 1, "context": 4096}}},
    "evaluation": {"benchmarks": {}},
    "budgets": [10],
    "arms": {"base": {}, "all_data": {}, "random": {"seeds": [0, 7]}, "ifd": {}},
}


def write(folder: Path, **changes: object) -> str:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({**SMALLEST, **changes}, sort_keys=False))
    return str(path)


def test_keys_of_all_partitions(tmp_path):
    profile = load_profile(write(tmp_path, budgets=[10, 2000]))
    assert list(profile.scorings) == ["mine/tiny"]
    assert list(profile.experiments) == [
        "base/tiny",
        "all_data/mine/tiny/all/s0",
        "random/mine/tiny/10/s0",
        "random/mine/tiny/10/s7",
        "random/mine/tiny/2k/s0",
        "random/mine/tiny/2k/s7",
        "ifd/mine/tiny/10/s0",
        "ifd/mine/tiny/2k/s0",
    ]


def test_an_arm_that_only_selects_has_no_training(tmp_path):
    profile = load_profile(write(tmp_path, arms={"random": {}, "ifd": {"train": False}}))
    assert list(profile.experiments) == ["random/mine/tiny/10/s0", "ifd/mine/tiny/10/s0"]
    assert list(profile.trained_experiments) == ["random/mine/tiny/10/s0"]


def test_of_a_range_of_seeds_those_after_the_first_are_made_only_if_planned(tmp_path):
    key = "random/mine/tiny/10/s{}".format
    arms = {"random": {"seeds": {"first": 2, "max": 4}}, "ifd": {}}
    study = {"sizes": {"mine": [15]}, "arms": ["random", "ifd"]}
    profile = load_profile(write(tmp_path, arms=arms, pool_size_study=study))
    assert [each for each in profile.experiments if each.startswith("random/mine/")] == [key(seed) for seed in range(4)]
    assert list(profile.only_if_planned) == [key(2), key(3)]
    # Seeds are added for the comparisons of whole pools alone.
    of_part = [each.seed for each in profile.experiments.values() if each.method == "random" and each.pool_size]
    assert of_part == [0, 1]
    # A checkpoint that was trained elsewhere is there already.
    elsewhere = {key(3): {"hub": "me/tuned", "revision": "0123456"}}
    profile = load_profile(write(tmp_path, arms=arms, trained_elsewhere=elsewhere))
    assert list(profile.only_if_planned) == [key(2)]


def test_a_helper_rates_and_is_not_fine_tuned(tmp_path):
    models = {
        "tiny": {"pretraining": {"steps": 1, "context": 4096}},
        "helper": {"pretraining": {"steps": 1, "context": 4096}, "fine_tune": False},
    }
    helpers = {"tiny": ["helper"]}
    profile = load_profile(write(tmp_path, models=models, selectit={"helpers": helpers}))
    assert list(profile.scorings) == ["mine/tiny"]
    assert list(profile.ratings) == ["mine/tiny", "mine/helper"]
    assert profile.raters_of("tiny") == ["tiny", "helper"]
    assert {experiment.model for experiment in profile.experiments.values()} == {"tiny"}
    alone = load_profile(write(tmp_path, models=models, selectit={"level": "sentence"}))
    assert alone.raters_of("tiny") == ["tiny"]
    assert list(alone.ratings) == ["mine/tiny"]


def test_the_name_is_the_files(tmp_path):
    assert load_profile(write(tmp_path)).name == "own"


def test_files_are_found_from_the_profiles_folder_and_named_as_they_are_written(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}")
    source = load_profile(write(tmp_path)).pools["mine"].source
    assert (source.files, source.folder) == ("rows.jsonl", tmp_path)
    assert source_state(source).keys() == {"rows.jsonl"}
    several = load_profile(write(tmp_path, pools={"mine": {"source": {"files": ["rows.jsonl", "x.csv"]}}}))
    assert several.pools["mine"].source.patterns == ("rows.jsonl", "x.csv")


@pytest.mark.parametrize("way", ["deep/../own.yaml", "linked/own.yaml", "deep/link.yaml"])
def test_files_have_the_same_names_by_whatever_way_the_profile_is_named(tmp_path, monkeypatch, way):
    (tmp_path / "rows.jsonl").write_text("{}")
    (tmp_path / "deep").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path)
    file = write(tmp_path, pools={"mine": {"source": {"files": ["rows.jsonl", str(tmp_path / "rows.jsonl")]}}})
    (tmp_path / "deep" / "link.yaml").symlink_to(file)
    assert source_state(load_profile(str(tmp_path / way)).pools["mine"].source).keys() == {"rows.jsonl"}


def test_only_what_the_profile_says_is_a_pattern(tmp_path):
    folder = tmp_path / "run [1]*"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("{}")
    assert source_state(load_profile(write(folder)).pools["mine"].source).keys() == {"rows.jsonl"}
    anywhere = {"mine": {"source": {"files": str(tmp_path / "*" / "*.jsonl")}}}
    assert len(source_state(load_profile(write(folder, pools=anywhere)).pools["mine"].source)) == 1


@pytest.mark.parametrize("name", ["demo", "cpu", "paper"])
def test_shipped_profiles_load(name):
    assert load_profile(name).name == name
    assert name in shipped_profiles()


def test_the_papers_recipe():
    profile = load_profile("paper")
    recipe = profile.fine_tuning
    assert (recipe.epochs, recipe.learning_rate, recipe.warmup_ratio, recipe.weight_decay) == (3, 7e-6, 0.01, 0.1)
    assert (recipe.global_batch, recipe.max_length, recipe.lora) == (128, 4096, None)
    assert profile.budgets == (10_000,)
    assert profile.arms["random"].seeds == (0, 1, 2, 3, 4)
    assert {name: benchmark.shots for name, benchmark in profile.evaluation.benchmarks.items()} == {
        "bbh": 3,
        "gsm8k": 8,
        "humaneval": None,
        "mmlu": 5,
        "ifeval": None,
    }
    # base per model; for each of 4 pools x models: all data, 5 random draws, 7 methods, 5 wrapped in k-means
    assert len(profile.experiments) == 2 + 4 * (1 + 5 + 7 + 5)


def test_a_part_of_the_warm_ups_recipe_keeps_the_rest_of_less_own(tmp_path):
    training = {"epochs": 2, "lora": {"rank": 8}}
    recipe = load_profile(write(tmp_path, less={"training": training})).less.training
    assert (recipe.epochs, recipe.learning_rate, recipe.schedule) == (2, 2e-5, "linear")
    assert (recipe.warmup_ratio, recipe.weight_decay) == (0.03, 0.0)
    assert recipe.lora.model_dump(exclude={"target_modules"}) == {"rank": 8, "alpha": 512, "dropout": 0.1}
    whole = load_profile(write(tmp_path)).less.training
    assert (whole.epochs, whole.lora.rank, whole.global_batch) == (4, 128, 128)


def test_the_adapters_that_a_model_is_trained_with():
    demo, cpu, paper = map(load_profile, ("demo", "cpu", "paper"))
    assert adapters(demo, "demo-3m") == [demo.less.training.lora]
    assert adapters(demo, "demo-1m") == []
    assert adapters(cpu, "smollm2-135m") == [cpu.fine_tuning.lora]
    assert adapters(paper, "qwen2-7b") == [paper.less.training.lora]
    assert adapters(paper, "qwen2-1.5b") == []


def test_a_copy_with_other_arms_has_their_methods_and_experiments():
    profile = load_profile("demo")
    assert len(profile.experiments) > 1
    assert "mine" not in profile.methods
    copy = profile.model_copy(
        update={"arms": {"base": ArmSettings(), "mine": ArmSettings(column="quality", train=False)}}
    )
    assert {experiment.method for experiment in copy.experiments.values()} == {"base", "mine"}
    assert "mine" in copy.methods


def test_clusters_of_an_encoder_need_no_window_of_the_base_model(tmp_path):
    names = ("km_token_length", "coverage_mine")
    arms = {**{name: {"train": False} for name in names}, "mine": {"column": "stars", "train": False}}
    short = {"models": {"tiny": {"pretraining": {"steps": 1, "context": 512}}}, "arms": arms}
    with pytest.raises(ProfileError, match=r"scoring\.max_length: 4096 is beyond the 512 tokens"):
        load_profile(write(tmp_path, **short))
    assert load_profile(write(tmp_path, k_means={"vectors": "encoder"}, **short)).has_clusters
