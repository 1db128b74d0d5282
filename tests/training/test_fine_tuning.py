import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, Trainer, TrainerCallback

from selection_platform.configuration.settings import LoraSettings
from selection_platform.errors import PlatformError
from selection_platform.models.loading import UnsavableModel, load_model
from selection_platform.text.conversation import Message, sample_id
from selection_platform.training import fine_tuning, loop
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from selection_platform.training.pretraining import train_tokenizer
from tests.specs import changed as spec_changed
from tests.specs import made

QUESTIONS = ["red", "green", "blue", "sky", "sea", "sun", "moon", "star", "sand", "snow"]


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


class KillAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise Killed


LORA = LoraSettings(rank=4, alpha=512, dropout=0.1)
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"lora": LORA},
    "8 bits": {"optimizer": "adamw_8bit", "precision": "bfloat16"},
}
needs_torchao = pytest.mark.skipif(not find_spec("torchao"), reason="torchao is not installed: it is `adamw-8bit`")


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., FineTuningSpec]:
    """Makes specs for a tiny base model and ten conversations."""
    conversations = [
        [Message("user", f"What is {word}?"), Message("assistant", f"{word} is {word[::-1]}" * (index % 3 + 1))]
        for index, word in enumerate(QUESTIONS)
    ]
    base = tmp_path / "base"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(base)
    train_tokenizer(conversations, 300, 64).save_pretrained(base)

    def make(rows: int = 10, **changes: Any) -> FineTuningSpec:
        file = tmp_path / f"{rows}.parquet"
        table = {
            "position": list(range(rows)),
            "sample_id": [sample_id(messages) for messages in conversations[:rows]],
            "messages": [[message._asdict() for message in messages] for messages in conversations[:rows]],
        }
        pq.write_table(pa.table(table), file)
        recipe: dict[str, Any] = {"learning_rate": 3e-3, "global_batch": 4, "batch_per_device": 2, "max_length": 64}
        return made(FineTuningSpec, base_model_folder=str(base), train_file=str(file), **(recipe | changes))

    return make


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_it_learns_four_rows_by_heart(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    manifest = fine_tune(spec(rows=4, epochs=120, learning_rate=1e-2), tmp_path / "out")
    assert manifest["final_loss"] < 0.05
    assert log_of(tmp_path / "out")[0]["loss"] > 4
    model, tokenizer = load_model(tmp_path / "out", device="cpu")
    prompt = "Human: What is blue?\nAssistant: "
    ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])
    generated: Any = cast(Any, model).generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False
    )
    assert tokenizer.decode(generated[0, ids.shape[1] :]) == "blue is eulb" * 3 + "<|endoftext|>"


def test_the_manifest_counts_what_was_trained(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    manifest = fine_tune(spec(epochs=2, max_length=24), tmp_path / "out")
    assert (manifest["rows"], manifest["dropped_rows"]) == (10, 0)
    # Three steps an epoch: batches of 4, 4 and 2.
    assert manifest["steps"] == 6
    assert manifest["truncated_rows"] > 0
    assert manifest["answer_tokens_trained"] < manifest["tokens_trained"] <= 2 * 10 * 24
    assert manifest["spec"]["recipe"]["epochs"] == 2
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert json.loads(json.dumps(manifest)) == manifest


@pytest.mark.slow
def test_a_finished_training_is_not_repeated(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    first = fine_tune(spec(epochs=1), tmp_path / "out")
    assert fine_tune(spec(epochs=1), tmp_path / "out") == first
    assert fine_tune(spec(epochs=1, seed=1), tmp_path / "out")["weights_hash"] != first["weights_hash"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    for method in ("full", "lora"):
        folders = [tmp_path / f"{method}-{run}" for run in range(2)]
        for folder in folders:
            fine_tune(spec(**METHODS[method], epochs=2), folder)
        file = "model.safetensors" if method == "full" else "adapter_model.safetensors"
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


@pytest.mark.slow
def test_micro_batches_do_not_change_the_optimisation(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    for size in (1, 4):
        fine_tune(spec(batch_per_device=size, epochs=2), tmp_path / str(size))
    losses = [[entry["loss"] for entry in log_of(tmp_path / size)] for size in ("1", "4")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "killed_at"),
    [("full", 4), ("full", 7), ("lora", 8), pytest.param("8 bits", 4, marks=needs_torchao)],
)
def test_a_killed_training_goes_on_as_if_it_had_not_been(
    spec: Callable[..., FineTuningSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, killed_at: int
):
    # Saves fall on the end of an epoch (steps 3, 6) and, with 2, inside one.
    recipe = spec(epochs=3, **METHODS[method], save_steps=3 if killed_at == 7 else 2)
    unbroken = fine_tune(recipe, tmp_path / "unbroken")
    train = fine_tuning.train
    with monkeypatch.context() as patch:
        killer = KillAt(killed_at)
        patch.setattr(fine_tuning, "train", lambda *a, **k: train(*a, **(k | {"callbacks": [killer]})))
        with pytest.raises(Killed):
            fine_tune(recipe, tmp_path / "broken")
    half_written = tmp_path / "broken" / "checkpoints" / "checkpoint-99"
    half_written.mkdir()
    assert not (tmp_path / "broken" / "manifest.json").exists()
    resumed = fine_tune(recipe, tmp_path / "broken")
    assert resumed["weights_hash"] == unbroken["weights_hash"]
    losses = [[entry["loss"] for entry in log_of(tmp_path / run)] for run in ("unbroken", "broken")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 9


@pytest.mark.slow
def test_an_adapter_is_stored_by_itself_and_loads_merged(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    recipe = spec(epochs=3, lora=LORA.model_copy(update={"target_modules": ("q_proj", "v_proj")}))
    manifest = fine_tune(recipe, tmp_path / "out")
    assert manifest["base_model_folder"] == "../base"
    assert not (tmp_path / "out" / "model.safetensors").exists()
    base = LlamaForCausalLM.from_pretrained(recipe.base_model_folder)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        before = base(ids).logits
        beside = PeftModel.from_pretrained(base, str(tmp_path / "out"))(ids).logits
        merged = load_model(tmp_path / "out", device="cpu")[0](ids).logits
    torch.testing.assert_close(merged, beside, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(merged, before, atol=1e-3)


@pytest.mark.slow
@needs_torchao
def test_weights_in_bfloat16_and_moments_in_8_bits(
    spec: Callable[..., FineTuningSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: dict[str, Any] = {}

    class Look(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            weights = {name: weight for name, weight in kwargs["model"].named_parameters()}
            moment = kwargs["optimizer"].state[weights["model.embed_tokens.weight"]]["exp_avg"]
            seen.update(
                moments=getattr(moment, "codes", moment).dtype, weights={weight.dtype for weight in weights.values()}
            )

    train = fine_tuning.train
    monkeypatch.setattr(fine_tuning, "train", lambda *a, **k: train(*a, **(k | {"callbacks": [Look()]})))
    recipe = spec(rows=4, epochs=30, learning_rate=1e-2)
    expected = fine_tune(recipe, tmp_path / "float32")
    found = fine_tune(spec_changed(recipe, **METHODS["8 bits"]), tmp_path / "8 bits")
    assert seen == {"moments": torch.uint8, "weights": {torch.bfloat16}}
    assert found["final_loss"] == pytest.approx(expected["final_loss"], rel=0.1)
    stored = load_file(tmp_path / "8 bits" / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.bfloat16}


def test_8_bit_adamw_without_torchao(
    spec: Callable[..., FineTuningSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop, "find_spec", lambda _: None)
    with pytest.raises(PlatformError, match=r"adamw_8bit needs torchao, .*; install selection-platform\[adamw-8bit\]"):
        fine_tune(spec(**METHODS["8 bits"]), tmp_path / "out")


@pytest.mark.slow
def test_gradient_checkpointing_changes_nothing(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    for method in ("full", "lora"):
        losses = []
        for flag in (False, True):
            folder = tmp_path / f"{method}-{flag}"
            fine_tune(spec(**METHODS[method], epochs=1, gradient_checkpointing=flag), folder)
            losses.append([entry["loss"] for entry in log_of(folder)])
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_file_without_an_answer_in_reach_is_refused(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    with pytest.raises(ValueError, match=r"10\.parquet: no answer token within max_length 5"):
        fine_tune(spec(max_length=5, cut="tail"), tmp_path / "out")
    # Where the limit is shared, something to learn is left of each.
    manifest = fine_tune(spec(max_length=5, epochs=1), tmp_path / "shared")
    assert (manifest["rows"], manifest["dropped_rows"], manifest["truncated_rows"]) == (10, 0, 10)
    assert manifest["answer_tokens_trained"] >= 10
    assert manifest["answer_tokens_cut"] > 0


@pytest.mark.slow
def test_one_step_with_a_learning_rate_of_zero_is_refused(spec: Callable[..., FineTuningSpec], tmp_path: Path):
    one = {"epochs": 1, "global_batch": 10, "batch_per_device": 2}
    with pytest.raises(PlatformError, match=r"10\.parquet: 10 conversations are one training step"):
        fine_tune(spec(**one, warmup_ratio=0.01), tmp_path / "out")
    assert fine_tune(spec(**one, warmup_ratio=0), tmp_path / "out")["steps"] == 1
    assert fine_tune(spec(**one | {"epochs": 2}, warmup_ratio=0.01), tmp_path / "two")["steps"] == 2


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("settings", [{"temperature": 0.6, "top_p": 0.9}, {"early_stopping": True, "pad_token_id": -1}])
def test_odd_settings_of_generation_are_kept(
    spec: Callable[..., FineTuningSpec], tmp_path: Path, method: str, settings: dict[str, Any]
):
    # Saves a checkpoint after the first step as well.
    recipe = spec(**METHODS[method], epochs=1, save_steps=1)
    published = {"eos_token_id": [7, 8], "transformers_version": "4.40.0", **settings}
    (Path(recipe.base_model_folder) / "generation_config.json").write_text(json.dumps(published))
    fine_tune(recipe, tmp_path / "out")
    model, tokenizer = load_model(tmp_path / "out", device="cpu")
    assert model.generation_config.to_diff_dict().items() >= settings.items()
    if method == "full":
        saved = json.loads((tmp_path / "out" / "generation_config.json").read_text())
        assert "do_sample" not in saved
        # An answer ends here as the trained ones do.
        assert saved.items() >= {**settings, "eos_token_id": tokenizer.eos_token_id}.items()


@pytest.fixture
def no_step(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:
        raise AssertionError("a step was done")

    monkeypatch.setattr(Trainer, "training_step", refuse)


@pytest.mark.usefixtures("no_step")
def test_a_model_that_cannot_be_saved_is_not_trained(
    spec: Callable[..., FineTuningSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def unsavable(*arguments: Any, **options: Any) -> Any:
        model, tokenizer = load_model(*arguments, **options)
        cast(Any, model.config).temperature = 0.5
        return model, tokenizer

    monkeypatch.setattr(fine_tuning, "load_model", unsavable)
    recipe = spec()
    with pytest.raises(
        UnsavableModel, match=rf"{recipe.base_model_folder}: .* could not be saved .*'temperature': 0\.5"
    ):
        fine_tune(recipe, tmp_path / "out")


@pytest.mark.usefixtures("no_step")
def test_a_tokenizer_that_cannot_be_saved_stops_the_training(
    spec: Callable[..., FineTuningSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError("no vocabulary to save")

    recipe = spec()
    monkeypatch.setattr(PreTrainedTokenizerBase, "save_pretrained", refuse)
    with pytest.raises(UnsavableModel, match=r"base: .* after training \(no vocabulary to save\); correct its"):
        fine_tune(recipe, tmp_path / "out")
