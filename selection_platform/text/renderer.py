"""How conversations become token ids, whatever the template. Scoring, training and evaluation all use one renderer.

A renderer is made from a tokenizer and the profile's `text`. `paper_text` has the paper's, `chat_template` those that
are Jinja chat templates.
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
    """A template that this tokenizer, or a conversation, cannot be rendered with."""


@dataclass(frozen=True)
class Prompt:
    """What a model is given to answer.

    Attributes:
        text: as a server would write it.
        ids: its tokens.
        begun: the beginning of the answer, which is the end of the text.
    """

    text: str
    ids: list[int]
    begun: str = ""


class Renderer(ABC):
    """A template with a tokenizer.

    Attributes:
        tokenizer: of transformers.
        name: of the template, for messages.
        chat_template: the Jinja text that is saved with checkpoints: a server that renders with it, and tokenises as
            servers do, gets the same prompts.
        bos: the tokens that every text begins with, and nothing else has; none, or one.
        end: the tokens that end an answer, in the order in which they stand there.
        ends: where generation stops.
        cue: tokens of what alone is the context of an answer that is scored without its prompt.
        next_turn: text at which generation stops because the model speaks for the user; None where no text tells.
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
        """The whole conversation, as it is trained on.

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
        """The conversation as text: an answer with the end of its turn, and what stands between answers."""

    @abstractmethod
    def prompt(self, messages: Sequence[Message], begun: str = "") -> Prompt:
        """What a model is given to answer.

        Args:
            messages: the last is the user's.
            begun: the beginning of the answer, for the model to go on with.
        """

    @abstractmethod
    def continuation(self, prompt: Prompt, answer: str) -> list[int]:
        """Token ids of an answer behind a prompt, without the end of the turn."""

    def generation_end(self) -> int | list[int]:
        """`ends` as a generation_config.json has it."""
        return self.ends[0] if len(self.ends) == 1 else list(self.ends)

    @cached_property
    def identity(self) -> str:
        """What the renderer makes of conversations, as a hash; whatever its code and its template look like.

        The version tells of what these conversations do not show.
        """
        special = Message("user", f"Say {self.tokenizer.eos_token} now.")
        probes = (*_PROBES, (special, Message("assistant", f"No {self.tokenizer.eos_token} then.")))
        made = [VERSIONS["rendering"], self.cue, self.end, list(self.ends), [_made(self, probe) for probe in probes]]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]


_PROBES: tuple[tuple[Message, ...], ...] = (
    *PROBES,
    (
        Message("user", "Think."), Message("assistant", "<think>\nA thought.\n</think>\n\nYes."),
        Message("user", "Again."), Message("assistant", "<think>\nMore.\n</think>\n\nNo."),
    ),
)  # fmt: skip


def _made(renderer: Renderer, probe: Sequence[Message]) -> Any:
    """What a renderer makes of a conversation: token ids, or that it refuses it."""
    try:
        tokens, (last,) = renderer.tokenize(probe), renderer.last_answers([probe])
        prompt = renderer.prompt(probe[:-1])
    except UnusableTemplate:
        return None
    return [tokens.ids, tokens.is_answer, tokens.is_text, last.prompt, last.answer, last.answer_after_cue, prompt.ids]
