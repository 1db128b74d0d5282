"""The paper's text: a conversation as token ids. `chat_template` has other templates.

The text is that of the paper's fine-tuning (LLaMA-Factory 0.8.2, template `default`): `Human: ...`, newline,
`Assistant: `, the answer, the end-of-sequence token; a newline between turns; a system message and a newline first.

Pieces are tokenised one by one and joined. Tokenising the whole and guessing where the answer starts, as the
published scripts do, lets a tokenizer merge characters across the border and moves answer tokens into the prompt.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Protocol

from jinja2 import Environment

from selection_platform.text.conversation import Message

ANSWER_CUE = "Assistant: "
"""The text before an answer. It is the only context of an answer that is scored without its prompt."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ message['content'] + '\\n' }}"
    "{%- elif message['role'] == 'user' -%}"
    "{%- if loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'assistant' -%}{{ '\\n' }}{%- endif -%}"
    "{{ 'Human: ' + message['content'] + '\\nAssistant: ' }}"
    "{%- else -%}{{ message['content'] + eos_token }}{%- endif -%}"
    "{%- endfor -%}"
)
"""The same text as a Jinja chat template, for tools that render messages themselves (lm-eval, generation)."""


class Tokenizer(Protocol):
    """What the renderer needs from a Hugging Face tokenizer."""

    eos_token_id: int

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text."""
        ...


@dataclass(frozen=True)
class Piece:
    """A run of text that is tokenised separately.

    Attributes:
        text: the run.
        is_answer: whether it is an answer, which is followed by the end-of-sequence token.
        is_trained: whether it is an answer that a model is trained on and scored by.
    """

    text: str
    is_answer: bool
    is_trained: bool = False


def pieces(messages: Sequence[Message]) -> list[Piece]:
    """The conversation as text pieces; each answer piece is followed by the end-of-sequence token."""
    result: list[Piece] = []
    after_answer = False
    for message in messages:
        if message.role == "system":
            result.append(Piece(f"{message.content}\n", is_answer=False))
        elif message.role == "user":
            separator = "\n" if after_answer else ""
            result.append(Piece(f"{separator}Human: {message.content}\n{ANSWER_CUE}", is_answer=False))
        else:
            result.append(Piece(message.content, is_answer=True, is_trained=message.trained))
        after_answer = message.role == "assistant"
    return result


@dataclass(frozen=True)
class Tokens:
    """Token ids of a conversation and, for each, whether it belongs to an answer (with its end-of-sequence token).

    Answers that are not trained on do not count as answers: their tokens are context.

    Attributes:
        ids: token ids.
        is_answer: for each token, whether it belongs to an answer that is trained on, or to its end.
        is_text: for each token, whether it belongs to such an answer's own text.
        text_bytes: UTF-8 bytes of these texts.
    """

    ids: list[int]
    is_answer: list[bool]
    is_text: list[bool]
    text_bytes: int


def tokenize(messages: Sequence[Message], tokenizer: Tokenizer) -> Tokens:
    """The whole conversation, rendered for training."""
    ids: list[int] = []
    is_answer: list[bool] = []
    is_text: list[bool] = []
    for piece in pieces(messages):
        piece_ids = tokenizer.encode(piece.text, add_special_tokens=False)
        end = [tokenizer.eos_token_id] if piece.is_answer else []
        ids += [*piece_ids, *end]
        is_answer += [piece.is_trained] * len(piece_ids + end)
        is_text += [piece.is_trained] * len(piece_ids) + [False] * len(end)
    trained = (message.content for message in messages if message.role == "assistant" and message.trained)
    return Tokens(ids, is_answer, is_text, sum(len(content.encode(errors="surrogatepass")) for content in trained))


@dataclass(frozen=True)
class LastAnswer:
    """The last answer of a conversation as the paper scores it: without an end-of-sequence token.

    Attributes:
        prompt: ids of everything before it, including earlier answers and their end-of-sequence tokens.
        answer: ids of the answer.
        cue: ids of the text before the answer when it is scored without its prompt: `ANSWER_CUE`.
        answer_after_cue: ids of the answer after the cue.
    """

    prompt: list[int]
    answer: list[int]
    cue: list[int]
    answer_after_cue: list[int]


def tokenize_last_answer(messages: Sequence[Message], tokenizer: Tokenizer) -> LastAnswer:
    """The prompt and the last answer, tokenised separately. The messages must be in normal form."""
    prompt = tokenize(messages[:-1], tokenizer)
    answer = tokenizer.encode(messages[-1].content, add_special_tokens=False)
    return LastAnswer(prompt.ids, answer, tokenizer.encode(ANSWER_CUE, add_special_tokens=False), answer)


def joint_texts(messages: Sequence[Message]) -> tuple[str, str]:
    """The prompt and the last answer as the published IFD script joins them: no space after the last `Assistant:`."""
    return "".join(piece.text for piece in pieces(messages[:-1])).strip(), messages[-1].content


def tokenize_last_answer_jointly(messages: Sequence[Message], tokenizer: Tokenizer) -> LastAnswer:
    """What the published IFD script scores, for its twin: the border is guessed, and is wrong in most samples.

    Prompt and answer are tokenised as one text, and the answer is assumed to start after as many tokens as the prompt
    has alone; likewise after the cue. If a tokenizer merges characters across the border, the answer loses its first
    piece: after a prompt that ends in `Assistant:`, or, differently from the other pass, after the cue's space.
    """

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    prompt, answer = joint_texts(messages)
    joint, direct = encode(prompt + answer), encode(ANSWER_CUE + answer)
    border, cue = len(encode(prompt)), len(encode(ANSWER_CUE))
    return LastAnswer(joint[:border], joint[border:], direct[:cue], direct[cue:])


class _EncodedTexts:
    """A tokenizer for texts that were all tokenised in one call before."""

    def __init__(self, tokenizer: Any, texts: Iterable[str]) -> None:
        distinct = list(dict.fromkeys(texts))
        self.eos_token_id: int = tokenizer.eos_token_id
        # verbose=False: a text longer than the model's window is normal here, and needs no warning.
        encoded = tokenizer(distinct, add_special_tokens=False, return_attention_mask=False, verbose=False)
        self._ids: dict[str, list[int]] = dict(zip(distinct, encoded["input_ids"], strict=True))

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text, always without special tokens."""
        assert not add_special_tokens
        return self._ids[text]


def last_answers_jointly(conversations: Sequence[Sequence[Message]], tokenizer: Any) -> list[LastAnswer]:
    """`tokenize_last_answer_jointly` for each conversation, with one call of the tokenizer for all.

    As in the published script, special tokens in a message become tokens.
    """
    joined = [joint_texts(messages) for messages in conversations]
    texts = [text for prompt, answer in joined for text in (prompt, prompt + answer, ANSWER_CUE + answer)]
    encoded = _EncodedTexts(tokenizer, [ANSWER_CUE, *texts])
    return [tokenize_last_answer_jointly(messages, encoded) for messages in conversations]


PROBES: tuple[tuple[Message, ...], ...] = (
    (Message("user", "What is 2 + 2?"), Message("assistant", "Four.")),
    (Message("system", "Be short."), Message("user", "Hi"), Message("assistant", "Hello!")),
    (
        Message("user", "First"), Message("assistant", "one"), Message("user", "Second"), Message("assistant", "two"),
        Message("user", "Third"), Message("assistant", "three"),
    ),
    (Message("user", " blanks before, after "), Message("assistant", " and here ")),
    (Message("user", "line\nbreaks\n"), Message("assistant", "\n\nat both ends\n")),
    (Message("user", "no answer"), Message("assistant", "")),
    (Message("user", ""), Message("assistant", "no question")),
    (Message("system", ""), Message("user", "Human: who?"), Message("assistant", "Assistant: me </s>")),
    (Message("user", "Grüße, 世界 🌍"), Message("assistant", "caf\u0065\u0301 \u00a0 {{ x }} <|im_end|>")),
)  # fmt: skip
"""Conversations that show every part of the rendering."""


class _ProbeTokenizer:
    """Splits into words with the blank before them, as in BPE, so that it matters where a text is split."""

    eos_token_id = 0

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [zlib.crc32(word.encode()) + 1 for word in re.findall(r" ?\w+|\W", text)]


@cache
def template_hash() -> str:
    """Identity of the renderer: a hash of how it encodes the probes, independent of its code."""
    tokenizer = _ProbeTokenizer()
    chat_template = Environment().from_string(CHAT_TEMPLATE)
    rendered = [
        [
            # Only these fields, because homes of earlier versions recorded this hash.
            {"ids": (tokens := tokenize(probe, tokenizer)).ids, "is_answer": tokens.is_answer},
            asdict(tokenize_last_answer(probe, tokenizer)),
            asdict(tokenize_last_answer_jointly(probe, tokenizer)),
            joint_texts(probe),
            chat_template.render(messages=[message._asdict() for message in probe], eos_token="</s>"),
        ]
        for probe in PROBES
    ]
    return hashlib.sha256(json.dumps(rendered).encode()).hexdigest()[:16]
