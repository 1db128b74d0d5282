"""Model folders that are broken or would run code: refused with what is wrong, and nothing of theirs is executed."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from selection_platform.configuration.settings import PackagedModelName
from selection_platform.job.folder import DamagedFile
from selection_platform.models.base_model import PACKAGED_MODELS
from selection_platform.models.forward_pass import check_sizes
from selection_platform.models.loading import UnreadableModel, load_model
from selection_platform.models.supported import check_description
from tests.tiny import CONFIGS, save_model

WEIGHTS = "model.safetensors"
AGAIN = "fetch the model again, or name another"
TOKENIZER_AGAIN = "fetch the model again, with its tokenizer.json, or name another"
NO_CODE = "(it needs custom code, which is never run); name one that transformers knows"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(folder, CONFIGS["llama"])
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "tiny"))


def edit(name, **changes):
    """Change entries of a JSON file; None takes one out."""

    def change(folder):
        content = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return change


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def remove(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def rename(name, other):
    return lambda folder: (folder / name).rename(folder / other)


def cut_off(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def without_a_weight(folder):
    weights = load_file(folder / WEIGHTS)
    del weights["model.norm.weight"]
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def without_a_shard(folder):
    rename(WEIGHTS, "model-00001-of-00002.safetensors")(folder)
    names = {"lm_head.weight": "model-00002-of-00002.safetensors", "a": "model-00001-of-00002.safetensors"}
    write("model.safetensors.index.json", json.dumps({"weight_map": names}).encode())(folder)


def with_code(name, **changes):
    """Ask for code that ends the process when it is imported."""

    def change(folder):
        edit(name, **changes)(folder)
        (folder / "evil.py").write_text("raise SystemExit('code of the model was run')\n")

    return change


def tokenizer_part(**changes):
    return edit("tokenizer.json", **changes)


CODE_OF_ITS_OWN = "which is code of its own, and that is never run; take it out, or write sdpa"
CASES = [
    ("no folder", shutil.rmtree, "@: no such folder"),
    ("no weights", remove(WEIGHTS), "@: no *.safetensors weights"),
    (
        "pickled weights alone", rename(WEIGHTS, "pytorch_model.bin"),
        "@: only pickled weights (pytorch_model.bin), which can run code when loaded; convert them to safetensors, "
        "or pin "
        "a revision that has them",
    ),
    (
        "empty weights", write(WEIGHTS, b""),
        "@/model.safetensors: not a complete safetensors file (Error while deserializing header: header too small); "
        "fetch it "
        "again",
    ),
    (
        "weights cut off", cut_off,
        "@/model.safetensors: not a complete safetensors file (Error while deserializing header: incomplete metadata, "
        "file "
        "not fully covered); fetch it again",
    ),
    (
        "a shard is missing", without_a_shard,
        "@: model-00002-of-00002.safetensors of model.safetensors.index.json is missing; fetch the model again",
    ),
    (
        "a weight is missing", without_a_weight,
        f"@: 1 of the model's weights are missing, model.norm.weight the first; {AGAIN}",
    ),
    (
        "weights of another shape", edit("config.json", intermediate_size=65),
        "@: 6 of the model's weights have another shape than config.json, model.layers.0.mlp.down_proj.weight the "
        "first; "
        f"{AGAIN}",
    ),
    (
        "no configuration", remove("config.json"),
        "@: the model cannot be read (Unrecognized model in @. Should have a `model_type` key in its config.json.); "
        f"{AGAIN}",
    ),
    (
        "broken configuration", write("config.json", b"{"),
        f"@: the model cannot be read (It looks like the config file at '@/config.json' is not a valid JSON file.); "
        f"{AGAIN}",
    ),
    (
        "a setting of another type", edit("config.json", rms_norm_eps="1e-5"),
        f"@: the model cannot be read (Validation error for field 'rms_norm_eps': TypeError: Field 'rms_norm_eps' "
        f"expected float, got str (value: '1e-5')); {AGAIN}",
    ),
    (
        "sizes that do not fit each other", edit("config.json", num_attention_heads=5),
        f"@: the model cannot be read (Class validation error for validator 'validate_architecture': ValueError: The "
        f"hidden size (32) is not a multiple of the number of attention heads (5).); {AGAIN}",
    ),
    (
        "unknown architecture", edit("config.json", model_type="frobnicate"),
        "@: the model cannot be read (The checkpoint you are trying to load has model type `frobnicate` but "
        "Transformers "
        "does not recognize this architecture. This could be because of an issue with the checkpoint, or because your "
        f"version of Transformers is out of date.); {AGAIN}",
    ),
    (
        "model with code", with_code("config.json", model_type="evil", auto_map={"AutoConfig": "evil.Evil"}),
        f"@: the model cannot be read {NO_CODE}",
    ),
    (
        "tokenizer with code",
        with_code("tokenizer_config.json", tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.Evil", None]}),
        f"@: the tokenizer cannot be read {NO_CODE}",
    ),
    (
        "no tokenizer", remove("tokenizer.json", "tokenizer_config.json"),
        "@: the tokenizer cannot be read (Couldn't instantiate the backend tokenizer from one of); " + TOKENIZER_AGAIN,
    ),
    (
        "broken tokenizer", write("tokenizer.json", b"{}"),
        f"@: the tokenizer cannot be read ('added_tokens'); {TOKENIZER_AGAIN}",
    ),
    (
        "a tokenizer of another kind", tokenizer_part(model={"type": "Nope"}),
        "@: the tokenizer cannot be read (data did not match any variant of untagged enum ModelUntagged at line 1 "
        f"column 614); {TOKENIZER_AGAIN}",
    ),
    (
        "a tokenizer that panics", tokenizer_part(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        '@: the tokenizer cannot be read (Precompiled: Error("Cannot parse precompiled_charsmap", line: 0, column: 0));'
        f" {TOKENIZER_AGAIN}",
    ),
    (
        "a longest text in words", edit("tokenizer_config.json", model_max_length="long"),
        "@/tokenizer_config.json: model_max_length is 'long'; write a number",
    ),
    (
        "attention by code of the hub", edit("config.json", attn_implementation="kernels-community/flash-attn"),
        f"@/config.json: attn_implementation is 'kernels-community/flash-attn', {CODE_OF_ITS_OWN}",
    ),
    (
        "attention by code, under another name", edit("config.json", _attn_implementation="some/kernel@main:f"),
        f"@/config.json: _attn_implementation is 'some/kernel@main:f', {CODE_OF_ITS_OWN}",
    ),
    (
        "attention by code, in a part", edit("config.json", text_config={"attn_implementation": {"": "some/kernel"}}),
        f"@/config.json: attn_implementation is 'some/kernel', {CODE_OF_ITS_OWN}",
    ),
    (
        "an index that is cut off", write("model.safetensors.index.json", b"{"),
        "@/model.safetensors.index.json: does not say which weights are in which file; fetch it again",
    ),
    (
        "an index of something else", write("model.safetensors.index.json", b'{"weight_map": {"a": 1}}'),
        "@/model.safetensors.index.json: does not say which weights are in which file; fetch it again",
    ),
    (
        "a manifest that is cut off", write("manifest.json", b"{"),
        "@/manifest.json: is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); "
        "put back what was there, or remove it to have it made again",
    ),
    (
        "no end of a text", edit("tokenizer_config.json", eos_token=None),
        "@: the tokenizer has no eos_token; name one in tokenizer_config.json",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [pytest.param(*case, id=id) for id, *case in CASES])
def test_models_that_are_refused(folder, change, message):
    change(folder)
    with pytest.raises((UnreadableModel, DamagedFile)) as caught:
        load_model(folder, device="cpu")
    assert str(caught.value).replace(str(folder), "@") == message


WHEN_FETCHED = [
    (
        "heads that cannot be shared out", edit("config.json", num_key_value_heads=3),
        "@/config.json: num_attention_heads 4 is not a multiple of num_key_value_heads 3; fetch the model again, or "
        "name another",
    ),
    (
        "settings of generation that are cut off", write("generation_config.json", b"{"),
        "@/generation_config.json: is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1)); fetch the model again",
    ),
    ("a tokenizer that is a list", write("tokenizer.json", b"[]"),
     "@/tokenizer.json: has no names and values; fetch the model again"),
    (
        "a tokenizer without end", write("tokenizer.json", b"[" * 200_000),
        "@/tokenizer.json: is not JSON (maximum recursion depth exceeded while decoding a JSON array from a unicode "
        "string); fetch the model again",
    ),
    (
        "attention by code of the hub", edit("config.json", attn_implementation="kernels-community/flash-attn"),
        f"@/config.json: attn_implementation is 'kernels-community/flash-attn', {CODE_OF_ITS_OWN}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [pytest.param(*case, id=id) for id, *case in WHEN_FETCHED])
def test_descriptions_that_are_refused_before_weights_are_fetched(folder, change, message):
    change(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(UnreadableModel) as caught:
        check_description(folder)
    assert str(caught.value).replace(str(folder), "@") == message


FINE = [
    ("attention that transformers has itself", edit("config.json", attn_implementation="sdpa")),
    ("no chat template", lambda folder: None),
    ("no architectures", edit("config.json", architectures=None)),
    ("a temperature without sampling", edit("generation_config.json", temperature=0.6)),
    ("padding is the end", edit("tokenizer_config.json", pad_token="<eos>")),
    ("code beside a known architecture", with_code("config.json", auto_map={"AutoModelForCausalLM": "evil.Evil"})),
]


@pytest.mark.parametrize("change", [pytest.param(change, id=id) for id, change in FINE])
def test_models_that_are_fine(folder, whole, change):
    change(folder)
    model, tokenizer = load_model(folder, device="cpu")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    tokens = torch.arange(1, 9)[None]
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, load_model(whole, device="cpu")[0](tokens).logits)


def test_an_unknown_dtype_is_refused(whole):
    with pytest.raises(ValueError, match="dtype 'int8': expected one of float32, bfloat16, float16"):
        load_model(whole, "int8")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            (129, 999),
            "scoring.max_length 129 is more than the 128 positions of LlamaForCausalLM; lower it in the profile",
        ),
        ((128, 99), "tokens_per_batch 99 is less than scoring.max_length 128; raise it in the profile"),
    ],
)
def test_sizes_that_do_not_fit_the_model(whole, sizes, message):
    model, _ = load_model(whole, device="cpu")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        check_sizes(model, *sizes)
    assert str(caught.value) == message


def test_the_profile_knows_every_packaged_model():
    assert set(get_args(PackagedModelName)) == set(PACKAGED_MODELS)
