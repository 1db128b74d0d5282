import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, Qwen2MoeConfig, Trainer, TrainerCallback

from selection_platform.configuration.settings import LoraSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import FILES
from selection_platform.models.loading import load_model
from selection_platform.training import epoch_snapshots as module
from selection_platform.training import fine_tuning
from selection_platform.training.epoch_snapshots import MOMENTS_FILE, epoch_snapshots
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from tests.specs import changed
from tests.tiny import CONFIGS, SIZES
from tests.warm_ups import warm_up_spec


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


class KillAt(TrainerCallback):
    """Kills at the end of a step, right before or right after its checkpoint is written."""

    def __init__(self, step: int, after_the_checkpoint: bool) -> None:
        self.step = step
        self.after = after_the_checkpoint

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step and not self.after:
            raise Killed

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise Killed


@pytest.fixture
def spec(tmp_path: Path) -> FineTuningSpec:
    return warm_up_spec(tmp_path, CONFIGS["llama"])


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob("epoch-*/*"))
        # The record of the files has their times.
        if path.is_file() and path.name != FILES
    }


def fine_tune_and_kill(recipe: FineTuningSpec, folder: Path, killer: TrainerCallback, patch: pytest.MonkeyPatch):
    train = fine_tuning.train
    with patch.context() as patched:
        patched.setattr(
            fine_tuning, "train", lambda *a, **k: train(*a, **(k | {"callbacks": [*k["callbacks"], killer]}))
        )
        with pytest.raises(Killed):
            fine_tune(recipe, folder)


@pytest.mark.slow
def test_epochs_are_kept_with_adams_moments(spec: FineTuningSpec, tmp_path: Path):
    fine_tune(spec, tmp_path / "out")
    first, last = epoch_snapshots(tmp_path / "out")
    assert [path.name for path in (first.folder, last.folder)] == ["epoch-1", "epoch-2"]
    assert [first.epoch, last.epoch] == [1, 2]
    assert [first.adam_steps, last.adam_steps] == [3, 6]
    assert (first.betas, first.eps) == ((0.9, 0.999), 1e-8)
    # Linear from the peak to 0 over six steps: 6/6, 5/6, 4/6, then 3/6, 2/6, 1/6 of it.
    assert [first.mean_learning_rate, last.mean_learning_rate] == pytest.approx([3e-3 * 5 / 6, 3e-3 * 2 / 6])
    assert first.content != last.content
    kept = load_file(last.folder / "adapter_model.safetensors")
    final = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert all(torch.equal(kept[name], final[name]) for name in final)
    load_model(first.folder, device="cpu")
    base = LlamaForCausalLM.from_pretrained(spec.base_model_folder)
    adapted = PeftModel.from_pretrained(base, str(first.folder), is_trainable=True)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    moments = load_file(first.folder / MOMENTS_FILE)
    assert set(moments) == {f"{name}.{moment}" for name in trained for moment in ("exp_avg", "exp_avg_sq")}
    assert all(tensor.abs().sum() > 0 for tensor in moments.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "after_the_checkpoint"),
    [(3, True), (3, False), (5, False)],
    ids=["after the last checkpoint of an epoch", "before it", "inside an epoch"],
)
def test_a_killed_training_loses_and_doubles_no_snapshot(
    spec: FineTuningSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, after_the_checkpoint: bool
):
    # A checkpoint at every step: the first epoch's last one too, after which its end does not come again.
    recipe = changed(spec, save_steps=1)
    fine_tune(recipe, tmp_path / "unbroken")
    fine_tune_and_kill(recipe, tmp_path / "broken", KillAt(step, after_the_checkpoint), monkeypatch)
    with pytest.raises(ValueError, match="no finished training"):
        epoch_snapshots(tmp_path / "broken")
    fine_tune(recipe, tmp_path / "broken")
    assert files_below(tmp_path / "broken") == files_below(tmp_path / "unbroken")
    assert len(epoch_snapshots(tmp_path / "broken")) == 2


@pytest.mark.slow
def test_a_half_written_snapshot_is_written_again(
    spec: FineTuningSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fine_tune(spec, tmp_path / "unbroken")

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_manifest", killed)
        with pytest.raises(Killed):
            fine_tune(spec, tmp_path / "broken")
    (tmp_path / "broken/epoch-1/stray").write_text("half")
    fine_tune(spec, tmp_path / "broken")
    assert files_below(tmp_path / "broken") == files_below(tmp_path / "unbroken")


@pytest.mark.slow
def test_keeping_epochs_is_part_of_the_job(spec: FineTuningSpec, tmp_path: Path):
    without = changed(spec, keep_epochs=False, epochs=1)
    fine_tune(without, tmp_path / "out")
    with pytest.raises(ValueError, match="kept no epochs"):
        epoch_snapshots(tmp_path / "out")
    fine_tune(changed(without, keep_epochs=True), tmp_path / "out")
    assert len(epoch_snapshots(tmp_path / "out")) == 1


def test_full_weights_are_not_kept(spec: FineTuningSpec, tmp_path: Path):
    with pytest.raises(ValueError, match="keep_epochs is for LoRA: weights and moments of a full fine-tuning"):
        fine_tune(changed(spec, lora=None), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_layers_of_an_adapter_are_in_order(spec: FineTuningSpec, tmp_path: Path):
    fine_tune(changed(spec, epochs=1), tmp_path / "out")
    for folder in (tmp_path / "out", tmp_path / "out/epoch-1"):
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"], folder


@pytest.mark.parametrize("layer", ["shared_expert.up_proj", "lm_head"])
def test_layers_that_do_not_see_samples_by_themselves_are_refused_before_training(tmp_path, monkeypatch, layer):
    sizes: dict[str, Any] = {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    config = Qwen2MoeConfig(**sizes, shared_expert_intermediate_size=16)
    monkeypatch.setattr(Trainer, "training_step", None)
    lora = LoraSettings(target_modules=("q_proj", layer))
    with pytest.raises(PlatformError, match=f"{layer}.lora_A.default: in a pass through the decoder this layer does"):
        fine_tune(warm_up_spec(tmp_path, config, lora=lora), tmp_path / "out")
