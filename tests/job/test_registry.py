import re
import subprocess
import sys
from pathlib import Path

import pytest

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.configuration.method_settings import DiverseEvolSettings, WarmUpSettings
from selection_platform.configuration.settings import (
    FineTuningSettings,
    LoraSettings,
    PassSettings,
    PretrainingSettings,
    ScoringSettings,
)
from selection_platform.configuration.text_settings import PAPER
from selection_platform.evaluation.spec import EvaluationSpec
from selection_platform.features.answer_likelihood import LikelihoodSpec
from selection_platform.job.registry import JOB_NAMES, load_job
from selection_platform.job.spec import FilePath, Spec, read_spec, write_spec
from selection_platform.methods.diverse_evol.selection import DiverseEvolSpec
from selection_platform.methods.less.gradient_influence import InfluenceSpec
from selection_platform.training.fine_tuning import FineTuningSpec
from selection_platform.training.pretraining import PretrainingSpec

LORA = FineTuningSettings(lora=LoraSettings(target_modules=("q_proj", "v_proj")), learning_rate=7e-6)
SPECS = [
    FineTuningSpec(
        base_model_folder="base", train_file="train.parquet", recipe=LORA, text=PAPER, seed=0, precision="float32"
    ),
    PretrainingSpec(train_file="conversations.parquet", pretraining=PretrainingSettings(steps=3), precision="float32"),
    InfluenceSpec(
        warmup_folder="warm-up",
        samples_file="samples.parquet",
        targets_file="targets.parquet",
        scoring=ScoringSettings(),
        dtype="float32",
        text=PAPER,
        directions=("adam", "published"),
    ),
    DiverseEvolSpec(
        base_model_folder="base",
        samples_file="samples.parquet",
        budget=6,
        diverse_evol=DiverseEvolSettings(),
        recipe=LORA,
        scoring=PassSettings(),
        dtype="float32",
        text=PAPER,
        published=True,
    ),
    EvaluationSpec(
        model_folder="model",
        data_folder="data",
        evaluation=EvaluationSettings(benchmarks={"mmlu": BenchmarkSettings(task="é", limit=1)}),
        files={},
        held_out={"p": "p.parquet"},
        dtype="float32",
        text=PAPER,
        tokens_per_batch=256,
        max_length=60,
    ),
]


@pytest.mark.parametrize("name", JOB_NAMES)
def test_each_job_is_found_by_its_name(name):
    assert load_job(name).name == name


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_a_spec_comes_back_as_it_was_written(spec, tmp_path):
    write_spec(spec, tmp_path / "spec.json")
    assert read_spec(type(spec), tmp_path / "spec.json") == spec


def test_a_recipe_of_a_warm_up_comes_back_as_the_recipe_that_it_is(tmp_path):
    spec = FineTuningSpec(
        base_model_folder="base",
        train_file="train.parquet",
        recipe=WarmUpSettings(),
        text=PAPER,
        seed=0,
        precision="float32",
    )
    write_spec(spec, tmp_path / "spec.json")
    again = read_spec(FineTuningSpec, tmp_path / "spec.json")
    assert (again.recipe.epochs, again.recipe.lora and again.recipe.lora.rank) == (4, 128)
    assert again.content() == spec.content()


@pytest.mark.parametrize("text", ['{"base_model_folder": "b"', '{"train_file": "t"}', '{"epoch": 2}'])
def test_what_is_no_spec_is_named(text, tmp_path):
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(ValueError, match=r"spec\.json: not a FineTuningSpec: "):
        read_spec(FineTuningSpec, tmp_path / "spec.json")


@pytest.mark.parametrize("name", JOB_NAMES)
def test_no_spec_has_a_default_for_a_setting_of_the_profile(name):
    """What a setting is when nobody names it stands in the configuration alone."""
    for field, info in load_job(name).spec_type.model_fields.items():
        # What the profile has no word for.
        if field not in {
            "boundary",
            "datasets",
            "prompt_embedding",
            "prompt_effect",
            "directions",
            "keep_epochs",
            "save_steps",
            "seed",
            "weighted",
            "weighted_embedding",
        }:
            assert info.is_required(), field


def test_content_and_speed_are_those_of_the_settings_without_paths_and_text():
    spec = LikelihoodSpec(
        model_folder="m", samples_file="s", scoring=ScoringSettings(max_length=60), dtype="float32", text=PAPER
    )
    sizes = {"max_length": 60, "cut": "prompt_start"}
    assert spec.content() == {**sizes, "dtype": "float32", "boundary": "pieces", "prompt_embedding": False}
    assert spec.speed() == {"tokens_per_batch": 32768, "logit_rows": 4096, "samples_per_shard": 10000}
    assert spec.content("boundary", "max_length", "cut") == {"dtype": "float32", "prompt_embedding": False}


def test_a_value_that_two_settings_have_is_refused_unless_one_is_left_out():
    class Two(Spec):
        file: FilePath
        scoring: PassSettings
        recipe: FineTuningSettings

    two = Two(file="f", scoring=PassSettings(), recipe=FineTuningSettings())
    with pytest.raises(TypeError, match="Two has cut, max_length twice"):
        two.content()
    assert two.content("recipe") == {"max_length": 4096, "cut": "prompt_start"}


INSTALL_PAGE = Path(__file__).parents[2] / "docs" / "install.md"
NOT_FOR_JOBS = {"dagster", "duckdb", "langdetect", "lm_eval", "polars", "rensa", "starlette"}
WITHOUT_THEM = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_FOR_JOBS}))
from selection_platform.job.registry import JOB_NAMES, load_job
print([load_job(name).name for name in JOB_NAMES if name != "evaluation"])
"""


@pytest.mark.slow
def test_jobs_need_only_the_packages_that_the_page_names():
    (line,) = re.findall(r"\$ pip install (torch transformers .*)", INSTALL_PAGE.read_text(encoding="utf-8"))
    assert NOT_FOR_JOBS.isdisjoint(line.split())
    run = subprocess.run([sys.executable, "-c", WITHOUT_THEM], capture_output=True, text=True)
    assert run.stdout == f"{[name for name in JOB_NAMES if name != 'evaluation']}\n", run.stderr
