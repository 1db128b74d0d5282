"""The paper's text as a renderer: `rendering` says what it is like."""

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
    """Whether a tokenizer's chat template is the one that is saved with models of the paper's text."""
    return chat_template in (CHAT_TEMPLATE, BOS_TEMPLATE + CHAT_TEMPLATE)


class PaperText(Renderer):
    """`Human: ...`, `Assistant: ...`, tokenised piece by piece.

    Args:
        tokenizer: of transformers.
        bos: whether a text begins with the tokenizer's token for it.
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
        """That of version 0.1.0, where the text is that version's."""
        return template_hash() if self._as_in_0_1 else super().identity

    def tokenize(self, messages: Sequence[Message]) -> Tokens:
        """The whole conversation, as it is trained on."""
        tokens = tokenize(messages, self._pieces)
        ids = self._begun(messages, tokens.ids)
        # No answer comes first.
        none = [False] * (len(ids) - len(tokens.ids))
        return replace(tokens, ids=ids, is_answer=none + tokens.is_answer, is_text=none + tokens.is_text)

    def last_answers(self, conversations: Sequence[Sequence[Message]]) -> list[LastAnswer]:
        """The prompt and the last answer of each conversation, with one call of the tokenizer for all."""
        texts = [piece.text for messages in conversations for piece in pieces(messages)]
        self._pieces.remember([ANSWER_CUE, *texts])
        found = [tokenize_last_answer(messages, self._pieces) for messages in conversations]
        prompts = [self._begun(messages, last.prompt) for messages, last in zip(conversations, found, strict=True)]
        self._pieces.remember([])
        return [replace(last, prompt=prompt, cue=self.cue) for last, prompt in zip(found, prompts, strict=True)]

    def _begun(self, messages: Sequence[Message], ids: list[int]) -> list[int]:
        """A conversation's tokens with those that stand at the beginning alone."""
        if self._pieces.adds_blanks:
            first = pieces(messages)[0].text
            ids = self._pieces.first(first) + ids[len(self._pieces.encode(first, add_special_tokens=False)) :]
        return self.bos + ids

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The conversation as text."""
        found = [
            replace(piece, text=piece.text + (self._end_text if piece.is_answer else "")) for piece in pieces(messages)
        ]
        return [replace(found[0], text=self._bos_text + found[0].text), *found[1:]]

    def prompt(self, messages: Sequence[Message], begun: str = "") -> Prompt:
        """What a model is given to answer."""
        ids = self.tokenize(messages).ids + self._encode(begun)
        return Prompt("".join(piece.text for piece in self.pieces(messages)) + begun, ids, begun)

    def continuation(self, prompt: Prompt, answer: str) -> list[int]:
        """Token ids of an answer behind a prompt."""
        return self._encode(answer)

    def _encode(self, text: str) -> list[int]:
        return self._pieces.encode(text, add_special_tokens=False) if text else []


class _Pieces:
    """A tokenizer for pieces of a text that are tokenised one by one.

    Some tokenizers, such as Llama 2's, put a blank before each text that they are given. In the middle of a
    conversation that would be a second blank, as in `Assistant:  Hello`. There, a piece is tokenised behind a line
    break, whose tokens are then left out.
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
        """Tokenise texts in one call, and remember them in place of those of the call before."""
        distinct = list(dict.fromkeys(texts))
        self._known = dict(zip(distinct, self._ids(distinct), strict=True))

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a piece, always without special tokens."""
        assert not add_special_tokens
        return self._known[text] if text in self._known else self._ids([text])[0]

    def first(self, text: str) -> list[int]:
        """Token ids of the piece that a text begins with."""
        return self._encoder.ids([text])[0]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not self._anchor:
            return self._encoder.ids(texts)
        border = len(self._anchor)
        behind = self._encoder.ids([_ANCHOR + text for text in texts])
        found = [ids[border:] if ids[:border] == self._anchor else None for ids in behind]
        return [self.first(text) if ids is None else ids for text, ids in zip(texts, found, strict=True)]
