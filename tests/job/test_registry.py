import pytest

from selection_platform.evaluation.spec import BenchmarkSpec, EvaluationSpec
from selection_platform.job.registry import JOB_NAMES, load_job, read_spec, write_spec
from selection_platform.methods.diverse_evol.selection import DiverseEvolSpec
from selection_platform.methods.less.gradient_influence import InfluenceSpec
from selection_platform.training.fine_tuning import FineTuningSpec
from selection_platform.training.pretraining import PretrainingSpec

SPECS = [
    FineTuningSpec("base", "train.parquet", lora_target_modules=("q_proj", "v_proj"), learning_rate=7e-6),
    PretrainingSpec("conversations.parquet", steps=3),
    InfluenceSpec("warm-up", "samples.parquet", "targets.parquet", directions=("adam", "published")),
    DiverseEvolSpec("base", "samples.parquet", 6, recipe={"epochs": 2, "method": "lora"}),
    EvaluationSpec(
        "model",
        "data",
        (BenchmarkSpec("mmlu", "offline_mmlu", limit=1), BenchmarkSpec("é", "task")),
        {"p": "p.parquet"},
    ),
]


@pytest.mark.parametrize("name", JOB_NAMES)
def test_each_job_is_found_by_its_name(name):
    assert load_job(name).name == name


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_a_spec_comes_back_as_it_was_written(spec, tmp_path):
    write_spec(spec, tmp_path / "spec.json")
    assert read_spec(type(spec), tmp_path / "spec.json") == spec


@pytest.mark.parametrize("text", ['{"base_model_folder": "b"', '{"train_file": "t"}', '{"epoch": 2}'])
def test_what_is_no_spec_is_named(text, tmp_path):
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(ValueError, match=r"spec\.json: is no FineTuningSpec: "):
        read_spec(FineTuningSpec, tmp_path / "spec.json")
