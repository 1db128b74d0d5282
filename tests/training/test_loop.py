from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments

from selection_platform.errors import NotFinite
from selection_platform.training.batches import Row
from selection_platform.training.loop import last_whole_checkpoint, train, training_arguments


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
    assert outcome.final_loss == pytest.approx(summed / targets, rel=1e-5)


def test_weights_and_log_are_left_and_no_pickle(tmp_path: Path):
    outcome = train(tiny_model(), [row(1, 2)] * 6, arguments(tmp_path, max_steps=-1, num_train_epochs=2), label="test")
    assert outcome.steps == 4
    assert (tmp_path / "model.safetensors").exists()
    assert len((tmp_path / "train_log.jsonl").read_text().splitlines()) == 4
    assert not list(tmp_path.glob("*.bin"))


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path):
    model = tiny_model()
    torch.nn.init.constant_(model.model.norm.weight, float("nan"))
    with pytest.raises(NotFinite, match="nan at step 1; lower learning_rate"):
        train(model, [row(1, 2)], arguments(tmp_path), label="test")


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
