from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    Trainer,
    TrainingArguments,
)

from selection_platform.errors import NotFinite, PlatformError
from selection_platform.job.processes import PATIENCE
from selection_platform.models.loading import UnsavableModel
from selection_platform.training import checkpoints, loop
from selection_platform.training.batches import Row
from selection_platform.training.checkpoints import last_whole_checkpoint
from selection_platform.training.loop import train, training_arguments
from tests.architectures import ARCHITECTURES, COMMON


def row(*ids: int) -> Row:
    return Row(np.array(ids, np.int32), np.array([index > 0 for index in range(len(ids))]))


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    return LlamaForCausalLM(config)


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    recipe: dict[str, Any] = {
        "global_batch": 4,
        "batch_per_device": 2,
        "seed": 0,
        "save_steps": 100,
        "precision": "float32",
    }
    return training_arguments(folder, **(recipe | {"max_steps": 1, "learning_rate": 0.0} | changes))


def test_a_global_batch_of_broken_micro_batches_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="global_batch 4 is not a multiple of batch_per_device 3 x 1 devices"):
        arguments(tmp_path, batch_per_device=3)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="batch_per_device 2 x 4 devices"):
        arguments(tmp_path)


@pytest.mark.slow
def test_the_loss_is_the_mean_over_all_targets_of_the_global_batch(tmp_path: Path):
    rows = [row(1, 2), row(3, 4), row(5, 6, 7, 8, 9, 10), row(11, 12)]
    model = tiny_model()
    summed = targets = 0.0
    with torch.no_grad():
        for ids, _ in rows:
            logits = model(torch.from_numpy(ids).long()[None]).logits[0, :-1]
            summed += torch.nn.functional.cross_entropy(
                logits, torch.from_numpy(ids[1:]).long(), reduction="sum"
            ).item()
            targets += len(ids) - 1
    assert targets == 8
    outcome = train(model, rows, arguments(tmp_path), label="test")
    assert outcome.packed
    assert outcome.final_loss == pytest.approx(summed / targets, rel=1e-5)


@pytest.mark.slow
def test_weights_and_log_are_left_and_no_pickle(tmp_path: Path):
    outcome = train(tiny_model(), [row(1, 2)] * 6, arguments(tmp_path, max_steps=-1, num_train_epochs=2), label="test")
    assert outcome.steps == 4
    assert (tmp_path / "model.safetensors").exists()
    assert len((tmp_path / "train_log.jsonl").read_text().splitlines()) == 4
    assert not list(tmp_path.glob("*.bin"))


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path):
    model = tiny_model()
    torch.nn.init.constant_(model.model.norm.weight, float("nan"))
    with pytest.raises(NotFinite, match="nan at step 1; lower learning_rate"):
        train(model, [row(1, 2)], arguments(tmp_path), label="test")


class Started(Exception):
    """The training began."""


def refuse_steps(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:
        raise AssertionError("a step was done")

    monkeypatch.setattr(Trainer, "training_step", refuse)


def test_an_adapter_that_cannot_be_saved_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse_steps(monkeypatch)
    adapted: Any = get_peft_model(tiny_model(), LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]))
    adapted.peft_config["default"].revision = object()
    with pytest.raises(UnsavableModel, match=r"could not be saved .*not JSON serializable"):
        train(adapted, [row(1, 2)], arguments(tmp_path), label="test")


# 2 bytes a parameter for the weights; 12 for each of two checkpoints, of which a resumed training has one already.
@pytest.mark.parametrize(
    ("save_steps", "resumed", "bytes_each"), [(8, False, 2), (4, False, 14), (2, False, 24), (2, True, 12)]
)
def test_a_training_without_room_on_the_disk_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_steps: int, resumed: bool, bytes_each: int
):
    model = tiny_model()
    if resumed:
        (tmp_path / "checkpoints" / "checkpoint-2").mkdir(parents=True)
        (tmp_path / "checkpoints" / "checkpoint-2" / "whole.json").write_text('{"seconds": 1.0}')
    needed = sum(parameter.numel() for parameter in model.parameters()) * bytes_each

    def stop(*_: Any, **__: Any) -> None:
        raise Started

    monkeypatch.setattr(Trainer, "train", stop)
    for free, ends in ((needed - 1, PlatformError), (needed, Started)):
        monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with pytest.raises(ends):
            train(model, [row(1, 2)] * 4, arguments(tmp_path, max_steps=8, save_steps=save_steps), label="test")


def test_only_whole_checkpoints_count_and_the_latest_is_taken(tmp_path: Path):
    assert last_whole_checkpoint(tmp_path) is None
    for step, whole in ((9, True), (10, True), (11, False)):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if whole:
            (folder / "whole.json").write_text("{}")
    last = last_whole_checkpoint(tmp_path)
    assert last is not None
    assert last.name == "checkpoint-10"


def test_checkpoints_are_written_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A step takes a minute and a half on this clock, which is asked a few times a step.
    now, saved = [0.0], []
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    step, save = Trainer.training_step, Trainer._save_checkpoint

    def take_long(*given: Any) -> torch.Tensor:
        now[0] += 90
        return step(*given)

    def note(trainer: Trainer, *given: Any) -> None:
        saved.append(trainer.state.global_step)
        save(trainer, *given)

    monkeypatch.setattr(Trainer, "training_step", take_long)
    monkeypatch.setattr(Trainer, "_save_checkpoint", note)
    by_time = arguments(tmp_path, max_steps=7, save_steps=None, batch_per_device=4)
    outcome = train(tiny_model(), [row(1, 2)] * 4, by_time, label="test", save_minutes=2.5)
    # After 3 minutes, then after 3 more; and never after the last step.
    assert saved == [2, 4, 6]
    assert outcome.seconds == 7 * 90


@pytest.mark.parametrize(("router", "reason"), [(True, "its loss is its own"), (False, "its attention has softcap")])
def test_a_model_whose_rows_cannot_be_packed_is_trained_on_padded_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, router: bool, reason: str
):
    config = ARCHITECTURES["gemma-2"]
    if router:
        config = MixtralConfig(**COMMON, num_local_experts=4, output_router_logits=True)
    model: Any = AutoModelForCausalLM.from_config(config)
    rows = [row(1, 2), row(3, 4), row(5, 6, 7, 8, 9, 10), row(11, 12)]
    outcome = train(model, rows, arguments(tmp_path), label="test")
    assert not outcome.packed
    assert f"is trained on padded batches, as rows cannot be packed: {reason}" in caplog.text


def test_processes_wait_for_each_other_as_long_as_a_save_takes(tmp_path: Path):
    assert arguments(tmp_path).ddp_timeout_delta == PATIENCE


@pytest.mark.slow
def test_autocast_keeps_no_copies_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = []
    step = Trainer.compute_loss

    def look(trainer: Trainer, model: Any, *given: Any, **named: Any) -> Any:
        model.lm_head.register_forward_hook(lambda *_: kept.append(torch.is_autocast_cache_enabled()))
        return step(trainer, model, *given, **named)

    monkeypatch.setattr(Trainer, "compute_loss", look)
    train(tiny_model(), [row(1, 2)] * 4, arguments(tmp_path, precision="bfloat16"), label="test")
    assert kept
    assert not any(kept)
