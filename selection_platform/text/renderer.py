"""The interface of renderers, which turn conversations into token ids. Scoring, training and evaluation all use one.

A renderer is built from a tokenizer and the profile's `text`. `paper_text` has the paper's, and `chat_template` has the
renderer of Jinja chat templates.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from selection_platform.errors import PlatformError
from selection_platform.job.versions import VERSIONS
from selection_platform.text.conversation import Message
from selection_platform.text.rendering import PROBES, LastAnswer, Piece, Tokens


class UnusableTemplate(PlatformError):
    """A template that cannot be used with this tokenizer, or for a conversation."""


@dataclass(frozen=True)
class Prompt:
    """A prompt.

    Attributes:
        text: the text, as a server would write it.
        ids: its tokens.
        answer_start: the beginning of the answer, at the end of the text.
    """

    text: str
    ids: list[int]
    answer_start: str = ""


class Renderer(ABC):
    """A template with a tokenizer.

    Attributes:
        tokenizer: a tokenizer of transformers.
        name: the template's name, for messages.
        chat_template: the Jinja text that is saved with checkpoints. A server that renders with it gets the same
        prompts.
        bos: the tokens that every text begins with, and that appear nowhere else; none or one.
        end: the tokens that end an answer, in order.
        ends: the tokens at which generation stops.
        cue: tokens of the only context of an answer that is scored without its prompt.
        next_turn: text at which generation stops because the model speaks for the user; None if there is no such text.
    """

    tokenizer: Any
    name: str
    chat_template: str
    bos: list[int]
    end: list[int]
    ends: tuple[int, ...]
    cue: list[int]
    next_turn: str | None = None

    @abstractmethod
    def tokenize(self, messages: Sequence[Message]) -> Tokens:
        """The whole conversation, rendered for training.

        Raises:
            UnusableTemplate: the template cannot be used for it.
        """

    @abstractmethod
    def last_answers(self, conversations: Sequence[Sequence[Message]]) -> list[LastAnswer]:
        """The prompt and the last answer of each conversation, with few calls of the tokenizer.

        Args:
            conversations: in normal form.

        Raises:
            UnusableTemplate: the template cannot be used for one of them.
        """

    @abstractmethod
    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The conversation as text: answers with the end of their turns, and the text between answers."""

    @abstractmethod
    def prompt(self, messages: Sequence[Message], answer_start: str = "") -> Prompt:
        """The prompt for the next answer.

        Args:
            messages: the last one is from the user.
            answer_start: the beginning of the answer, which the model continues.
        """

    @abstractmethod
    def continuation(self, prompt: Prompt, answer: str) -> list[int]:
        """Token ids of an answer after a prompt, without the end of the turn."""

    def generation_end(self) -> int | list[int]:
        """`ends`, as in generation_config.json."""
        return self.ends[0] if len(self.ends) == 1 else list(self.ends)

    @cached_property
    def identity(self) -> str:
        """A hash of how the renderer encodes fixed conversations. It does not depend on code or template directly.

        The version covers changes that these conversations do not show.
        """
        special = Message("user", f"Say {self.tokenizer.eos_token} now.")
        probes = (*_PROBES, (special, Message("assistant", f"No {self.tokenizer.eos_token} then.")))
        encoded = [_encoded(self, probe) for probe in probes]
        content = [VERSIONS["rendering"], self.cue, self.end, list(self.ends), encoded]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


_PROBES: tuple[tuple[Message, ...], ...] = (
    *PROBES,
    (
        Message("user", "Think."), Message("assistant", "<think>\nA thought.\n</think>\n\nYes."),
        Message("user", "Again."), Message("assistant", "<think>\nMore.\n</think>\n\nNo."),
    ),
)  # fmt: skip


def _encoded(renderer: Renderer, probe: Sequence[Message]) -> Any:
    """How a renderer encodes a conversation: token ids, or None if it refuses it."""
    try:
        tokens, (last,) = renderer.tokenize(probe), renderer.last_answers([probe])
        prompt = renderer.prompt(probe[:-1])
    except UnusableTemplate:
        return None
    return [tokens.ids, tokens.is_answer, tokens.is_text, last.prompt, last.answer, last.answer_after_cue, prompt.ids]
