"""What is refused when a model is fetched, and what is put right: each time one change to a model that is fine."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    Gemma3Config,
    Gemma3TextConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    RwkvConfig,
    T5Config,
    ViTConfig,
)

from selection_platform.configuration.settings import LoraSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import write_manifest
from selection_platform.models.base_model import HubModel, copy_model, download
from selection_platform.models.files import DESCRIPTION_FILES
from selection_platform.models.forward_pass import check_sizes
from selection_platform.models.head import UnsupportedModel
from selection_platform.models.loading import UnreadableModel, base_entry, load_model
from selection_platform.models.lora_targets import lora_targets
from selection_platform.models.probe import _front, check_passes
from selection_platform.models.supported import _FIRST_BEHIND_PADDING, positions
from tests.architectures import ARCHITECTURES, COMMON
from tests.tiny import CONFIGS, VOCAB, save_model

WEIGHTS = "model.safetensors"
MADE_FROM = "name the original model, with weights in bfloat16, float16 or float32"
QUANTISED = f"and such weights cannot be fine-tuned; {MADE_FROM}"
ANOTHER = "name a model of another architecture"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tied"
    save_model(folder, CONFIGS["qwen2"])
    return folder


@pytest.fixture
def source(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "source"))


def sizes(**changes: Any) -> dict[str, Any]:
    return {**COMMON, **changes}


def config(**changes: Any):
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(content | changes))

    return change


def is_a(other: PreTrainedConfig, *architectures: str):
    """Another model's configuration in place of its own."""

    def change(folder: Path) -> None:
        other.architectures = list(architectures) or None
        other.save_pretrained(folder)

    return change


def weight(name: str, place: Any, value: float):
    def change(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        weights[name][place] = value
        save_file(weights, folder / WEIGHTS, {"format": "pt"})

    return change


def more_weights(**named: torch.Tensor):
    def change(folder: Path) -> None:
        added = {name.replace("__", "."): tensor for name, tensor in named.items()}
        save_file(load_file(folder / WEIGHTS) | added, folder / WEIGHTS, {"format": "pt"})

    return change


def more_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    filling = [f"<{number}>" for number in range(len(tokenizer), VOCAB)]
    tokenizer.add_tokens([*filling, "<more>", "<most>"])
    tokenizer.save_pretrained(folder)


CASES = [
    ("GPTQ", config(quantization_config={"quant_method": "gptq", "bits": 4}),
     f"@: its weights are quantised (gptq, 4 bits), {QUANTISED}"),
    ("bitsandbytes", config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
     f"@: its weights are quantised (bitsandbytes), {QUANTISED}"),
    ("fp8", config(quantization_config={"quant_method": "fp8"}), f"@: its weights are quantised (fp8), {QUANTISED}"),
    ("MLX", config(quantization={"group_size": 64, "bits": 4}), f"@: its weights are quantised (4 bits), {QUANTISED}"),
    ("quantised, and not said", more_weights(model__layers__0__mlp__up_proj__qweight=torch.zeros(2)),
     f"%/{WEIGHTS}: model.layers.0.mlp.up_proj.qweight belongs to quantised weights, which cannot be fine-tuned; "
     f"{MADE_FROM}"),
    ("encoder-decoder", is_a(T5Config()),
     "@: t5 is an encoder-decoder; name a causal language model, which is only a decoder"),
    ("vision and language", is_a(Gemma3Config(), "Gemma3ForConditionalGeneration"),
     "@: gemma3 reads more than text; name a text-only model, such as its language model saved separately"),
    ("encoder", is_a(BertConfig(), "BertForMaskedLM"),
     "@: config.json says BertForMaskedLM, which has no language-model head; name a causal language model (their names "
     "end in ForCausalLM)"),
    ("reward model", config(architectures=["Qwen2ForSequenceClassification"]),
     "@: config.json says Qwen2ForSequenceClassification, which has no language-model head; name a causal language "
     "model (their names end in ForCausalLM)"),
    ("no model of language", is_a(ViTConfig()), f"@: transformers has no causal language model of kind vit; {ANOTHER}"),
    ("tokens without an embedding", more_tokens,
     "@: 2 of the tokenizer's tokens have no embedding, '<more>' with id 300 the first: the embedding has 300 rows; "
     "remove them from the tokenizer's files, or enlarge the embedding (`resize_token_embeddings` of transformers)"),
    ("NaN", weight("model.layers.1.mlp.up_proj.weight", (3, 5), torch.nan),
     f"%/{WEIGHTS}: model.layers.1.mlp.up_proj.weight has NaN or infinity; fetch the model again, or name another"),
    ("infinity", weight("model.norm.weight", 7, -torch.inf),
     f"%/{WEIGHTS}: model.norm.weight has NaN or infinity; fetch the model again, or name another"),
    ("a head beside a tied embedding", more_weights(lm_head__weight=torch.ones(VOCAB, 32)),
     "%: config.json sets tie_word_embeddings, but the weights have a head that differs from the embedding; "
     "set tie_word_embeddings to false in config.json"),
    ("a head that is missing", config(tie_word_embeddings=False),
     "%: 1 of the model's weights are missing, lm_head.weight the first; fetch the model again, or name another"),
    ("layers that are missing", config(num_hidden_layers=24, layer_types=["full_attention"] * 24),
     "%: the weights are 28,320 numbers, and config.json describes a model of 233,888; fetch the model again, or name "
     "another"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [pytest.param(*case, id=id) for id, *case in CASES])
def test_models_that_are_refused_when_they_are_fetched(source, tmp_path, change, message):
    change(source)
    with pytest.raises((UnsupportedModel, UnreadableModel)) as caught:
        copy_model(source, tmp_path / "base")
    assert str(caught.value).replace(str(source), "@").replace(str(tmp_path / "base"), "%") == message
    assert not (tmp_path / "base" / "manifest.json").exists()


FINE = [
    ("more rows than tokens", lambda folder: None),
    ("a head that is the tied embedding", lambda folder: more_weights(
        lm_head__weight=load_file(folder / WEIGHTS)["model.embed_tokens.weight"].clone())(folder)),
    ("no architectures", config(architectures=None)),
    ("settings of generation", lambda folder: (folder / "generation_config.json").write_text(
        '{"no_repeat_ngram_size": 3, "temperature": 0.1, "cache_implementation": "hybrid"}')),
]  # fmt: skip


@pytest.mark.parametrize("change", [pytest.param(change, id=id) for id, change in FINE])
def test_models_that_are_fine(source, tmp_path, change):
    change(source)
    assert copy_model(source, tmp_path / "base")["parameters"] > 0


def test_weights_that_the_model_has_no_place_for_are_said(source, tmp_path, caplog):
    manifest = copy_model(source, tmp_path / "whole")
    assert "unused_weights" not in manifest
    layer = (manifest["parameters"] - VOCAB * 32 - 32) // 2
    config(num_hidden_layers=1, layer_types=["full_attention"])(source)
    with caplog.at_level(logging.WARNING):
        assert copy_model(source, tmp_path / "half")["unused_weights"] == layer
    said = f"half: {layer:,} of {manifest['parameters']:,} stored numbers have no place in the model"
    assert said in caplog.text


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            BertConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=2),
            "BertLMHeadModel: a token's hidden state depends on later tokens",
        ),
        (
            RwkvConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2),
            "RwkvForCausalLM: padding on the left, as in evaluation, changes its answers",
        ),
    ],
    ids=["not causal", "no mask"],
)
def test_what_only_shows_when_it_runs(tmp_path, other, message):
    save_model(tmp_path, other)
    with pytest.raises(UnsupportedModel) as caught:
        check_passes(tmp_path)
    assert str(caught.value) == f"{tmp_path}: {message}; {ANOTHER}"


def test_the_first_layers_stand_for_all_where_they_have_one_of_each_kind():
    kinds = ["sliding_attention"] * 5 + ["full_attention"]
    gemma = Gemma3TextConfig(**sizes(num_hidden_layers=12), layer_types=kinds * 2)
    front = _front(gemma)
    assert front is not None
    assert (front.num_hidden_layers, front.layer_types) == (6, kinds)
    assert gemma.num_hidden_layers == 12
    front = _front(LlamaConfig(**sizes(num_hidden_layers=80)))
    assert front is not None
    assert front.num_hidden_layers == 2
    assert _front(LlamaConfig(**COMMON)) is None


def test_a_hub_model_is_refused_before_its_weights_are_fetched(source, tmp_path, monkeypatch):
    is_a(T5Config())(source)
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_, **how: asked.append(how["allow_patterns"]) or str(source)
    )
    with pytest.raises(UnsupportedModel, match="t5 is an encoder-decoder"):
        download(HubModel("someone/model", "main"), tmp_path / "base")
    assert asked == [list(DESCRIPTION_FILES)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_shards_of_any_dtype_are_read_and_a_second_copy_is_not(tmp_path, dtype):
    model = save_model(tmp_path / "source", CONFIGS["llama"]).to(dtype)
    (tmp_path / "source" / WEIGHTS).unlink()
    model.save_pretrained(tmp_path / "source", max_shard_size="60KB")
    shards = sorted(path.name for path in (tmp_path / "source").glob("*.safetensors"))
    assert len(shards) > 1
    save_file({"tok_embeddings.weight": torch.zeros(300, 32)}, tmp_path / "source" / "consolidated.safetensors")
    manifest = copy_model(tmp_path / "source", tmp_path / "base")
    assert sorted(path.name for path in (tmp_path / "base").glob("*.safetensors")) == shards
    assert manifest["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    wide = AutoModelForCausalLM.from_pretrained(tmp_path / "source", dtype=torch.float32)
    ids = torch.arange(9)[None]
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "base", device="cpu")[0](ids).logits, wide(ids).logits)


def test_a_tokenizer_that_draws_is_made_to_cut_a_text_one_way(tmp_path, caplog):
    source = tmp_path / "source"
    save_model(source, CONFIGS["llama"])
    text = "Human: the cat\nAssistant: the hat" * 20
    usual = AutoTokenizer.from_pretrained(source).encode(text)
    content = json.loads((source / "tokenizer.json").read_text())
    content["model"]["dropout"] = 0.5
    (source / "tokenizer.json").write_text(json.dumps(content))
    drawing = AutoTokenizer.from_pretrained(source)
    assert len({tuple(drawing.encode(text)) for _ in range(5)}) > 1
    with caplog.at_level(logging.WARNING):
        manifest = copy_model(source, tmp_path / "base")
    assert "base: BPE dropout (dropout 0.5) is turned off" in caplog.text
    assert manifest["turned_off"] == {"dropout": 0.5}
    _, tokenizer = load_model(tmp_path / "base", device="cpu")
    assert tokenizer.encode(text) == usual
    # Nobody else's file was changed.
    assert json.loads((source / "tokenizer.json").read_text())["model"]["dropout"] == 0.5
    assert copy_model(source, tmp_path / "base") == manifest


def test_a_model_with_two_ranges_of_positions_is_used_in_the_first(tmp_path):
    factors: dict[str, Any] = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
    longrope = Phi3Config(
        **sizes(num_attention_heads=2, num_key_value_heads=2),
        original_max_position_embeddings=64,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 64, **factors
        },
    )  # fmt: skip
    assert positions(longrope) == 64
    assert positions(LlamaConfig(**COMMON)) == positions(ARCHITECTURES["llama-3"]) == 320
    save_model(tmp_path, longrope)
    with pytest.raises(PlatformError, match=r"max_length 65 is more than the 64 positions of Phi3ForCausalLM"):
        check_sizes(load_model(tmp_path, device="cpu")[0], 65, 999)


OF_KIND = {
    "longformer": {"attention_window": [4]},
    "luke": {"entity_vocab_size": 4, "entity_emb_size": 8},
    "xmod": {"default_language": "en_XX"},
}


@pytest.mark.parametrize("kind", sorted(_FIRST_BEHIND_PADDING))
def test_kinds_that_count_positions_from_behind_the_padding_take_that_many_fewer(kind):
    config = AutoConfig.for_model(
        kind, vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=24, pad_token_id=1, **OF_KIND.get(kind, {}),
    )  # fmt: skip
    assert positions(config) == 22
    model = AutoModel.from_config(config).eval()
    with torch.inference_mode():
        model(input_ids=torch.full((1, 22), 7))
        with pytest.raises((IndexError, RuntimeError), match=r"out of (range|bounds)"):
            model(input_ids=torch.full((1, 23), 7))


TARGETS = [
    ("phi-3", ["o_proj", "qkv_proj"]),
    ("gpt-2", ["c_attn", "attn.c_proj"]),
    ("mixtral", ["q_proj", "k_proj", "v_proj", "o_proj"]),
]


@pytest.mark.parametrize(("architecture", "names"), TARGETS)
def test_adapters_go_to_the_projections_of_attention(tmp_path, architecture, names):
    ARCHITECTURES[architecture].save_pretrained(tmp_path)
    assert lora_targets(tmp_path, LoraSettings()) == names
    assert lora_targets(tmp_path, LoraSettings(target_modules=tuple(names))) == names


@pytest.mark.parametrize(
    ("architecture", "targets", "message"),
    [
        (
            "phi-3", ("o_proj", "q_proj"),
            "no linear layer of this model is called q_proj (lora: target_modules); it has self_attn.o_proj, "
            "self_attn.qkv_proj, mlp.gate_up_proj, mlp.down_proj, lm_head; name some of them, or `auto`",
        ),
        (
            "mixtral", ("gate_up_proj",),
            "no linear layer of this model is called gate_up_proj (lora: target_modules); it has self_attn.q_proj, "
            "self_attn.k_proj, self_attn.v_proj, self_attn.o_proj, lm_head; name some of them, or `auto`",
        ),
    ],
)  # fmt: skip
def test_a_layer_that_the_model_lacks_is_named_with_those_it_has(tmp_path, architecture, targets, message):
    ARCHITECTURES[architecture].save_pretrained(tmp_path)
    with pytest.raises(PlatformError) as caught:
        lora_targets(tmp_path, LoraSettings(target_modules=targets))
    assert str(caught.value) == f"{tmp_path}: {message}"


def test_what_an_adapter_is_trained_on_again_is_its_base_model(tmp_path):
    ARCHITECTURES["phi-3"].save_pretrained(tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    write_manifest(tmp_path / "adapter", base_entry(tmp_path / "adapter", tmp_path / "base"))
    assert lora_targets(tmp_path / "adapter", LoraSettings()) == ["o_proj", "qkv_proj"]
