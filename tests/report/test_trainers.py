"""What trainers are given: the tokens of our own training, and the recipe in their words."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from selection_platform.configuration.settings import FineTuningSettings, LoraSettings
from selection_platform.configuration.text_settings import PAPER, TextSettings
from selection_platform.errors import PlatformError
from selection_platform.models.renderers import load_renderer
from selection_platform.report.export import check_place, export_selection
from selection_platform.report.formats import TRAINERS
from selection_platform.report.trainers import Segment, Training, in_turns, segments, write_for_trainer
from selection_platform.text.conversation import Message, to_records
from selection_platform.text.renderer import Renderer
from selection_platform.text.template_choice import make_renderer
from tests.chat_tokenizers import chat_tokenizer
from tests.tiny import CONFIGS, save_model

CONVERSATIONS = [
    [Message("user", "the cat"), Message("assistant", "sat on a hat!")],
    [
        Message("system", "Be kind."),
        Message("user", " 12 + 7\n"), Message("assistant", "nineteen\n"),
        Message("user", "é"), Message("assistant", ""),
    ],
    [
        Message("user", "one"), Message("assistant", "not this", trained=False),
        Message("user", "two"), Message("assistant", "nor this", trained=False),
        Message("user", "three"), Message("assistant", "this"),
        Message("user", "four"), Message("assistant", "and <eos> this"),
    ],
    [Message("user", "the cat " * 60), Message("assistant", "sat " * 10)],
]  # fmt: skip
RECIPE = FineTuningSettings(learning_rate=7e-6, epochs=3, global_batch=8, batch_per_device=2, max_length=100)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = tmp_path_factory.mktemp("base")
    save_model(folder, CONFIGS["llama"])
    return Training("me/base", "abc1234", load_renderer(folder, PAPER), RECIPE, seed=5)


@pytest.fixture
def rows() -> pl.DataFrame:
    records = [to_records(messages) for messages in CONVERSATIONS]
    return pl.DataFrame(
        {
            "position": range(1, 5),
            "sample_id": ["a", "b", "c", "d"],
            "source": "chat",
            "licence": "MIT",
            "messages": [messages for messages, _ in records],
            "untrained": [untrained for _, untrained in records],
        }
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


def ids_and_labels(pieces: list[tuple[bool, str]], tokenizer: Any) -> tuple[list[int], list[int]]:
    """As axolotl's `input_output`, our script for TRL, and LLaMA-Factory's template `empty` make them."""
    encoded = [(label, tokenizer.encode(text, add_special_tokens=False)) for label, text in pieces]
    ids = [token for _, tokens in encoded for token in tokens]
    return ids, [token if label else -100 for label, tokens in encoded for token in tokens]


def our_own(messages: list[Message], renderer: Renderer) -> tuple[list[int], list[int]]:
    tokens = renderer.tokenize(messages)
    labels = [token if learnt else -100 for token, learnt in zip(tokens.ids, tokens.is_answer, strict=True)]
    return tokens.ids, labels


def test_a_conversation_in_segments(training: Training):
    assert segments(CONVERSATIONS[2], training.renderer) == [
        Segment(False, "Human: one\nAssistant: "), Segment(False, "not this<eos>"),
        Segment(False, "\nHuman: two\nAssistant: "), Segment(False, "nor this<eos>"),
        Segment(False, "\nHuman: three\nAssistant: "), Segment(True, "this<eos>"),
        Segment(False, "\nHuman: four\nAssistant: "), Segment(True, "and <eos> this<eos>"),
    ]  # fmt: skip


def test_what_is_not_trained_on_is_said_by_the_user(training: Training):
    first = "Human: one\nAssistant: not this<eos>\nHuman: two\nAssistant: nor this<eos>\nHuman: three\nAssistant: "
    assert in_turns(segments(CONVERSATIONS[2], training.renderer)) == [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "this<eos>"},
        {"role": "user", "content": "\nHuman: four\nAssistant: "},
        {"role": "assistant", "content": "and <eos> this<eos>"},
    ]


@pytest.mark.parametrize("trainer", ["axolotl", "trl"])
def test_segments_are_the_tokens_and_labels_of_our_own_training(
    trainer: Any, training: Training, rows: pl.DataFrame, tmp_path: Path
):
    written = write_for_trainer(trainer, rows, training, tmp_path)
    for messages, line in zip(CONVERSATIONS, lines(tmp_path), strict=True):
        pieces = [(each["label"], each["text"]) for each in line["segments"]]
        same = ids_and_labels(pieces, training.renderer.tokenizer) == our_own(messages, training.renderer)
        # A trainer takes the text of a special token inside a message for the token.
        assert same == (messages is not CONVERSATIONS[2])
    assert (written.rows, written.answers, written.untrained, written.other_ids, written.cut) == (4, 6, 1, 1, 1)
    assert "The token ids of all but 1 are the same" in written.note
    assert "1 are longer than the recipe's `max_length`" in written.note


def test_turns_are_so_too_but_where_text_merges_and_that_is_counted(
    training: Training, rows: pl.DataFrame, tmp_path: Path
):
    written = write_for_trainer("llamafactory", rows, training, tmp_path)
    same = []
    for messages, line in zip(CONVERSATIONS, lines(tmp_path), strict=True):
        turns = line["messages"]
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
        pieces = [(turn["role"] == "assistant", turn["content"]) for turn in turns]
        ids, labels = ids_and_labels(pieces, training.renderer.tokenizer)
        same.append((ids, labels) == our_own(messages, training.renderer))
        decoded = [training.renderer.tokenizer.decode(each) for each in (ids, our_own(messages, training.renderer)[0])]
        assert decoded[0] == decoded[1]
    assert written.other_ids == same.count(False)
    assert all(same[place] for place in (0, 1, 3))


def test_a_templates_own_text_is_in_the_segments(rows: pl.DataFrame, tmp_path: Path):
    renderer = make_renderer(chat_tokenizer("qwen"), TextSettings())
    trained = Training("m", None, renderer, RECIPE, 0)
    written = write_for_trainer("trl", rows, trained, tmp_path)
    for messages, line in zip(CONVERSATIONS, lines(tmp_path), strict=True):
        said = [(each["label"], each["text"]) for each in line["segments"]]
        assert "".join(text for _, text in said) == "".join(piece.text for piece in renderer.pieces(messages))
        assert ids_and_labels(said, renderer.tokenizer) == our_own(messages, renderer)
        assert all(text.endswith("<|im_end|>") for label, text in said if label)
    assert written.other_ids == 0


def test_the_recipe_in_the_trainers_words(training: Training, rows: pl.DataFrame, tmp_path: Path):
    read = {}
    for trainer, file in zip(TRAINERS, ("train.yaml", "config.yaml", "recipe.yaml"), strict=True):
        write_for_trainer(trainer, rows, training, tmp_path / trainer)
        text = (tmp_path / trainer / file).read_text()
        read[trainer] = yaml.safe_load(text)
        assert "null" not in text
    llamafactory, axolotl, trl = read.values()
    for settings, names in (
        (llamafactory, ("model_name_or_path", "model_revision", "num_train_epochs", "per_device_train_batch_size",
                        "gradient_accumulation_steps", "cutoff_len", "lr_scheduler_type")),
        (axolotl, ("base_model", "revision_of_model", "num_epochs", "micro_batch_size", "gradient_accumulation_steps",
                   "sequence_len", "lr_scheduler")),
    ):  # fmt: skip
        assert [settings[name] for name in names] == ["me/base", "abc1234", 3, 2, 4, 100, "cosine"]
    assert (trl["model"], trl["revision"], trl["conversations_per_step"]) == ("me/base", "abc1234", 8)
    for settings in (llamafactory, axolotl, trl["training"]):
        assert (settings["learning_rate"], settings["weight_decay"], settings["seed"]) == (7e-6, 0.1, 5)
    assert [read[name]["warmup_ratio"] for name in read] == [0.01] * 3
    assert llamafactory["finetuning_type"] == "full"
    assert not any("lora" in name or name == "adapter" for settings in read.values() for name in settings)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_recipe_that_trainers_would_not_follow(trainer: Any, training: Training, rows: pl.DataFrame, tmp_path: Path):
    other = Training("m", None, training.renderer, RECIPE.model_copy(update={"optimizer": "adamw_8bit"}), 0)
    with pytest.raises(PlatformError, match=f"adamw_8bit is not what {trainer} would train with; set it to adamw"):
        write_for_trainer(trainer, rows, other, tmp_path)
    assert not list(tmp_path.iterdir())


def test_adapters_in_the_trainers_words(training: Training, rows: pl.DataFrame, tmp_path: Path):
    lora = LoraSettings(rank=8, alpha=16, dropout=0.1, target_modules=("q_proj", "v_proj"))
    changed = Training("m", None, training.renderer, RECIPE.model_copy(update={"lora": lora}), 0)
    for trainer in TRAINERS:
        write_for_trainer(trainer, rows, changed, tmp_path / trainer)
    llamafactory = yaml.safe_load((tmp_path / "llamafactory" / "train.yaml").read_text())
    assert llamafactory["finetuning_type"] == "lora"
    names = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target")
    assert [llamafactory[name] for name in names] == [8, 16, 0.1, "q_proj,v_proj"]
    axolotl = yaml.safe_load((tmp_path / "axolotl" / "config.yaml").read_text())
    names = ("adapter", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
    assert [axolotl[name] for name in names] == ["lora", 8, 16, 0.1, ["q_proj", "v_proj"]]
    trl = yaml.safe_load((tmp_path / "trl" / "recipe.yaml").read_text())
    assert trl["lora"] == {"r": 8, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}


def test_the_card_says_what_trainers_get_and_nothing_of_yours_is_written_over(
    training: Training, rows: pl.DataFrame, tmp_path: Path
):
    (tmp_path / "trl").mkdir()
    (tmp_path / "trl" / "train.py").write_text("mine")
    with pytest.raises(PlatformError, match="trl was not written by an export"):
        check_place(tmp_path, ("trl",))
    check_place(tmp_path, ("axolotl",))
    *_, card = export_selection(rows, {"experiment": "e"}, tmp_path, ("axolotl",), training)
    assert "- `axolotl`: 4 conversations with 6 answers that are trained on. 1 also have answers" in card.read_text()
    assert (tmp_path / "trl" / "train.py").read_text() == "mine"
