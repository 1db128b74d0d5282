"""The paper's text as a renderer. `rendering` describes the text."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from selection_platform.text.control_tokens import TextEncoder
from selection_platform.text.conversation import Message
from selection_platform.text.renderer import Prompt, Renderer
from selection_platform.text.rendering import (
    ANSWER_CUE,
    CHAT_TEMPLATE,
    LastAnswer,
    Piece,
    Tokens,
    pieces,
    template_hash,
    tokenize,
    tokenize_last_answer,
)

BOS_TEMPLATE = "{{- bos_token -}}"
_ANCHOR = "\n"


def is_papers(chat_template: str | None) -> bool:
    """Whether a tokenizer's chat template is the one that is saved with models trained on the paper's text."""
    return chat_template in (CHAT_TEMPLATE, BOS_TEMPLATE + CHAT_TEMPLATE)


class PaperText(Renderer):
    """`Human: ...`, `Assistant: ...`, tokenised piece by piece.

    Args:
        tokenizer: a tokenizer of transformers.
        bos: whether a text begins with the beginning-of-sequence token.
        control_tokens: whether the text of a special token inside a message becomes the token.
    """

    name = "paper"
    next_turn = "\nHuman:"

    def __init__(self, tokenizer: Any, *, bos: bool = False, control_tokens: bool = False) -> None:
        self.tokenizer = tokenizer
        self._pieces = _Pieces(tokenizer, control_tokens=control_tokens)
        self._end_text: str = tokenizer.eos_token
        self._bos_text: str = tokenizer.bos_token if bos else ""
        self._as_in_0_1 = not bos and not control_tokens and not self._pieces.adds_blanks
        self.chat_template = (BOS_TEMPLATE if bos else "") + CHAT_TEMPLATE
        self.bos = [int(tokenizer.bos_token_id)] if bos else []
        self.end = [int(tokenizer.eos_token_id)]
        self.ends = (int(tokenizer.eos_token_id),)
        self.cue = self.bos + self._pieces.first(ANSWER_CUE)

    @cached_property
    def identity(self) -> str:
        """The identity; that of version 0.1.0 if the text is the same as in that version."""
        return template_hash() if self._as_in_0_1 else super().identity

    def tokenize(self, messages: Sequence[Message]) -> Tokens:
        """The whole conversation, rendered for training."""
        tokens = tokenize(messages, self._pieces)
        ids = self._with_start(messages, tokens.ids)
        # A text never begins with an answer.
        none = [False] * (len(ids) - len(tokens.ids))
        return replace(tokens, ids=ids, is_answer=none + tokens.is_answer, is_text=none + tokens.is_text)

    def last_answers(self, conversations: Sequence[Sequence[Message]]) -> list[LastAnswer]:
        """The prompt and the last answer of each conversation, with one call of the tokenizer for all."""
        texts = [piece.text for messages in conversations for piece in pieces(messages)]
        self._pieces.remember([ANSWER_CUE, *texts])
        answers = [tokenize_last_answer(messages, self._pieces) for messages in conversations]
        pairs = zip(conversations, answers, strict=True)
        prompts = [self._with_start(messages, last.prompt) for messages, last in pairs]
        self._pieces.remember([])
        return [replace(last, prompt=prompt, cue=self.cue) for last, prompt in zip(answers, prompts, strict=True)]

    def _with_start(self, messages: Sequence[Message], ids: list[int]) -> list[int]:
        """A conversation's tokens with the tokens that only the beginning of a text has."""
        if self._pieces.adds_blanks:
            first = pieces(messages)[0].text
            ids = self._pieces.first(first) + ids[len(self._pieces.encode(first, add_special_tokens=False)) :]
        return self.bos + ids

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The conversation as text."""
        first, *rest = [
            replace(piece, text=piece.text + (self._end_text if piece.is_answer else "")) for piece in pieces(messages)
        ]
        return [replace(first, text=self._bos_text + first.text), *rest]

    def prompt(self, messages: Sequence[Message], answer_start: str = "") -> Prompt:
        """The prompt for the next answer."""
        ids = self.tokenize(messages).ids + self._encode(answer_start)
        return Prompt("".join(piece.text for piece in self.pieces(messages)) + answer_start, ids, answer_start)

    def continuation(self, prompt: Prompt, answer: str) -> list[int]:
        """Token ids of an answer after a prompt."""
        return self._encode(answer)

    def _encode(self, text: str) -> list[int]:
        return self._pieces.encode(text, add_special_tokens=False) if text else []


class _Pieces:
    """A tokenizer for pieces of a text that are tokenised one by one.

    Some tokenizers, such as Llama 2's, put a blank before each text. In the middle of a conversation this would be a
    second blank, as in `Assistant:  Hello`. So such a piece is tokenised after a line break, whose tokens are removed.
    """

    def __init__(self, tokenizer: Any, *, control_tokens: bool) -> None:
        self.eos_token_id: int = tokenizer.eos_token_id
        self._encoder = TextEncoder(tokenizer, control_tokens=control_tokens)
        self._known: dict[str, list[int]] = {}
        self._anchor: list[int] = []
        alone, (behind,) = self._encoder.ids([_ANCHOR])[0], self._encoder.ids([_ANCHOR + "x"])
        (plain,) = self._encoder.ids(["x"])
        self.adds_blanks = behind[: len(alone)] == alone and behind[len(alone) :] != plain
        if self.adds_blanks:
            self._anchor = alone

    def remember(self, texts: Sequence[str]) -> None:
        """Tokenise texts in one call and remember them, instead of those of the previous call."""
        distinct = list(dict.fromkeys(texts))
        self._known = dict(zip(distinct, self._ids(distinct), strict=True))

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a piece, always without special tokens."""
        assert not add_special_tokens
        return self._known[text] if text in self._known else self._ids([text])[0]

    def first(self, text: str) -> list[int]:
        """Token ids of the first piece of a text."""
        return self._encoder.ids([text])[0]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not self._anchor:
            return self._encoder.ids(texts)
        border = len(self._anchor)
        behind = self._encoder.ids([_ANCHOR + text for text in texts])
        pieces = [ids[border:] if ids[:border] == self._anchor else None for ids in behind]
        return [self.first(text) if ids is None else ids for text, ids in zip(texts, pieces, strict=True)]
