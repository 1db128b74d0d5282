"""Models of a few thousand random weights, and conversations that they can score in no time."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from selection_platform.configuration.text_settings import PAPER
from selection_platform.text.conversation import Message
from selection_platform.text.cuts import ScoringCut
from selection_platform.text.renderer import Renderer
from selection_platform.text.template_choice import make_renderer

VOCAB = 300


def paper(tokenizer: Any) -> Renderer:
    """The paper's text for a tokenizer."""
    return make_renderer(tokenizer, PAPER)


SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    # Wide weights: a random model of the usual width gives every token nearly the same likelihood.
    "initializer_range": 0.2,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "gpt2": GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=2, n_positions=128, initializer_range=0.2),
}

WORDS = ["the", "cat", "sat", "on", "a", "hat!", "12", "+", "7", "is", "é", "nineteen\n"]


def save_model(folder: Path, config: PreTrainedConfig, seed: int = 0):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["Human: the cat\nAssistant: the hat"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(folder)
    return model


def words(generator: np.random.Generator, most: int) -> str:
    return " ".join(generator.choice(WORDS, generator.integers(1, most)))


def random_samples(count: int) -> dict[str, list[Message]]:
    """One or two turns, every third with a system message; a few answers are empty."""
    generator = np.random.default_rng(0)
    samples = {}
    for index in range(count):
        messages = [Message("system", "Be kind.")] if index % 3 == 0 else []
        for _ in range(1 + index % 2):
            messages += [Message("user", words(generator, 12)), Message("assistant", words(generator, 10))]
        if index % 10 == 9:
            messages[-1] = Message("assistant", "")
        samples[f"s{index:03d}"] = messages
    return samples


def long_samples() -> dict[str, list[Message]]:
    """What no window of some 60 tokens holds: a long prompt, a long answer, and both."""
    long, short = " ".join(WORDS * 5), "the hat"
    pairs = {"prompt": (long, short), "answer": (short, long), "both": (long, long)}
    return {name: [Message("user", prompt), Message("assistant", answer)] for name, (prompt, answer) in pairs.items()}


def cut_apart(
    prompt: list[int], answer: list[int], cue: int, max_length: int, cut: ScoringCut
) -> tuple[list[int], list[int]]:
    """Prompt and answer as a window cuts them, token by token. `cue`: tokens before the answer that stay."""
    while len(prompt) + len(answer) > max_length:
        if cut == "prompt_start":
            prompt, answer = (prompt[1:], answer) if len(prompt) > cue else (prompt, answer[:-1])
        else:
            prompt, answer = (prompt, answer[:-1]) if answer else (prompt[:-1], answer)
    return prompt, answer


def write_samples(path: Path, samples: dict[str, list[Message]]) -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    records = [[{"role": m.role, "content": m.content} for m in messages] for messages in samples.values()]
    pq.write_table(pa.table({"sample_id": list(samples), "messages": pa.array(records, pa.list_(message))}), path)
