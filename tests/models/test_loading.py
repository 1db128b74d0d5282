import json
import shutil
from pathlib import Path
from typing import cast

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from selection_platform.job.folder import write_manifest
from selection_platform.models.loading import (
    UnreadableModel,
    base_entry,
    base_model_folder,
    load_model,
    load_tokenizer,
    save_tokenizer,
)
from selection_platform.text.conversation import Message
from selection_platform.text.rendering import CHAT_TEMPLATE, Tokenizer, tokenize
from selection_platform.training.pretraining import train_tokenizer

CONVERSATION = [Message("user", "What is 2+2?"), Message("assistant", "It is 4.")]
IDS = torch.tensor([[5, 17, 80, 201, 3]])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "base"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    train_tokenizer([CONVERSATION], 300, 64).save_pretrained(folder)
    return folder


def write_adapter(base: Path, folder: Path) -> torch.Tensor:
    """Save a LoRA adapter with random weights; return the logits of base and adapter, not merged."""
    model = get_peft_model(
        LlamaForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_alpha=8)
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(str(folder))
    shutil.copy(base / "tokenizer.json", folder)
    shutil.copy(base / "tokenizer_config.json", folder)
    with torch.no_grad():
        return model.eval()(IDS).logits


def test_a_full_model_is_loaded_for_evaluation(base: Path):
    model, tokenizer = load_model(base, "bfloat16", device="cpu")
    assert not model.training
    assert model.dtype == torch.bfloat16
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 0


def test_an_adapter_is_merged_into_its_base_and_gives_its_logits(base: Path):
    folder = base.parent / "adapter"
    unmerged = write_adapter(base, folder)
    write_manifest(folder, base_entry(folder, base))
    model, _ = load_model(folder, device="cpu")
    with torch.no_grad():
        merged = model(IDS).logits
        plain = LlamaForCausalLM.from_pretrained(base)(IDS).logits
    assert isinstance(model, LlamaForCausalLM)
    torch.testing.assert_close(merged, unmerged, atol=1e-5, rtol=1e-5)
    assert (merged - plain).abs().max() > 0.01


def test_an_adapter_and_its_base_can_move_together(base: Path, tmp_path: Path):
    folder = base.parent / "adapter"
    write_adapter(base, folder)
    write_manifest(folder, base_entry(folder, base))
    base.parent.rename(tmp_path / "elsewhere")
    load_model(tmp_path / "elsewhere" / "adapter", device="cpu")


def test_an_adapter_in_a_copied_home_has_the_copy_s_base_wherever_the_disk_is(tmp_path: Path):
    """Both homes keep their base models on another disk, by a link."""
    home, copy = tmp_path / "home", tmp_path / "far" / "away" / "copy"
    (tmp_path / "disk" / "tiny").mkdir(parents=True)
    adapter = home / "checkpoint" / "random" / "s0"
    adapter.mkdir(parents=True)
    (home / "base_model").symlink_to(tmp_path / "disk")
    write_manifest(adapter, base_entry(adapter, home / "base_model" / "tiny"))
    shutil.copytree(home, copy, symlinks=True)
    (copy / "base_model").unlink()
    (copy / "base_model" / "tiny").mkdir(parents=True)
    assert base_model_folder(copy / "checkpoint" / "random" / "s0") == copy / "base_model" / "tiny"
    (tmp_path / "linked").symlink_to(adapter)
    assert base_model_folder(tmp_path / "linked").samefile(tmp_path / "disk" / "tiny")
    home.rename(tmp_path / "far" / "home")
    assert base_model_folder(tmp_path / "far" / "home" / "checkpoint" / "random" / "s0").samefile(
        tmp_path / "disk" / "tiny"
    )


def test_an_adapter_whose_base_is_gone_says_which(base: Path):
    folder = base.parent / "adapter"
    write_adapter(base, folder)
    with pytest.raises(UnreadableModel, match="without base_model_folder"):
        load_model(folder)
    write_manifest(folder, base_entry(folder, base))
    shutil.rmtree(base)
    with pytest.raises(UnreadableModel, match=r"its base model .*base is missing"):
        load_model(folder)


def test_padding_is_the_end_token_in_memory_only(base: Path):
    config_file = base / "tokenizer_config.json"
    config = json.loads(config_file.read_text())
    del config["pad_token"]
    config_file.write_text(json.dumps(config))
    tokenizer = load_tokenizer(base)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert AutoTokenizer.from_pretrained(base).pad_token is None


def test_the_chat_template_gives_the_renderers_text(base: Path):
    save_tokenizer(base, base.parent / "saved", CHAT_TEMPLATE)
    tokenizer = load_tokenizer(base.parent / "saved")
    conversation = [Message("system", "Be brief."), *CONVERSATION, *CONVERSATION]
    templated = tokenizer.apply_chat_template([m._asdict() for m in conversation], tokenize=False)
    assert templated == tokenizer.decode(tokenize(conversation, cast(Tokenizer, tokenizer)).ids)
