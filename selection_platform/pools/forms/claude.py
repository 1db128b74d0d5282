"""Messages of Claude's data export, whose sender is human or assistant, as messages of one text or list of parts."""

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
"""What stands between the texts of attachments, and between them and the message."""

RESULT = "tool_result"

_SHOWN = ("type", "start_timestamp", "stop_timestamp")
_OF_A_CALL = ("type", "id", "name", "input")
_KNOWN_PARTS = {*TEXT_PARTS, *THINKING_PARTS, *MEDIA_PARTS, *TOOL_PARTS}


def plain_messages(item: dict[str, Any], key: str, where: str, notes: Notes) -> Iterator[dict[str, Any]]:
    """The messages that one of the export is: an answer in which tools were called is several, with results between.

    Args:
        item: the message.
        key: of what it says: `text` or `content`.
        where: its place in the row.
        notes: gets what is left out.

    Raises:
        BadRow: an attachment is broken.
        LeftOut: there is nothing but files whose text is not in the row.
    """
    message = _plain_message(item, key, where, notes)
    parts = message.get(key)
    if not isinstance(parts, list) or message.get("sender") != "assistant" or RESULT not in map(_kind, parts):
        yield message
        return
    for are_results, group in groupby(parts, lambda part: _kind(part) == RESULT):
        each = list(group)
        if are_results:
            yield from ({"sender": "tool", key: part.get("content") or ""} for part in each)
        elif not _says_nothing(each):
            yield {**message, key: each}


def _plain_message(item: dict[str, Any], key: str, where: str, notes: Notes) -> dict[str, Any]:
    """A message with all that it says under one key.

    Pasted texts and files whose text was extracted stand before the message, as Anthropic's guide to long prompts puts
    documents before the question. `text` is read where `content` has nothing: it shows calls of tools as a placeholder.
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
    """What a message says, behind its material."""
    if not material or _says_nothing(value):
        return material or value
    if isinstance(value, list):
        return [material + BETWEEN, *value]
    # What is no text is refused where it is read.
    return material + BETWEEN + value if isinstance(value, str) else value


def _material(attachments: Any, where: str) -> tuple[str, set[str]]:
    """The texts of attachments, and the names of those without."""
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
    found = files if isinstance(files, list) else [] if is_blank(files) else [files]
    return {str(each.get("file_name") if isinstance(each, dict) else each) for each in found}


def _says_nothing(value: Any) -> bool:
    return is_blank(value) or (isinstance(value, list) and all(map(_is_empty, value)))


def _is_empty(part: Any) -> bool:
    inner = [value for name, value in part.items() if name not in _SHOWN] if isinstance(part, dict) else part
    return is_blank(inner)


def _kind(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else None


def _plain_part(part: Any) -> Any:
    """A part without what a page shows of it: times, titles, icons."""
    kind = _kind(part)
    if kind == "tool_use":
        return {name: part[name] for name in _OF_A_CALL if name in part}
    if kind == RESULT and isinstance(part.get("content"), list):
        return {"type": kind, "content": [_result_part(each) for each in part["content"]]}
    return part


def _result_part(part: Any) -> Any:
    """A part of what a tool gave; one of a type of the tool's own is its text, or else all of it as JSON."""
    if not isinstance(part, dict) or _kind(part) in _KNOWN_PARTS:
        return part
    text = part.get("text")
    return {"type": "text", "text": text if isinstance(text, str) else json_line(part)}
