"""What is noticed while a row is read: parts that are left out, fields that mean nothing, rows that are not wanted."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from selection_platform.pools.forms.texts import is_blank

MEDIA_FIELDS = {
    "image": "has an image", "images": "has an image",
    "audio": "has audio", "audios": "has audio",
    "video": "has a video", "videos": "has a video",
}  # fmt: skip
"""Fields that a text makes no sense without, and why a row with one is dropped."""

MEANINGFUL = frozenset({
    "system", "system_prompt", "prompt", "question", "instruction", "input", "query", "problem", "context",
    "documents", "history", "answer", "response", "output", "completion", "solution", "chosen", "rejected",
    "messages", "conversations", "conversation", "dialogue", "dialog", "chat",
    "reasoning_content", "thinking", "reasoning", "tools", "functions", "tool_calls", "function_call",
    "function_calls", "chat_template_kwargs", "weight", "train",
})  # fmt: skip
"""Fields that hold what a model could be trained on, or say what it is to be trained on."""

SWITCHES = {
    name: frozenset({"on", "off", "yes", "no", "true", "false", "none", "low", "medium", "high"})
    for name in ("reasoning", "thinking")
}
"""Texts of some fields that say how a model was run, such as `reasoning: on`, and are no content."""

_NOTEWORTHY = MEANINGFUL | MEDIA_FIELDS.keys()


class LeftOut(Exception):
    """A row that can be read and is not wanted.

    Attributes:
        reason: why, in words that do not depend on the row.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Notes:
    """What is noticed in one row.

    Attributes:
        trimmed: parts that are left out, in words, each once.
        ignored: fields not read, which hold nothing that is known to be a part of a conversation.
    """

    trimmed: dict[str, None] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)

    def left_out(self, part: str) -> None:
        """Note a part that carries meaning and is left out."""
        self.trimmed[part] = None

    def unread(self, fields: Mapping[str, Any], read: Set[str], texts: Iterable[str] = (), within: str = "") -> None:
        """Note the fields of a row or message that were not read.

        Args:
            fields: names and values.
            read: names of those that were.
            texts: what was read; a field that says the same is no loss.
            within: what stands before the names, such as `messages[].`.

        Raises:
            LeftOut: one of them holds images, audio or video.
        """
        rest = fields.keys() - read
        if not rest:
            return
        if not rest.isdisjoint(_NOTEWORTHY):
            known = frozenset(texts)
            # In the row's order, so that what is said of it is always the same.
            for name in [name for name in fields if name in rest and name in _NOTEWORTHY]:
                if self._is_noted(name, fields[name], known, within):
                    rest.discard(name)
        self.ignored |= _with_place(within, frozenset(rest))

    def _is_noted(self, name: str, value: Any, known: frozenset[str], within: str) -> bool:
        """Whether a field that may carry meaning is left out, or empty, and so not one that is ignored."""
        if name in MEDIA_FIELDS and not is_blank(value) and not isinstance(value, bool | int | float):
            raise LeftOut(MEDIA_FIELDS[name])
        if name in MEANINGFUL and not is_switch(name, value) and _says_more(value, known):
            self.left_out(f"field {within}{name} left out")
            return True
        return is_blank(value)


@lru_cache(maxsize=1024)
def _with_place(within: str, names: frozenset[str]) -> frozenset[str]:
    # The same for nearly all messages of a pool.
    return frozenset(f"{within}{name}" for name in names)


def is_switch(name: str, value: Any) -> bool:
    """Whether a field says how a model was run, and nothing that it said."""
    return isinstance(value, str) and value.strip().lower() in SWITCHES.get(name, ())


def _says_more(value: Any, known: frozenset[str]) -> bool:
    """Whether a value holds a text that is not among the known ones."""
    if isinstance(value, str):
        return value not in known and not is_blank(value)
    if isinstance(value, dict):
        # A message of a list that says the same differs in no text but its role's.
        inner = [value[key] for key in ("content", "value", "text") if key in value] or value.values()
        return any(_says_more(each, known) for each in inner)
    return isinstance(value, list) and any(_says_more(each, known) for each in value)
