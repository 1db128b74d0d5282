"""Notes about a row while it is read: parts left out, fields ignored, rows dropped."""

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
"""Fields with media, without which a text makes no sense, and the reason to drop a row with one."""

MEANINGFUL = frozenset({
    "system", "system_prompt", "prompt", "question", "instruction", "input", "query", "problem", "context",
    "documents", "history", "answer", "response", "output", "completion", "solution", "chosen", "rejected",
    "messages", "conversations", "conversation", "dialogue", "dialog", "chat",
    "reasoning_content", "thinking", "reasoning", "tools", "functions", "tool_calls", "function_call",
    "function_calls", "chat_template_kwargs", "weight", "train",
})  # fmt: skip
"""Fields that a model could be trained on, or that say what to train on."""

SWITCHES = {
    name: frozenset({"on", "off", "yes", "no", "true", "false", "none", "low", "medium", "high"})
    for name in ("reasoning", "thinking")
}
"""Values that say how a model was run, such as `reasoning: on`, and are not content."""

_NOTEWORTHY = MEANINGFUL | MEDIA_FIELDS.keys()


class LeftOut(Exception):
    """Raised for a row that can be read but is dropped.

    Attributes:
        reason: why, in words that do not depend on the row.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Notes:
    """Notes about one row.

    Attributes:
        trimmed: descriptions of parts that are left out, each once.
        ignored: fields that were not read and are not known to be part of a conversation.
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
            read: names of fields that were read.
            texts: the texts that were read; a field with the same text is no loss.
            within: prefix of the names, such as `messages[].`.

        Raises:
            LeftOut: one of the fields has images, audio or video.
        """
        rest = fields.keys() - read
        if not rest:
            return
        if not rest.isdisjoint(_NOTEWORTHY):
            known = frozenset(texts)
            # In the row's order, so that the notes are deterministic.
            for name in [name for name in fields if name in rest and name in _NOTEWORTHY]:
                if self._is_noted(name, fields[name], known, within):
                    rest.discard(name)
        self.ignored |= _with_place(within, frozenset(rest))

    def _is_noted(self, name: str, value: Any, known: frozenset[str], within: str) -> bool:
        """Whether a field needs no entry in `ignored`: it is noted as left out, or it is empty."""
        if name in MEDIA_FIELDS and not is_blank(value) and not isinstance(value, bool | int | float):
            raise LeftOut(MEDIA_FIELDS[name])
        if name in MEANINGFUL and not is_switch(name, value) and _says_more(value, known):
            self.left_out(f"field {within}{name} left out")
            return True
        return is_blank(value)


@lru_cache(maxsize=1024)
def _with_place(within: str, names: frozenset[str]) -> frozenset[str]:
    # Cached, because nearly all messages of a pool have the same fields.
    return frozenset(f"{within}{name}" for name in names)


def is_switch(name: str, value: Any) -> bool:
    """Whether a field's value says how a model was run, and is not content."""
    return isinstance(value, str) and value.strip().lower() in SWITCHES.get(name, ())


def _says_more(value: Any, known: frozenset[str]) -> bool:
    """Whether a value has a text that is not among the known ones."""
    if isinstance(value, str):
        return value not in known and not is_blank(value)
    if isinstance(value, dict):
        # For a message only its content counts, because its role may have another name.
        inner = [value[key] for key in ("content", "value", "text") if key in value] or value.values()
        return any(_says_more(item, known) for item in inner)
    return isinstance(value, list) and any(_says_more(item, known) for item in value)
