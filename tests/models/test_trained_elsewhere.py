"""Checkpoints of other trainers are taken in as they are, or refused with what does not fit."""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from selection_platform.configuration.settings import LoraSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.errors import NotFinite
from selection_platform.job.folder import read_manifest
from selection_platform.models.loading import UnreadableModel, load_model
from selection_platform.models.provenance import model_identity
from selection_platform.models.trained_elsewhere import register
from selection_platform.training.fine_tuning import fine_tune
from tests.tiny import CONFIGS, SIZES, save_model
from tests.warm_ups import warm_up_spec

FOLDER = {"source": "folder", "name": "theirs"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_model(tmp_path / "base", CONFIGS["llama"])
    return tmp_path / "base"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A checkpoint as a trainer leaves it: with its own tokenizer settings, log and generation settings."""
    folder = tmp_path / "theirs"
    save_model(folder, CONFIGS["llama"], seed=1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "another {{ messages }}"
    tokenizer.save_pretrained(folder)
    (folder / "trainer_state.json").write_text("{}")
    (folder / "generation_config.json").write_text('{"no_repeat_ngram_size": 2}')
    return folder


@pytest.fixture(scope="module")
def trained_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    spec = warm_up_spec(folder / "training", CONFIGS["llama"], keep_epochs=False, lora=LoraSettings(rank=2, alpha=16))
    fine_tune(spec, folder / "theirs")
    for name in ("manifest.json", "job.json"):
        (folder / "theirs" / name).unlink()
    return folder / "theirs"


@pytest.fixture
def their_adapter(tmp_path: Path, trained_adapter: Path) -> Path:
    return Path(shutil.copytree(trained_adapter, tmp_path / "theirs"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder, device="cpu")[0].state_dict()


def test_full_weights_are_taken_with_the_tokenizer_of_the_base(base: Path, theirs: Path, tmp_path: Path):
    manifest = register(theirs, FOLDER, base, PAPER, tmp_path / "out")
    assert manifest == read_manifest(tmp_path / "out")
    assert manifest["trained_elsewhere"] == "folder theirs"
    expected = AutoModelForCausalLM.from_pretrained(theirs).state_dict()
    for name, weight in weights(tmp_path / "out").items():
        assert torch.equal(weight, expected[name])
    assert "another" not in (tmp_path / "out" / "chat_template.jinja").read_text()
    assert not (tmp_path / "out" / "trainer_state.json").exists()
    assert load_model(tmp_path / "out")[0].generation_config.no_repeat_ngram_size != 2


def test_an_adapter_is_merged_with_the_base(base: Path, their_adapter: Path, tmp_path: Path):
    manifest = register(their_adapter, FOLDER, base, PAPER, tmp_path / "out")
    assert manifest["base_model_folder"] == "../base"
    pair = load_file(their_adapter / "adapter_model.safetensors")
    layer = "model.layers.0.self_attn.q_proj"
    update = pair[f"base_model.model.{layer}.lora_B.weight"] @ pair[f"base_model.model.{layer}.lora_A.weight"]
    expected = weights(base)[f"{layer}.weight"] + 16 / 2 * update
    assert torch.allclose(weights(tmp_path / "out")[f"{layer}.weight"], expected, atol=1e-6)
    assert not torch.equal(expected, weights(base)[f"{layer}.weight"])


def test_it_is_known_by_its_content(base: Path, theirs: Path, tmp_path: Path):
    out = tmp_path / "out"
    manifest, identity = register(theirs, FOLDER, base, PAPER, out), model_identity(out)
    written = (out / "model.safetensors").stat().st_mtime_ns
    moved = theirs.rename(tmp_path / "moved")
    assert register(moved, FOLDER, base, PAPER, out) == manifest
    assert (out / "model.safetensors").stat().st_mtime_ns == written
    # Whatever becomes of their folder, what was taken stays.
    changed = {name: weight * 1.01 for name, weight in load_file(moved / "model.safetensors").items()}
    save_file(changed, moved / "model.safetensors", {"format": "pt"})
    assert model_identity(out) == identity
    assert register(moved, FOLDER, base, PAPER, out)["weights_hash"] != manifest["weights_hash"]


def test_a_hub_checkpoint_names_id_and_commit(base: Path, theirs: Path, tmp_path: Path):
    origin = {"source": "hub", "model_id": "me/tuned", "commit": "abc1234"}
    assert register(theirs, origin, base, PAPER, tmp_path / "out")["trained_elsewhere"] == "me/tuned at abc1234"
    (theirs / "model.safetensors").unlink()
    assert weights(tmp_path / "out")


def test_the_base_itself_is_no_checkpoint(base: Path, tmp_path: Path):
    with pytest.raises(UnreadableModel, match="has the weights of the base model itself, so nothing was trained"):
        register(base, FOLDER, base, PAPER, tmp_path / "out")
    assert read_manifest(tmp_path / "out") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_hidden_layers": 1}, "config.json: num_hidden_layers is 1, and 2 in the experiment's base model"),
        ({"hidden_size": 16}, "config.json: hidden_size is 16, and 32"),
        ({"vocab_size": 301}, "vocab_size is 301, and 300 .* without tokens added to its vocabulary"),
    ],
)
def test_another_architecture_is_refused(base: Path, tmp_path: Path, change: dict[str, int], reason: str):
    save_model(tmp_path / "theirs", LlamaConfig(**cast(Any, SIZES | change)))
    with pytest.raises(UnreadableModel, match=reason):
        register(tmp_path / "theirs", FOLDER, base, PAPER, tmp_path / "out")


def test_another_kind_of_model_is_refused(base: Path, tmp_path: Path):
    save_model(tmp_path / "theirs", CONFIGS["qwen2"])
    with pytest.raises(UnreadableModel, match="model_type is qwen2, and llama in the experiment's base model"):
        register(tmp_path / "theirs", FOLDER, base, PAPER, tmp_path / "out")


def test_another_vocabulary_is_refused(base: Path, theirs: Path, tmp_path: Path):
    tokenizer = json.loads((theirs / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    (theirs / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UnreadableModel, match="token 'A' has another id than in the experiment's base model"):
        register(theirs, FOLDER, base, PAPER, tmp_path / "out")


def test_a_checkpoint_needs_no_tokenizer(base: Path, theirs: Path, tmp_path: Path):
    for file in theirs.glob("tokenizer*"):
        file.unlink()
    register(theirs, FOLDER, base, PAPER, tmp_path / "out")
    assert load_model(tmp_path / "out")[1].eos_token == "<eos>"


def test_broken_weights_are_refused(base: Path, theirs: Path, tmp_path: Path):
    broken = load_file(theirs / "model.safetensors")
    broken["model.norm.weight"][3] = float("nan")
    save_file(broken, theirs / "model.safetensors", {"format": "pt"})
    with pytest.raises(NotFinite, match="theirs: the model gives NaN"):
        register(theirs, FOLDER, base, PAPER, tmp_path / "out")
    broken.pop("model.norm.weight")
    save_file(broken, theirs / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnreadableModel, match=r"1 of the model's weights are missing, model.norm.weight"):
        register(theirs, FOLDER, base, PAPER, tmp_path / "out")
    assert read_manifest(tmp_path / "out") is None


def test_an_adapter_of_another_model_is_refused(their_adapter: Path, tmp_path: Path):
    for name, sizes, reason in (
        ("wide", {"hidden_size": 64}, "does not fit the experiment's base model .*size mismatch"),
        ("shallow", {"num_hidden_layers": 1}, "it has no layer for base_model.model.model.layers.1"),
    ):
        save_model(tmp_path / name, LlamaConfig(**cast(Any, SIZES | sizes)))
        with pytest.raises(UnreadableModel, match=reason):
            register(their_adapter, FOLDER, tmp_path / name, PAPER, tmp_path / f"out-{name}")


def test_an_adapter_that_cannot_be_merged_is_refused(base: Path, their_adapter: Path, tmp_path: Path):
    config = json.loads((their_adapter / "adapter_config.json").read_text())
    (their_adapter / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "PROMPT_TUNING"}))
    with pytest.raises(UnreadableModel, match="an adapter of kind PROMPT_TUNING; only LoRA can be merged"):
        register(their_adapter, FOLDER, base, PAPER, tmp_path / "out")


def test_a_folder_without_safetensors_is_refused(base: Path, tmp_path: Path):
    with pytest.raises(UnreadableModel, match="theirs: no such folder"):
        register(tmp_path / "theirs", FOLDER, base, PAPER, tmp_path / "out")
    shutil.copytree(base, tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").rename(tmp_path / "theirs" / "pytorch_model.bin")
    with pytest.raises(UnreadableModel, match="only pickled weights"):
        register(tmp_path / "theirs", FOLDER, base, PAPER, tmp_path / "out")
