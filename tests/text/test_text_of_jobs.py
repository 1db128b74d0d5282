"""One text from scoring to the checkpoint, with a template, a first token and ends of turns of its own."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from selection_platform.configuration.text_settings import TextSettings
from selection_platform.evaluation.held_out_loss import held_out_loss
from selection_platform.features.token_plan import make_plan
from selection_platform.methods.selectit.rating_prompts import rating_tokens
from selection_platform.models.loading import load_model
from selection_platform.models.renderers import load_renderer, text_identity
from selection_platform.text.conversation import Message, to_records
from selection_platform.training.batches import tokenize_rows
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from tests.chat_tokenizers import SPECIAL, chat_tokenizer
from tests.chats import chat_of
from tests.specs import made
from tests.tiny import SIZES, write_samples

TEXT = TextSettings()
SAID = [
    Message("user", "Say <end_of_turn> or <bos>."), Message("assistant", "No <end_of_turn> here."),
    Message("user", "Why?"), Message("assistant", "It ends <eos> turns."),
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A tiny Llama with Gemma's tokens and a template in its style."""
    folder = tmp_path_factory.mktemp("models") / "base"
    tokenizer = chat_tokenizer("gemma")
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 256}
    LlamaForCausalLM(LlamaConfig(**sizes, bos_token_id=tokenizer.bos_token_id, eos_token_id=1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_plan_and_the_training_rows_have_the_tokens_of_the_template(base: Path, tmp_path: Path):
    renderer = load_renderer(base, TEXT)
    write_samples(tmp_path / "samples.parquet", {"a": SAID})
    plan = make_plan(tmp_path / "samples.parquet", renderer, 200, "prompt_start", tmp_path, with_end=True)
    tokens = renderer.tokenize(SAID)
    (row,) = tokenize_rows([SAID], renderer, 200, "shared").kept
    assert row.ids.tolist() == tokens.ids
    assert plan.joint(0).tolist() == tokens.ids[: len(plan.joint(0))]
    direct = plan.direct(0).tolist()
    assert direct[: plan.cue_length] == renderer.cue
    # In a plan the last answer counts alone, and the line break behind its end does not.
    assert plan.joint(0)[-int(plan.answer_tokens[0]) :].tolist() == direct[plan.cue_length :] + renderer.end
    special = [renderer.tokenizer.convert_tokens_to_ids(token) for token in SPECIAL["gemma"]]
    found = [renderer.tokenizer.convert_ids_to_tokens(int(token)) for token in row.ids if token in special]
    turn = ["<start_of_turn>", "<end_of_turn>"]
    assert found == ["<bos>", *turn * 4]


def test_a_rating_prompt_begins_once(base: Path, tmp_path: Path):
    renderer = load_renderer(base, TEXT)
    tokens = rating_tokens(renderer)
    write_samples(tmp_path / "samples.parquet", {"a": SAID})
    plan = make_plan(tmp_path / "samples.parquet", renderer, 200, "prompt_start", tmp_path)
    (bos,) = renderer.bos
    for prompt in range(5):
        sequence = tokens.sequence(prompt, plan.joint(0))
        assert np.flatnonzero(sequence == bos).tolist() == [0]
        assert len(sequence) == tokens.lengths(plan)[0, prompt]


def test_a_long_prompt_keeps_its_beginning_token(base: Path):
    model, _ = load_model(base, device="cpu")
    renderer = load_renderer(base, TEXT)
    chat = chat_of(model, renderer, 1)
    assert chat._cut([*renderer.bos, *range(10, 20)], 4) == [*renderer.bos, 17, 18, 19]


def test_generation_stops_at_each_end(base: Path, monkeypatch: pytest.MonkeyPatch):
    model, _ = load_model(base, device="cpu")
    renderer = load_renderer(base, TEXT)
    chat = chat_of(model, renderer, 1)
    text = chat.apply_chat_template([{"role": "user", "content": "Why?"}])
    assert text == "<bos><start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n"
    begun = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "It"}]
    assert chat.apply_chat_template(begun, add_generation_prompt=False) == f"{text}It"
    letters = renderer.tokenizer.convert_tokens_to_ids(["a", "b"])
    for end in renderer.ends:
        written = [letters[0], end, letters[1]]
        monkeypatch.setattr(model, "generate", lambda input_ids, written=written, **_: torch.cat(
            [input_ids, torch.tensor([written])], dim=1
        ))  # fmt: skip
        asked = [Instance("generate_until", {}, (text, {"max_gen_toks": 3}), 0, ("task", 0, 1))]
        assert chat.generate_until(asked) == ["a"]


def test_the_held_out_loss_is_of_the_answers_own_text(base: Path):
    model, _ = load_model(base, device="cpu")
    renderer = load_renderer(base, TEXT)
    loss = held_out_loss(model, renderer, [("a", SAID)], 1000, 250)
    tokens = renderer.tokenize(SAID)
    with torch.no_grad():
        log_probs = model(torch.tensor([tokens.ids])).logits[0].log_softmax(dim=-1)
    places = [place for place, is_text in enumerate(tokens.is_text) if is_text]
    bits = -sum(log_probs[place - 1, tokens.ids[place]].item() for place in places) / np.log(2)
    (row,) = loss.items.to_pylist()
    assert row["bytes"] == sum(len(SAID[place].content.encode()) for place in (1, 3))
    assert row["bits"] == pytest.approx(bits, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_a_checkpoint_has_the_text_that_it_was_trained_in(base: Path, tmp_path: Path, lora: bool):
    rows = {"position": [0, 1], "sample_id": ["a", "b"], "messages": [to_records(SAID)[0], to_records(SAID[:2])[0]]}
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    spec = made(
        FineTuningSpec,
        base_model_folder=str(base),
        train_file=str(tmp_path / "train.parquet"),
        text=TextSettings(bos="always"),
        epochs=1, global_batch=1, batch_per_device=1, max_length=200,
        lora={"rank": 2, "alpha": 4} if lora else None,
    )  # fmt: skip
    folder = tmp_path / "out"
    manifest = fine_tune(spec, folder)
    renderer = load_renderer(base, spec.text)
    assert manifest["template_hash"] == renderer.identity == text_identity(folder, spec.text)
    model, tokenizer = load_model(folder, device="cpu")
    assert model.generation_config.eos_token_id == manifest["ends"] == list(renderer.ends)
    if not lora:
        saved = json.loads((folder / "generation_config.json").read_text())
        assert saved["eos_token_id"] == list(renderer.ends)
    # What plain transformers makes of the folder is what the evaluation asks.
    plain = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "Why?"}]
    ids = plain.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert ids == load_renderer(folder, spec.text).prompt([Message("user", "Why?")]).ids
    assert tokenizer.chat_template == renderer.chat_template
