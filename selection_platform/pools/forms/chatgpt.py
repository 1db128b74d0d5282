"""Conversations in ChatGPT's data export: each row is a tree of messages, and one branch is read."""

import math
from collections.abc import Iterator
from typing import Any

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.content import THINKING_LEFT_OUT, Speaker, message_text
from selection_platform.pools.forms.messages import Turn, speaker_of
from selection_platform.pools.forms.notes import LeftOut, Notes
from selection_platform.pools.forms.reading import CURRENT_NODE
from selection_platform.pools.forms.texts import OF_A_PART, field_of, is_blank, json_line, kind_of, parsed_json, text_of

BRANCHES = "other branches left out"
HIDDEN = "hidden messages left out"
INSTRUCTIONS = "custom instructions left out"
FILES = "attached files left out"
"""Names of parts that rows lose."""

BETWEEN = "\n\n"
"""Separates thoughts, and texts that are joined. A call goes on the next line after a text."""

_INSTRUCTION_TYPES = ("user_editable_context", "model_editable_context")
_THINKING_TYPES = ("thoughts", "reasoning_recap")
_TEXT_KEYS = ("text", "result", "content")
_NO_TEXT = frozenset({"content_type", "language", "response_format_name", "source_analysis_msg_id"})
"""Fields that describe a content, and have no text of it."""
_READ = frozenset({"author", "content", "recipient"})

Node = dict[str, Any]


def read_chatgpt(unread: dict[str, Any], column: str, settings: PoolSettings, notes: Notes) -> Iterator[Turn]:
    """Take the branch that the user ended on out of the fields of a row.

    Raises:
        BadRow: there is no such branch, or one of its messages cannot be read.
        LeftOut: a message has something that the settings exclude or a text model cannot use.
    """
    mapping = _mapping(field_of(unread, column, column), column)
    del unread[column]
    branch = _branch(mapping, unread.pop(CURRENT_NODE, None), column)
    if any(_says(node.get("message")) for name, node in mapping.items() if name not in branch):
        notes.left_out(BRANCHES)
    return _with_answers_joined(_turns(branch, column, settings, notes))


def _mapping(value: Any, column: str) -> dict[str, Node]:
    found = parsed_json(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise BadRow(
            "not a ChatGPT export", column, f"is {kind_of(value)}, not an object of messages", "repair the row"
        )
    # In Parquet, a row has null for fields that only other rows have.
    nodes = {name: node for name, node in found.items() if node is not None}
    for name, node in nodes.items():
        if not isinstance(node, dict):
            problem = f"is {kind_of(node)}, not an object with message and parent"
            raise BadRow("not a ChatGPT export", f"{column}.{name}", problem, "repair the row")
    return nodes


def _branch(mapping: dict[str, Node], end: Any, column: str) -> dict[str, Node]:
    """The messages from the first to the last one of the user's branch, by id."""
    name = _last_leaf(mapping, column) if end is None else end
    field, nodes = CURRENT_NODE, dict[str, Node]()
    while name is not None:
        if not isinstance(name, str) or name not in mapping:
            problem = f"is {json_line(name)[:60]}, which is not in {column}"
            raise BadRow("a message is missing", field, problem, "export the conversation again, or remove the row")
        if name in nodes:
            raise BadRow("replies in a circle", field, f"leads back to the message {name}", "repair the row")
        nodes[name] = mapping[name]
        field, name = f"{column}.{name}.parent", mapping[name].get("parent")
    return {name: nodes[name] for name in reversed(nodes)}


def _last_leaf(mapping: dict[str, Node], column: str) -> str | None:
    """The newest message without a reply; None if there are no messages at all."""
    parents = {parent for node in mapping.values() if isinstance(parent := node.get("parent"), str)}
    times = {name: _time(node.get("message")) for name, node in mapping.items() if name not in parents}
    newest = max(times, key=lambda name: times[name], default=None)
    if mapping and (newest is None or times[newest] == -math.inf):
        problem = f"is missing, and no last message in {column} has a create_time"
        raise BadRow("no current_node", CURRENT_NODE, problem, "write the id of the last message there")
    return newest


def _time(message: Any) -> float:
    time = message.get("create_time") if isinstance(message, dict) else None
    return -math.inf if not isinstance(time, int | float) or math.isnan(time) else time


def _says(message: Any) -> bool:
    """Whether the user saw a message, and it has any content."""
    if not isinstance(message, dict) or _is_hidden(message):
        return False
    content = message.get("content")
    return isinstance(content, dict) and not _is_empty(content)


def _is_hidden(message: dict[str, Any]) -> bool:
    return _metadata(message).get("is_visually_hidden_from_conversation") is True


def _metadata(message: dict[str, Any]) -> dict[str, Any]:
    metadata = message.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _is_empty(content: dict[str, Any]) -> bool:
    return all(is_blank(value) for key, value in content.items() if key not in _NO_TEXT)


def _turns(branch: dict[str, Node], column: str, settings: PoolSettings, notes: Notes) -> Iterator[tuple[Turn, bool]]:
    """The turns of a branch, each with whether it is a tool call."""
    thoughts: list[str] = []
    for where, message, content in _seen(branch, column, notes):
        role, _ = speaker_of(_role_name(message, where), f"{where}.author.role", settings)
        if content.get("content_type") in _THINKING_TYPES:
            thoughts.append(_thinking(content, f"{where}.content"))
            continue
        text = _text(content, role, f"{where}.content")
        if not text.strip():
            continue
        if thoughts and role == "user":
            # No answer followed these thoughts.
            notes.left_out(THINKING_LEFT_OUT)
            thoughts.clear()
        item: dict[str, Any] = {"content": text}
        is_call = role == "assistant" and message.get("recipient") not in (None, "all")
        if is_call:
            item = {"content": None, "tool_calls": [{"name": message["recipient"], "arguments": text}]}
        if role == "assistant":
            item["reasoning_content"] = BETWEEN.join(thoughts)
            thoughts.clear()
        notes.unread(message, _READ, within=f"{column}[].message.")
        yield Turn(role, message_text(item, "content", where, role, settings, notes), True, where), is_call
    if thoughts:
        notes.left_out(THINKING_LEFT_OUT)


def _seen(branch: dict[str, Node], column: str, notes: Notes) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The messages of a branch that are read, each with its place in the row and its content."""
    for name, node in branch.items():
        message, where = node.get("message"), f"{column}.{name}.message"
        if message is None:
            continue
        content = _content(message, where)
        if not _is_empty(content) and not _is_left_out(message, content, notes):
            yield where, message, content


def _is_left_out(message: dict[str, Any], content: dict[str, Any], notes: Notes) -> bool:
    """Whether a message with content is left out. What it loses is noted."""
    if content.get("content_type") in _INSTRUCTION_TYPES:
        notes.left_out(INSTRUCTIONS)
        return True
    if _is_hidden(message):
        notes.left_out(HIDDEN)
        return True
    if not is_blank(_metadata(message).get("attachments")):
        notes.left_out(FILES)
    return False


def _content(message: Any, where: str) -> dict[str, Any]:
    content = message.get("content") if isinstance(message, dict) else message
    if content is None and isinstance(message, dict):
        return {}
    if not isinstance(content, dict):
        at = f"{where}.content" if isinstance(message, dict) else where
        raise BadRow("not a ChatGPT export", at, f"is {kind_of(content)}, not an object", "repair the row")
    return content


def _role_name(message: dict[str, Any], where: str) -> Any:
    author = message.get("author")
    if not isinstance(author, dict):
        problem = f"is {kind_of(author)}, not an object with role"
        raise BadRow("not a ChatGPT export", f"{where}.author", problem, "repair the row")
    return field_of(author, "role", f"{where}.author.role", OF_A_PART)


def _thinking(content: dict[str, Any], where: str) -> str:
    """The thoughts of a message, each with summary and text, or the line that says how long they took."""
    thoughts = content.get("thoughts")
    if not isinstance(thoughts, list):
        return _text(content, "assistant", where)
    texts: list[str] = []
    for index, thought in enumerate(thoughts):
        at = f"{where}.thoughts[{index}]"
        if not isinstance(thought, dict):
            raise BadRow("not a ChatGPT export", at, f"is {kind_of(thought)}, not an object", "repair the row")
        parts = (
            text_of(thought[key], f"{at}.{key}") for key in ("summary", "content") if not is_blank(thought.get(key))
        )
        texts.append("\n".join(parts))
    return BETWEEN.join(filter(None, texts))


def _text(content: dict[str, Any], role: Speaker, where: str) -> str:
    """The text of a content: its parts, joined with nothing between them, or the field with the text."""
    parts = content.get("parts")
    if isinstance(parts, list):
        return "".join(_part(part, parts, f"{where}.parts[{index}]") for index, part in enumerate(parts))
    for key in _TEXT_KEYS:
        if content.get(key) is not None:
            return text_of(content[key], f"{where}.{key}")
    if role == "result":
        return json_line(content)
    problem = f"of type {content.get('content_type')!r} has neither parts nor {', '.join(_TEXT_KEYS)}"
    raise BadRow("a content is unknown", where, problem, "write it as content_type text, or remove the row")


def _part(part: Any, parts: list[Any], where: str) -> str:
    """The text of one part. Speech is read as its transcript."""
    if part is None or isinstance(part, str):
        return text_of(part or "", where)
    kind = str(part.get("content_type")) if isinstance(part, dict) else ""
    if kind == "audio_transcription":
        return text_of(field_of(part, "text", f"{where}.text", OF_A_PART), f"{where}.text")
    if "video" in kind and not is_blank([part.get("frames_asset_pointers"), part.get("video_container_asset_pointer")]):
        raise LeftOut("has a video")
    if "audio" in kind:
        if any(isinstance(other, dict) and other.get("content_type") == "audio_transcription" for other in parts):
            return ""
        raise LeftOut("has audio")
    if isinstance(part, dict) and "asset_pointer" in part:
        raise LeftOut("has an image")
    problem = f"is {kind_of(part)} of unknown type {kind!r}" if kind else f"is {kind_of(part)}, not a text"
    raise BadRow("a part of a message is unknown", where, problem, "write its text as a string")


def _with_answers_joined(turns: Iterator[tuple[Turn, bool]]) -> Iterator[Turn]:
    """The turns, with consecutive messages of the assistant joined."""
    waiting: Turn | None = None
    last_is_call = False
    for turn, is_call in turns:
        if waiting is not None and turn.role == waiting.role == "assistant":
            between = "\n" if is_call or last_is_call else BETWEEN
            waiting = waiting._replace(content=f"{waiting.content}{between}{turn.content}")
        else:
            if waiting is not None:
                yield waiting
            waiting = turn
        last_is_call = is_call
    if waiting is not None:
        yield waiting
