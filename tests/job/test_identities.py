"""What a job's folder is known by. Written down, since a folder that is finished must stay what it is."""

import json
from typing import Any

import pytest

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.configuration.method_settings import DiverseEvolSettings
from selection_platform.configuration.settings import (
    FineTuningSettings,
    LoraSettings,
    PretrainingSettings,
    ScoringSettings,
)
from selection_platform.configuration.text_settings import PAPER
from selection_platform.job.registry import load_job
from tests.specs import made

LORA = LoraSettings(rank=4, alpha=16, dropout=0.5, target_modules=("q_proj",))
RECIPE = {
    "epochs": 2, "learning_rate": 0.5, "schedule": "linear", "warmup_ratio": 0.25, "weight_decay": 0.0,
    "global_batch": 8, "max_length": 64, "cut": "shared",
}  # fmt: skip
TRAINED = {**RECIPE, "batch_per_device": 4, "save_steps": 7, "gradient_checkpointing": True}
OF_FULL = {
    "method": "full", "lora_rank": 128, "lora_alpha": 512, "lora_dropout": 0.1,
    "lora_target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
}  # fmt: skip
OF_LORA = {
    "method": "lora", "lora_rank": 4, "lora_alpha": 16, "lora_dropout": 0.5, "lora_target_modules": ["q_proj"],
}  # fmt: skip
SMALL = {
    "steps": 5, "batch": 2, "block_length": 32, "learning_rate": 0.5, "vocab_size": 320, "hidden_size": 16,
    "intermediate_size": 24, "layers": 1, "heads": 2, "context": 64, "seed": 3,
}  # fmt: skip
SIZES = {"max_length": 60, "tokens_per_batch": 256, "samples_per_shard": 7}
CUT = {"cut": "prompt_start"}
BENCHMARK = {"task": "offline_mmlu", "shots": 0, "limit": 3, "max_new_tokens": None}

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "answer_likelihood",
        {"model_folder": "m", "samples_file": "s", **SIZES, "logit_rows": 50, "dtype": "bfloat16"},
        {
            "max_length": 60, **CUT, "dtype": "bfloat16", "boundary": "pieces", "prompt_embedding": False,
            "half_precision_logits": 1,
        },
    ),
    *(
        (
            job,
            {"model_folder": "m", "samples_file": "s", **SIZES},
            {"max_length": 60, **CUT, "dtype": "float32"},
        )
        for job in ("sample_embedding", "rating_probability")
    ),
    (
        "gradient_influence",
        {"warmup_folder": "w", "samples_file": "s", "targets_file": "t", **SIZES, "logit_rows": 50},
        {"max_length": 60, **CUT, "dtype": "float32", "directions": ["adam"]},
    ),
    (
        "fine_tuning",
        {"base_model_folder": "m", "train_file": "t", "seed": 3, **TRAINED, "precision": "float32"},
        {"recipe": {**RECIPE, **OF_FULL, "seed": 3, "keep_epochs": False, "precision": "float32"}},
    ),
    (
        "fine_tuning",
        {"base_model_folder": "m", "train_file": "t", **TRAINED, "lora": LORA, "keep_epochs": True},
        {"recipe": {**RECIPE, **OF_LORA, "seed": 0, "keep_epochs": True, "precision": "float32"}},
    ),
    (
        "diverse_evol",
        {
            "base_model_folder": "m", "samples_file": "s", "budget": 9, "published": True, **SIZES,
            "diverse_evol": DiverseEvolSettings(initial_share=0.5, rounds=2, seed=3),
            "recipe": FineTuningSettings.model_validate({**TRAINED, "lora": LORA}),
        },
        {
            "budget": 9, "initial_share": 0.5, "rounds": 2, "seed": 3, "max_length": 60, **CUT, "dtype": "float32",
            "published": True, "recipe": {**RECIPE, **OF_LORA, "keep_epochs": False, "precision": "float32"},
        },
    ),
    (
        "pretraining",
        {"train_file": "t", "pretraining": PretrainingSettings.model_validate(SMALL)},
        {"recipe": {**SMALL, "precision": "float32"}},
    ),
    (
        "evaluation",
        {
            "model_folder": "m", "data_folder": "d", "files": {}, "held_out": {"p": "h"}, "dtype": "float32",
            "tokens_per_batch": 256, "max_length": 60,
            "evaluation": EvaluationSettings(
                benchmarks={"mmlu": BenchmarkSettings.model_validate(BENCHMARK)}, batch_size=4, held_out_limit=5
            ),
        },
        {
            "spec": {"run_generated_code": "never", "dtype": "float32", "max_length": 60, "seed": 0},
            "benchmarks": [{"name": "mmlu", **BENCHMARK}],
        },
    ),
]  # fmt: skip
OTHERS = {
    "job", "code_version", "code_versions", "template", "model", "base_model", "samples", "targets", "conversations",
    "prompts", "epochs", "items", "files", "held_out", "lm_eval", "tasks", "scoring",
}  # fmt: skip
"""What stands in an identity beside settings."""


@pytest.mark.parametrize(("job", "values", "expected"), CASES, ids=[job for job, *_ in CASES])
def test_a_job_is_known_by_the_settings_that_decide_content(job, values, expected, monkeypatch):
    loaded = load_job(job)
    module = __import__(loaded.run.__module__, fromlist=["_"])
    for name in ("model_identity", "file_hash", "file_identity", "content_hash", "epoch_snapshots", "_rows"):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, lambda path: {"sample_id": _Ids()} if path is not None else "")
    if job == "gradient_influence":
        monkeypatch.setattr(module, "epoch_snapshots", lambda folder: [])
    # Its own identity is the renderer's, which needs no model here.
    text = {"text": PAPER} if "text" in loaded.spec_type.model_fields else {}
    identity = loaded.identity(made(loaded.spec_type, **text, **values))
    settings = {name: value for name, value in identity.items() if name not in OTHERS}
    assert json.loads(json.dumps(settings)) == expected


def test_auto_counts_as_the_usual_names_so_that_what_is_finished_stays():
    usual = LoraSettings(target_modules=("q_proj", "k_proj", "v_proj", "o_proj"))
    assert LoraSettings().target_modules == "auto"
    assert json.dumps(LoraSettings().content()) == json.dumps(usual.content())
    assert json.dumps(FineTuningSettings(lora=LoraSettings()).content()) == json.dumps(
        FineTuningSettings(lora=usual).content()
    )
    assert LoraSettings(target_modules=("c_attn",)).content() != usual.content()


class _Ids:
    def to_pylist(self) -> list[str]:
        return []


def test_what_was_done_before_there_was_a_choice_is_known_as_before():
    """A folder of an earlier version says nothing of how texts were cut, or of which answers were learnt."""
    before = FineTuningSettings(cut="tail").content()
    assert not {"cut", "answers"} & before.keys()
    assert FineTuningSettings(answers="last").content()["answers"] == "last"
    assert "cut" not in ScoringSettings(cut="answer_end").content()
    assert ScoringSettings().content()["cut"] == "prompt_start"
