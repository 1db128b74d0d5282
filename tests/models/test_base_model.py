import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from transformers import LlamaConfig, LlamaForCausalLM

from selection_platform.data_packages import MissingPackage
from selection_platform.errors import PlatformError
from selection_platform.job.folder import write_manifest
from selection_platform.job.integrity import changed_files
from selection_platform.models.base_model import (
    SMOLLM2_135M_INSTRUCT,
    HubModel,
    PackagedModel,
    convert_packaged,
    copy_model,
    download,
)
from selection_platform.models.loading import UnreadableModel, UnsavableModel, load_model
from selection_platform.models.provenance import weights_hash
from selection_platform.text.conversation import Message
from selection_platform.training.pretraining import train_tokenizer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A snapshot folder that stands for the hub's local cache."""
    snapshot = tmp_path / "snapshots" / COMMIT
    config = LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
    )
    LlamaForCausalLM(config).save_pretrained(snapshot)
    train_tokenizer([[Message("user", "a"), Message("assistant", "b")]], 300, 64).save_pretrained(snapshot)
    calls: list[dict] = []

    def snapshot_download(model_id: str, **arguments: object) -> str:
        calls.append({"model_id": model_id, **arguments})
        asked_for_weights = ["*.safetensors" in call["allow_patterns"] for call in calls]
        assert asked_for_weights in ([False], [False, True]), "once, and after the description"
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return snapshot


def test_a_hub_model_is_pinned_to_its_commit(hub: Path, tmp_path: Path):
    source = HubModel("someone/model", "main")
    folder = tmp_path / "base"
    manifest = download(source, folder)
    assert manifest["commit"] == COMMIT
    assert manifest["model_id"] == "someone/model"
    assert manifest["parameters"] == sum(p.numel() for p in load_model(folder)[0].parameters())
    assert manifest["weights_hash"] == weights_hash(hub)
    assert download(source, folder) == manifest


def test_a_model_of_a_folder_is_copied_and_known_by_its_content(hub: Path, tmp_path: Path):
    manifest = copy_model(hub, tmp_path / "base")
    assert manifest["weights_hash"] == weights_hash(hub)
    assert load_model(tmp_path / "base")[0].config.hidden_size == 16
    written = (tmp_path / "base" / "model.safetensors").stat().st_mtime_ns
    moved = hub.rename(tmp_path / "moved")
    assert copy_model(moved, tmp_path / "base") == manifest
    assert (tmp_path / "base" / "model.safetensors").stat().st_mtime_ns == written
    # Whatever becomes of the folder, what was made from it stays.
    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\1\2\3\4")
    assert weights_hash(tmp_path / "base") == manifest["weights_hash"]
    assert copy_model(moved, tmp_path / "base")["weights_hash"] == weights_hash(moved) != manifest["weights_hash"]


def test_a_model_that_was_trained_here_is_copied_without_the_record_of_its_other_files(hub: Path, tmp_path: Path):
    (hub / "loss.csv").write_text("0.7")
    write_manifest(hub, {"weights_hash": weights_hash(hub)})
    copy_model(hub, tmp_path / "copy")
    assert not (tmp_path / "copy" / "loss.csv").exists()
    assert changed_files(tmp_path / "copy", deep=True) == []


def test_a_folder_that_holds_no_model_is_refused(hub: Path, tmp_path: Path):
    (hub / "adapter_config.json").write_text("{}")
    with pytest.raises(UnreadableModel, match="is an adapter; merge it into its base model"):
        copy_model(hub, tmp_path / "base")
    with pytest.raises(UnreadableModel, match="none: no such folder"):
        copy_model(tmp_path / "none", tmp_path / "base")


def test_a_hub_model_without_safetensors_leaves_no_finished_folder(hub: Path, tmp_path: Path):
    (hub / "model.safetensors").rename(hub / "pytorch_model.bin")
    with pytest.raises(UnreadableModel, match="pickled"):
        download(HubModel("someone/model", "main"), tmp_path / "base")
    assert not (tmp_path / "base" / "manifest.json").exists()


def test_a_hub_model_whose_trainings_cannot_be_saved_is_refused_at_once(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (hub / "generation_config.json").write_text('{"temperature": 0.6}')
    assert download(HubModel("someone/model", "main"), tmp_path / "fine")
    monkeypatch.undo()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(hub))

    def refuse(*_: object) -> None:
        raise ValueError("`temperature` belongs\ninto the generation config")

    monkeypatch.setattr(LlamaConfig, "save_pretrained", refuse)
    with pytest.raises(UnsavableModel, match=r"base: .* \(`temperature` belongs into the generation config\); correct"):
        download(HubModel("someone/model", "main"), tmp_path / "base")
    assert not (tmp_path / "base" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            GatedRepoError,
            r"^meta/model is a gated model; accept its terms on https://huggingface\.co/meta/model, and run `hf",
        ),
        (
            RepositoryNotFoundError,
            r"^meta/model at 0123456 cannot be fetched \(RepositoryNotFoundError\); check the id, ",
        ),
    ],
)
def test_a_model_that_may_not_be_fetched_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[HfHubHTTPError], message: str
):
    def refuse(*_: object, **__: object) -> None:
        raise kind("401", response=cast(Any, SimpleNamespace(headers={}, request=None)))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(PlatformError, match=message):
        download(HubModel("meta/model", "0123456"), tmp_path / "base")


@pytest.mark.parametrize("package", ["no-such-model", "numpy"])
def test_a_missing_package_or_file_says_how_to_install_it(tmp_path: Path, package: str):
    with pytest.raises(
        MissingPackage, match=f"data package {package} is not installed, or of another version; run: pip"
    ):
        convert_packaged(PackagedModel(package, "x.gguf"), tmp_path / "base")


@pytest.mark.slow
@pytest.mark.data
def test_the_packaged_model_knows_the_capital_of_france(tmp_path: Path):
    folder = tmp_path / "smollm2"
    manifest = convert_packaged(SMOLLM2_135M_INSTRUCT, folder)
    assert manifest["gguf_sha256"].startswith("b179c952")
    assert manifest["parameters"] == 134_515_008
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    model, tokenizer = load_model(folder)
    ids = torch.tensor([tokenizer.encode("The capital of France is", add_special_tokens=False)])
    with torch.no_grad():
        following = model(ids).logits[0, -1].argmax()
    assert str(tokenizer.decode([int(following)])).strip() == "Paris"
