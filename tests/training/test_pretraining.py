import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection_platform.models.loading import load_model
from selection_platform.models.provenance import weights_hash
from selection_platform.text.conversation import Message, sample_id
from selection_platform.training import pretraining
from selection_platform.training.pretraining import PretrainingSpec, pretrain, train_tokenizer
from tests.specs import changed, made

CONVERSATIONS = [
    [Message("user", f"What comes after {n}?"), Message("assistant", f"After {n} comes {n + 1}.")] for n in range(200)
]
TOKENIZER = train_tokenizer(CONVERSATIONS, 400, 128)


@pytest.fixture
def spec(tmp_path: Path) -> PretrainingSpec:
    file = tmp_path / "text.parquet"
    table = {
        "sample_id": [sample_id(messages) for messages in CONVERSATIONS],
        "messages": [[message._asdict() for message in messages] for messages in CONVERSATIONS],
    }
    pq.write_table(pa.table(table), file)
    return made(
        PretrainingSpec,
        train_file=str(file),
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        layers=2,
        heads=2,
        context=128,
        block_length=32,
        steps=40,
        batch=4,
        learning_rate=1e-2,
        save_steps=10,
    )


@pytest.mark.slow
@settings(max_examples=50)
@given(st.text())
def test_any_text_survives_the_tokenizer(text: str):
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text


def test_the_model_learns_and_loads(spec: PretrainingSpec, tmp_path: Path):
    manifest = pretrain(spec, tmp_path / "base")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "base" / "train_log.jsonl").read_text().splitlines()]
    assert len(losses) == manifest["steps"] == 40
    # A fresh model spreads its bets evenly: ln(400) = 5.99.
    assert losses[0] == pytest.approx(5.99, abs=0.3)
    assert manifest["final_loss"] < 3
    assert manifest["tokens_seen"] == 40 * 4 * 32
    model, tokenizer = load_model(tmp_path / "base", device="cpu")
    assert manifest["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert tokenizer.model_max_length == model.config.max_position_embeddings == 128
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.eos_token == "<|endoftext|>"
    assert model.config.use_cache
    assert not (tmp_path / "base" / "checkpoints").exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(spec: PretrainingSpec, tmp_path: Path):
    hashes = [pretrain(spec, tmp_path / str(run))["weights_hash"] for run in range(2)]
    assert hashes[0] == hashes[1]
    tokenizers = [(tmp_path / str(run) / "tokenizer.json").read_bytes() for run in range(2)]
    assert tokenizers[0] == tokenizers[1]


def test_a_file_with_less_than_a_block_is_refused(spec: PretrainingSpec, tmp_path: Path):
    too_long = changed(spec, block_length=100_000)
    with pytest.raises(ValueError, match=r"text\.parquet: \d+ tokens, fewer than one block of 100000"):
        pretrain(too_long, tmp_path / "base")


@pytest.mark.slow
def test_an_interrupted_training_leaves_the_model_of_before(spec: PretrainingSpec, tmp_path: Path, monkeypatch):
    before = pretrain(spec, tmp_path / "base")

    def interrupted(*_: Any, **__: Any):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(changed(spec, seed=1), tmp_path / "base")
        # Back to the spec of before: nothing is trained.
        assert pretrain(spec, tmp_path / "base") == before
    assert weights_hash(tmp_path / "base") == before["weights_hash"]
