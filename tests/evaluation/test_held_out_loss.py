import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from selection_platform.evaluation.held_out_loss import held_out_loss, ratio_and_stderr
from selection_platform.text.conversation import Message
from selection_platform.text.rendering import pieces
from tests.tiny import paper


@pytest.fixture(scope="module")
def tokenizer():
    """Every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>")


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


def turn(question, answer):
    return [Message("user", question), Message("assistant", answer)]


CONVERSATIONS = [
    ("a", turn("Why?", "Because it is so.")),
    ("b", [Message("system", "Be kind."), *turn("Hello", "Hi, grüß dich!"), *turn("Bye", "Ciao")]),
    ("c", turn("What is the longest question of all of these, by far?", "This.")),
    ("empty", turn("Say nothing.", "")),
    ("long", turn("Go on. " * 60, "No.")),
    ("cut", [*turn("Short", "Yes."), *turn("Now a long one. " * 30, "Well.")]),
]


def slow_bits(model, tokenizer, messages):
    """One answer token at a time, by the definition."""
    ids: list[int] = []
    bits = 0.0
    for piece in pieces(messages):
        for token in tokenizer.encode(piece.text, add_special_tokens=False):
            if piece.is_answer:
                logits = model(torch.tensor([ids])).logits[0, -1].double()
                bits -= logits.log_softmax(dim=-1)[token].item() / math.log(2)
            ids.append(token)
        if piece.is_answer:
            ids.append(tokenizer.eos_token_id)
    return bits


@pytest.mark.parametrize("tokens_per_batch", [200, 10_000])
def test_equals_the_slow_loop(model, tokenizer, tokens_per_batch):
    loss = held_out_loss(model, paper(tokenizer), CONVERSATIONS, tokens_per_batch, max_length=200)
    rows = {row["sample_id"]: row for row in loss.items.to_pylist()}
    scored = dict(CONVERSATIONS) | {"cut": CONVERSATIONS[-1][1][:2]}
    assert list(rows) == ["a", "b", "c", "cut"]
    for sample_id, row in rows.items():
        messages = scored[sample_id]
        assert row["bits"] == pytest.approx(slow_bits(model, tokenizer, messages), rel=1e-4)
        assert row["bytes"] == sum(len(m.content.encode()) for m in messages if m.role == "assistant")
        assert row["bits_per_byte"] == row["bits"] / row["bytes"]
    assert (loss.cut, loss.left_out) == (1, 2)
    total = sum(row["bits"] for row in rows.values()) / sum(row["bytes"] for row in rows.values())
    assert loss.bits_per_byte == pytest.approx(total)


def test_ratio_by_hand():
    # Ratio 12/6 = 2; residuals 4 - 2*1, 2 - 2*2, 6 - 2*3 = 2, -2, 0; sqrt(3/2 * 8) / 6.
    ratio, stderr = ratio_and_stderr(np.array([4.0, 2.0, 6.0]), np.array([1, 2, 3]))
    assert ratio == 2.0
    assert stderr == pytest.approx(math.sqrt(12) / 6)
    assert ratio_and_stderr(np.array([4.0]), np.array([2])) == (2.0, None)


def test_nothing_to_score(model, tokenizer):
    loss = held_out_loss(model, paper(tokenizer), CONVERSATIONS[3:4], 100, 100)
    with pytest.raises(ValueError, match="no held-out conversation"):
        _ = loss.bits_per_byte
