"""Tokenizers that lose text, by what they lose."""

import logging

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from selection_platform.models.base_model import copy_model
from selection_platform.models.round_trip import LossyTokenizer, lost_in_tokenizer
from tests.chat_tokenizers import NAMES, chat_tokenizer
from tests.tiny import CONFIGS, save_model


def bytes_with(normalizer=None):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=257, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(["text"], trainer)
    if normalizer is not None:
        backend.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


@pytest.mark.parametrize("name", NAMES)
def test_most_lose_nothing(name):
    assert lost_in_tokenizer(chat_tokenizer(name), name) == []


def test_another_unicode_form_is_said():
    assert lost_in_tokenizer(bytes_with(), "m") == []
    assert lost_in_tokenizer(bytes_with(normalizers.NFC()), "m") == ["combining marks come back in Unicode's form NFC"]
    assert len(lost_in_tokenizer(bytes_with(normalizers.NFKC()), "m")) > 1


@pytest.mark.parametrize(
    ("normalizer", "difference"),
    [
        (normalizers.Lowercase(), "'The quick br' comes back as 'the quick br'"),
        (normalizers.Replace("\n", " "), r"'\\n\\tif x != 0:' comes back as ' \\tif x != 0:'"),
    ],
)
def test_what_loses_capitals_or_line_breaks_is_refused(normalizer, difference):
    with pytest.raises(LossyTokenizer, match=f"m: its tokenizer loses text: {difference}"):
        lost_in_tokenizer(bytes_with(normalizer), "m")


def test_a_fetched_model_says_what_its_tokenizer_changes(tmp_path, caplog):
    save_model(tmp_path / "model", CONFIGS["llama"])
    bytes_with(normalizers.NFC()).save_pretrained(tmp_path / "model")
    with caplog.at_level(logging.WARNING, logger="selection_platform"):
        manifest = copy_model(tmp_path / "model", tmp_path / "copied")
    assert manifest["lost in the tokenizer"] == "combining marks come back in Unicode's form NFC"
    assert "copied: its tokenizer changes text" in caplog.text
    bytes_with(normalizers.Lowercase()).save_pretrained(tmp_path / "model")
    with pytest.raises(LossyTokenizer):
        copy_model(tmp_path / "model", tmp_path / "refused")
