"""The text of one message: its content, its thinking and its tool calls."""

from typing import Any, Literal

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms import tools
from selection_platform.pools.forms.notes import LeftOut, Notes, is_switch
from selection_platform.pools.forms.texts import OF_A_MESSAGE, OF_A_PART, empty, field_of, is_blank, json_line, text_of

Speaker = Literal["system", "user", "assistant", "result"]
"""Who speaks: a role, or a tool whose result goes into the user's turn."""

THINKING_FIELDS = ("reasoning_content", "thinking", "reasoning")
THINKING_LEFT_OUT = "thinking left out"

TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
THINKING_PARTS = {"thinking": "thinking", "reasoning": "text"}
MEDIA_PARTS = {
    "image": "has an image", "image_url": "has an image", "input_image": "has an image",
    "audio": "has audio", "audio_url": "has audio", "input_audio": "has audio",
    "video": "has a video", "video_url": "has a video",
}  # fmt: skip
TOOL_PARTS = ("tool_use", "tool_result")
"""Types of content parts; for text and thinking, the key of their text."""


def message_text(
    item: dict[str, Any], key: str, where: str, role: Speaker, settings: PoolSettings, notes: Notes
) -> str:
    """The whole text of a message.

    Args:
        item: the message.
        key: the key of its content.
        where: its place in the row.
        role: who speaks.
        settings: what to do with tools and thinking.
        notes: collects what is left out.

    Raises:
        BadRow: it has no content, or content that is not text.
        LeftOut: it has something that the settings exclude or a text model cannot use.
    """
    at = f"{where}.{key}"
    blocks = _tool_blocks(item, role)
    thinking = _thinking(item, notes) if role == "assistant" else ""
    if blocks and settings.tools == "drop_row":
        raise LeftOut(tools.HAS_TOOLS)
    value = item.get(key) if blocks or thinking else field_of(item, key, at, OF_A_MESSAGE)
    if role == "result":
        return text_of(tools.result(_result_text(value, at, settings)), at)
    text, in_parts = _content(value, at, settings, may_be_null=bool(blocks or thinking))
    if not text.strip() and not blocks and role != "system":
        raise empty(at)
    separator = "\n\n" if role == "system" else "\n"
    whole = separator.join([text, *blocks] if text.strip() else blocks or [text])
    both = "\n\n".join(dict.fromkeys(thoughts for thoughts in (thinking, in_parts) if thoughts))
    return text_of(_thought(both, text, settings, notes) + whole, at)


def call_text(value: Any, where: str, settings: PoolSettings) -> str:
    """The text of an assistant's message that has only tool calls.

    Raises:
        BadRow: there is no call.
        LeftOut: the settings drop rows with tools.
    """
    if settings.tools == "drop_row":
        raise LeftOut(tools.HAS_TOOLS)
    blocks = tools.calls(value)
    if not blocks:
        raise empty(where)
    return text_of("\n".join(blocks), where)


def _tool_blocks(item: dict[str, Any], role: Speaker) -> list[str]:
    """Calls of an assistant's message, definitions of a system message."""
    if role == "assistant" and not item.keys().isdisjoint(tools.CALL_FIELDS):
        return [block for name in tools.CALL_FIELDS for block in tools.calls(item.get(name))]
    if role == "system" and not item.keys().isdisjoint(tools.DEFINITION_FIELDS):
        lines = [line for name in tools.DEFINITION_FIELDS for line in tools.definitions(item.get(name))]
        return [tools.definitions_block(lines)] if lines else []
    return []


def _thinking(item: dict[str, Any], notes: Notes) -> str:
    """The assistant's thinking before its answer. Fields with the same text count once."""
    if item.keys().isdisjoint(THINKING_FIELDS):
        return ""
    fields = {name: item[name] for name in THINKING_FIELDS if not is_blank(item.get(name))}
    fields = {name: value for name, value in fields.items() if not is_switch(name, value)}
    for name in [name for name, value in fields.items() if isinstance(value, dict | list)]:
        notes.left_out(f"field {name} of a message left out")
    return "\n\n".join(dict.fromkeys(value for value in fields.values() if isinstance(value, str)))


def _thought(thinking: str, text: str, settings: PoolSettings, notes: Notes) -> str:
    """The thinking block before the answer. Thinking that is already in the text, in tags, is not repeated."""
    if not thinking.strip() or ("<think>" in text and thinking.strip() in text):
        return ""
    if settings.thinking == "drop":
        notes.left_out(THINKING_LEFT_OUT)
        return ""
    return f"<think>\n{thinking}\n</think>\n\n"


def _result_text(value: Any, where: str, settings: PoolSettings) -> str:
    """The text of a tool's result: text, parts, or any JSON."""
    if settings.tools == "drop_row":
        raise LeftOut(tools.HAS_TOOLS)
    if isinstance(value, list) and value and all(isinstance(part, dict) and "type" in part for part in value):
        return _content(value, where, settings, may_be_null=True)[0]
    return "" if value is None else value if isinstance(value, str) else json_line(value)


def _content(value: Any, where: str, settings: PoolSettings, *, may_be_null: bool) -> tuple[str, str]:
    """The text and the thinking in a content."""
    if value is None and may_be_null:
        return "", ""
    if not isinstance(value, list):
        return text_of(value, where), ""
    texts: list[str] = []
    thinking: list[str] = []
    for index, part in enumerate(value):
        _read_part(part, f"{where}[{index}]", settings, texts, thinking)
    return "".join(texts), "\n".join(thinking)


def _read_part(part: Any, where: str, settings: PoolSettings, texts: list[str], thinking: list[str]) -> None:
    """Add a part of a content to its texts or its thinking. Texts are joined with nothing between, as in templates."""
    if isinstance(part, str):
        texts.append(text_of(part, where))
        return
    kind = part.get("type", "text") if isinstance(part, dict) else None
    kind = kind if isinstance(kind, str) else None
    if kind in MEDIA_PARTS:
        raise LeftOut(MEDIA_PARTS[kind])
    if kind in TEXT_PARTS:
        texts.append(text_of(field_of(part, TEXT_PARTS[kind], where, OF_A_PART), where))
    elif kind in THINKING_PARTS:
        thinking.append(text_of(field_of(part, THINKING_PARTS[kind], where, OF_A_PART), where))
    elif kind in TOOL_PARTS:
        if settings.tools == "drop_row":
            raise LeftOut(tools.HAS_TOOLS)
        given = part.get("content")
        blocks = tools.calls(part) if kind == "tool_use" else [tools.result(_result_text(given, where, settings))]
        texts.append("\n".join([*([""] if not is_blank(texts) else []), *blocks]))
    else:
        known = ", ".join((*TEXT_PARTS, *THINKING_PARTS, *TOOL_PARTS))
        raise BadRow(
            "a part of a message is unknown",
            where,
            f"is of unknown type {kind!r}; known are {known}",
            "write its text as a part of type text",
        )
