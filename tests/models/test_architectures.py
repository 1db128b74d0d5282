"""Each family of models, from the folder to the answers, against plain transformers, one row at a time.

What is held to is what a user would get by hand: `model(ids).logits`, autograd, `model.generate`.
"""

import copy
import json
import math
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lm_eval.api.instance import Instance
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from selection_platform.configuration.settings import LoraSettings
from selection_platform.evaluation.held_out_loss import held_out_loss
from selection_platform.methods.less.warmed_up import load_warmed_up
from selection_platform.methods.selectit.rating_probability import next_token_log_probabilities
from selection_platform.models.base_model import copy_model
from selection_platform.models.forward_pass import forward
from selection_platform.models.loading import load_model
from selection_platform.text.rendering import pieces
from selection_platform.training.batches import read_conversations, tokenize_rows
from selection_platform.training.epoch_snapshots import epoch_snapshots
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from selection_platform.training.order import EpochOrder, Packed
from tests.architectures import ARCHITECTURES
from tests.chats import chat_of
from tests.specs import made
from tests.tiny import paper, random_samples, save_model, write_samples

ROWS = [np.random.default_rng(length).integers(0, 300, length) for length in (3, 40, 17, 9)]
"""Longer and shorter than a sliding window; in an order that is not theirs by length."""
TURNS = [[{"role": "user", "content": "the cat " * count}] for count in (1, 6, 3)]
TARGETS = {"phi-3": ["o_proj", "qkv_proj"], "gpt-2": ["attn.c_proj", "c_attn"]}


class Fetched(NamedTuple):
    """A model that was fetched from a folder, and itself as transformers reads it."""

    folder: Path
    plain: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("architectures")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def fetched(request: pytest.FixtureRequest, home: Path) -> Fetched:
    source, folder = home / f"{request.param}-source", home / request.param
    save_model(source, ARCHITECTURES[request.param])
    copy_model(source, folder)
    return Fetched(folder, AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder))


def plain_nll(model: PreTrainedModel, row: np.ndarray) -> np.ndarray:
    """NLL of tokens 2..n, in float64."""
    with torch.no_grad():
        log_probability = cast(Any, model)(torch.from_numpy(row)[None]).logits[0].double().log_softmax(dim=-1)
    return np.array([-log_probability[place - 1, token].item() for place, token in enumerate(row) if place])


def training_file(folder: Path) -> Path:
    """Eight conversations: two steps of four."""
    file = folder / "train.parquet"
    samples = [(name, turns) for name, turns in random_samples(12).items() if turns[-1].content][:8]
    write_samples(file, dict(samples))
    pq.write_table(pq.read_table(file).append_column("position", pa.array(range(8))), file)
    return file


def recipe(fetched: Fetched, lora: LoraSettings | None, **changes: Any) -> FineTuningSpec:
    return made(
        FineTuningSpec,
        base_model_folder=str(fetched.folder),
        train_file=str(training_file(fetched.folder.parent)),
        **{
            "epochs": 1,
            "learning_rate": 1e-2,
            "global_batch": 4,
            "batch_per_device": 2,
            "max_length": 90,
            "lora": lora,
        },
        **changes,
    )


def test_it_is_scored_as_transformers_would(fetched: Fetched):
    model, _ = load_model(fetched.folder, device="cpu")
    together = forward(model, ROWS, 1, 7)
    for row, nll, hidden in zip(ROWS, together.nll, together.mean_hidden, strict=True):
        assert nll == pytest.approx(plain_nll(fetched.plain, row), rel=1e-4, abs=1e-4)
        assert hidden == pytest.approx(forward(model, [row], 1, 99).mean_hidden[0], rel=1e-3, abs=1e-4)


def test_ratings_are_its_next_token(fetched: Fetched):
    model, _ = load_model(fetched.folder, device="cpu")
    candidates = np.array([5, 17, 200])
    rated = next_token_log_probabilities(model, ROWS, candidates).exp()
    for row, probabilities in zip(ROWS, rated, strict=True):
        with torch.no_grad():
            wanted = cast(Any, fetched.plain)(torch.from_numpy(row)[None]).logits[0, -1].double().softmax(dim=-1)
        assert probabilities.tolist() == pytest.approx(wanted[candidates].tolist(), rel=1e-3)


def test_its_answers_are_those_of_generate(fetched: Fetched):
    model, tokenizer = load_model(fetched.folder, device="cpu")
    chat = chat_of(model, paper(tokenizer), 3)
    texts = [chat.apply_chat_template(turns) for turns in TURNS]
    asked = [Instance("generate_until", {}, (text, {"max_gen_toks": 10}), 0, ("task", 0, 1)) for text in texts]
    for text, answer in zip(texts, chat.generate_until(asked), strict=True):
        ids = torch.tensor([chat._prompts[text].ids])
        alone: Any = cast(Any, fetched.plain).generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, eos_token_id=0, pad_token_id=0
        )
        written = tokenizer.decode(alone[0, ids.shape[1] :], skip_special_tokens=True)
        assert answer == str(written).split("\nHuman:")[0]
    likelihood = chat.loglikelihood([Instance("loglikelihood", {}, (texts[1], "a hat"), 0, ("task", 0, 1))])
    answer = tokenizer.encode("a hat", add_special_tokens=False)
    row = np.array([*chat._prompts[texts[1]].ids, *answer])
    assert -likelihood[0][0] == pytest.approx(plain_nll(fetched.plain, row)[-len(answer) :].sum(), rel=1e-4)


def test_its_held_out_loss_is_its_likelihood(fetched: Fetched):
    model, tokenizer = load_model(fetched.folder, device="cpu")
    samples = [(name, turns) for name, turns in random_samples(8).items() if len(turns) == 2 and turns[-1].content]
    loss = held_out_loss(model, paper(tokenizer), samples, tokens_per_batch=300, max_length=300)
    for row, (_, turns) in zip(loss.items.to_pylist(), samples, strict=True):
        prompt, answer = (tokenizer.encode(piece.text, add_special_tokens=False) for piece in pieces(turns))
        nll = plain_nll(fetched.plain, np.array(prompt + answer))[-len(answer) :]
        assert row["bits"] == pytest.approx(nll.sum() / math.log(2), rel=1e-4)


@pytest.mark.slow
def test_full_fine_tuning_is_saved_and_read_again(fetched: Fetched, tmp_path: Path):
    manifest = fine_tune(recipe(fetched, None), tmp_path / "out")
    assert manifest["steps"] == 2
    first = json.loads((tmp_path / "out" / "train_log.jsonl").read_text().splitlines()[0])["loss"]
    assert first == pytest.approx(step_loss(fetched), rel=1e-3)
    assert_read_again(fetched, tmp_path / "out")


@pytest.mark.slow
def test_an_adapter_is_trained_and_merged(fetched: Fetched, tmp_path: Path):
    fine_tune(recipe(fetched, LoraSettings(rank=2, alpha=64)), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    usual = ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert config["target_modules"] == TARGETS.get(fetched.folder.name, usual)
    base = AutoModelForCausalLM.from_pretrained(fetched.folder)
    beside = PeftModel.from_pretrained(base, str(tmp_path / "out")).eval()
    assert_read_again(fetched, tmp_path / "out", cast(PreTrainedModel, beside))


def step_loss(fetched: Fetched) -> float:
    """Mean NLL of the answers' tokens, their end-of-sequence tokens included, in the first global batch."""
    conversations = list(read_conversations(fetched.folder.parent / "train.parquet"))
    rows = tokenize_rows(conversations, paper(fetched.tokenizer), 90, "shared").kept
    (order, *_) = EpochOrder([len(row.ids) for row in rows], 4, 0, Packed(1000, 0.0))
    nll = [plain_nll(fetched.plain, rows[index].ids)[rows[index].is_target[1:]] for index in order]
    return float(np.concatenate(nll).mean())


def assert_read_again(fetched: Fetched, folder: Path, saved: PreTrainedModel | None = None) -> None:
    """What was trained is another model than its base, and the platform reads what transformers or peft reads."""
    saved = saved or AutoModelForCausalLM.from_pretrained(folder)
    row = torch.from_numpy(ROWS[1])[None]
    with torch.no_grad():
        again, wanted, before = (
            cast(Any, model)(row).logits for model in (load_model(folder, device="cpu")[0], saved, fetched.plain)
        )
    torch.testing.assert_close(again, wanted, atol=1e-3, rtol=1e-3)
    assert (again - before).abs().max() > 0.01


@pytest.mark.slow
def test_single_gradients_are_those_of_autograd(fetched: Fetched, tmp_path: Path):
    fine_tune(recipe(fetched, LoraSettings(rank=2, alpha=64), keep_epochs=True), tmp_path / "out")
    (snapshot,) = epoch_snapshots(tmp_path / "out")
    warm = load_warmed_up(
        snapshot, ["adam"], dtype="float32", max_length=60, tokens_per_batch=200, logit_rows=5
    ).gradients
    prompt = np.array([2, 25, 4, 3])
    gradients: dict[tuple[int, str], torch.Tensor] = {}

    def receive(name: str, inputs: torch.Tensor, output_gradients: torch.Tensor) -> None:
        for index in range(len(ROWS)):
            gradients[index, name] = output_gradients[index].T @ inputs[index]

    warm.run(ROWS, prompt, receive)
    for layer in warm.layers.values():
        layer.weight.requires_grad_()
    for index, row in enumerate(ROWS):
        ids = torch.from_numpy(row)[None]
        logits = cast(Any, warm.model)(ids).logits[0, prompt[index] - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, ids[0, prompt[index] :])
        alone = torch.autograd.grad(loss, [layer.weight for layer in warm.layers.values()])
        for name, wanted in zip(warm.layers, alone, strict=True):
            torch.testing.assert_close(gradients[index, name], wanted, atol=1e-4, rtol=1e-3)


def test_attention_is_capped_where_the_configuration_says_so(home: Path):
    nll: list[np.ndarray] = []
    for cap in (1.0, None):
        config: Any = copy.deepcopy(ARCHITECTURES["gemma-2"])
        config.attn_logit_softcapping = cap
        save_model(home / f"capped-{cap}", config)
        nll += forward(load_model(home / f"capped-{cap}", device="cpu")[0], ROWS[1:2], 1, 9).nll
    assert abs(nll[0] - nll[1]).max() > 0.01
