"""Converts messages of Claude's data export, with sender human or assistant, to messages with one content."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.content import MEDIA_PARTS, TEXT_PARTS, THINKING_PARTS, TOOL_PARTS
from selection_platform.pools.forms.notes import LeftOut, Notes
from selection_platform.pools.forms.texts import is_blank, json_line, kind_of, text_of

FILES = "attached files left out"
FILE_ALONE = "a message is a file alone"

BETWEEN = "\n\n"
"""Separates the texts of attachments from each other, and from the message."""

RESULT = "tool_result"

_SHOWN = ("type", "start_timestamp", "stop_timestamp")
_OF_A_CALL = ("type", "id", "name", "input")
_KNOWN_PARTS = {*TEXT_PARTS, *THINKING_PARTS, *MEDIA_PARTS, *TOOL_PARTS}


def plain_messages(item: dict[str, Any], key: str, where: str, notes: Notes) -> Iterator[dict[str, Any]]:
    """Convert a message of the export; an answer with tool calls becomes several, with the results between.

    Args:
        item: the message.
        key: the key of its content: `text` or `content`.
        where: its place in the row.
        notes: collects what is left out.

    Raises:
        BadRow: an attachment is broken.
        LeftOut: the message is only files whose text is not in the row.
    """
    message = _plain_message(item, key, where, notes)
    parts = message.get(key)
    if not isinstance(parts, list) or message.get("sender") != "assistant" or RESULT not in map(_kind, parts):
        yield message
        return
    for are_results, group in groupby(parts, lambda part: _kind(part) == RESULT):
        same_kind = list(group)
        if are_results:
            yield from ({"sender": "tool", key: part.get("content") or ""} for part in same_kind)
        elif not _says_nothing(same_kind):
            yield {**message, key: same_kind}


def _plain_message(item: dict[str, Any], key: str, where: str, notes: Notes) -> dict[str, Any]:
    """A message with all of its content under one key.

    Pasted texts, and texts extracted from files, go before the message, as Anthropic's guide to long prompts puts
    documents before the question. `text` is read only if `content` is empty, because it shows tool calls as a
    placeholder.
    """
    rest = {name: value for name, value in item.items() if name not in ("content", "text", "attachments", "files")}
    if key not in item and "content" not in item:
        return rest
    content = item.get("content")
    value = item.get("text", content) if _says_nothing(content) else content
    if isinstance(value, list):
        value = [_plain_part(part) for part in value if _kind(part) in _KNOWN_PARTS or not _is_empty(part)]
    material, files = _material(item.get("attachments"), f"{where}.attachments")
    files |= _names(item.get("files")) - _names(item.get("attachments"))
    if files:
        if _says_nothing(value) and not material:
            raise LeftOut(FILE_ALONE)
        notes.left_out(FILES)
    return {**rest, key: _behind(material, value)}


def _behind(material: str, value: Any) -> Any:
    """A message's content, after its material."""
    if not material or _says_nothing(value):
        return material or value
    if isinstance(value, list):
        return [material + BETWEEN, *value]
    # A value that is not text is refused where it is read.
    return material + BETWEEN + value if isinstance(value, str) else value


def _material(attachments: Any, where: str) -> tuple[str, set[str]]:
    """The texts of attachments, and the names of attachments without text."""
    if attachments is None:
        return "", set()
    if not isinstance(attachments, list):
        raise BadRow("attachments are not a list", where, f"is {kind_of(attachments)}, not a list", "repair the row")
    texts, files = list[str](), set[str]()
    for index, attachment in enumerate(attachments):
        if not isinstance(attachment, dict):
            problem = f"is {kind_of(attachment)}, not an object with extracted_content"
            raise BadRow("attachments are not a list", f"{where}[{index}]", problem, "repair the row")
        if is_blank(attachment.get("extracted_content")):
            files.add(str(attachment.get("file_name")))
        else:
            texts.append(text_of(attachment["extracted_content"], f"{where}[{index}].extracted_content"))
    return BETWEEN.join(texts), files


def _names(files: Any) -> set[str]:
    items = files if isinstance(files, list) else [] if is_blank(files) else [files]
    return {str(item.get("file_name") if isinstance(item, dict) else item) for item in items}


def _says_nothing(value: Any) -> bool:
    return is_blank(value) or (isinstance(value, list) and all(map(_is_empty, value)))


def _is_empty(part: Any) -> bool:
    inner = [value for name, value in part.items() if name not in _SHOWN] if isinstance(part, dict) else part
    return is_blank(inner)


def _kind(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else None


def _plain_part(part: Any) -> Any:
    """A part without fields that are only for display: times, titles, icons."""
    kind = _kind(part)
    if kind == "tool_use":
        return {name: part[name] for name in _OF_A_CALL if name in part}
    if kind == RESULT and isinstance(part.get("content"), list):
        return {"type": kind, "content": [_result_part(inner) for inner in part["content"]]}
    return part


def _result_part(part: Any) -> Any:
    """A part of a tool's result. A part of an unknown type becomes its text, or else its whole JSON."""
    if not isinstance(part, dict) or _kind(part) in _KNOWN_PARTS:
        return part
    text = part.get("text")
    return {"type": "text", "text": text if isinstance(text, str) else json_line(part)}
