"""Reads lists of messages as turns of known speakers, in their order."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from selection_platform.configuration.pool_settings import Form, PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms import tools
from selection_platform.pools.forms.claude import plain_messages
from selection_platform.pools.forms.content import THINKING_FIELDS, Speaker, call_text, message_text
from selection_platform.pools.forms.notes import Notes
from selection_platform.pools.forms.reading import CLAUDES, KEYS, OTHER_KEYS, Keys
from selection_platform.pools.forms.texts import (
    NO_ROLE,
    OF_A_MESSAGE,
    OF_A_ROLE,
    empty,
    field_of,
    kind_of,
    parsed_json,
    text_of,
)
from selection_platform.text.conversation import Role

ROLE_NAMES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
}
"""Names of roles in datasets."""

RESULT_ROLES = ("tool", "function", "environment", "observation", "ipython", "tool_response")
CALL_ROLES = ("function_call", "tool_call")
"""Role names of tool results, and of an assistant's messages with only tool calls."""

WEIGHT_FIELDS = ("weight", "train")
OTHER_WEIGHT = "weight other than 0 and 1 taken as 1"


class Turn(NamedTuple):
    """One message of a row.

    Attributes:
        role: who speaks.
        content: the text.
        trained: whether a model is to be trained on it.
        where: its place in the row, for error messages.
    """

    role: Speaker
    content: str
    trained: bool
    where: str


class UnknownRole(BadRow):
    """A message with an unknown role."""


def message_list(value: Any, column: str) -> list[Any]:
    """The list of messages in a field: a list, an object with a list of roles and one of texts, or JSON text.

    Raises:
        BadRow: the field has no such list.
    """
    items = parsed_json(value) if isinstance(value, str) else value
    if isinstance(items, dict) and items and all(isinstance(values, list) for values in items.values()):
        if len({len(values) for values in items.values()}) > 1:
            raise BadRow("lists of unequal length", column, "has lists of unequal length", "repair the row")
        return [dict(zip(items, values, strict=True)) for values in zip(*items.values(), strict=True)]
    if not isinstance(items, list):
        problem = f"is {kind_of(value)}, not a list of messages"
        raise BadRow("the messages are not a list", column, problem, "name another `column`")
    return items


def read_list(
    items: list[Any], form: Form, column: str, settings: PoolSettings, notes: Notes, keys: Keys | None = None
) -> Iterator[Turn]:
    """Yield the turns of a list of messages, so that messages after a cut are never read.

    Args:
        items: the messages.
        form: the form of the list.
        column: the field of the list.
        settings: what to do with tools and thinking.
        notes: collects what is left out.
        keys: the keys of role and text, if they differ from the form's.

    Raises:
        BadRow: a message cannot be read.
        LeftOut: a message has something that the settings exclude or a text model cannot use.
    """
    keys = keys or KEYS.get(form)
    for index, item in enumerate(items):
        where = f"{column}[{index}]"
        if keys is None:
            yield Turn("assistant" if index % 2 else "user", non_empty_text(item, where), True, where)
        elif not isinstance(item, dict):
            problem = f"is {kind_of(item)}, not an object with {' and '.join(keys)}"
            raise BadRow("a message is not an object", where, problem, "write it as an object")
        elif keys in CLAUDES:
            for plain in plain_messages(item, keys[1], where, notes):
                yield _message(plain, keys, where, column, settings, notes)
        elif form == "pairs":
            yield from _pair(item, where, column, notes)
        else:
            yield _message(item, keys, where, column, settings, notes)


def form_of_list(items: list[Any]) -> Form | None:
    """The form of a list of messages, by its first item; None if it is not a list of messages."""
    first = items[0] if items else None
    if isinstance(first, str):
        return "strings"
    for form, keys in KEYS.items():
        if form != "tree" and isinstance(first, dict) and set(keys) <= first.keys():
            return form
    return None


def other_keys(items: list[Any]) -> Keys | None:
    """The first pair of other keys that every message of a list has; None if there is none."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    role, text = (next((key for key in keys if all(key in item for item in items)), None) for keys in OTHER_KEYS)
    if role is None or text is None:
        return None
    # Old and new exports in one pool then have the same pair.
    return CLAUDES[0] if (role, text) in CLAUDES and all("text" in item for item in items) else (role, text)


def non_empty_text(value: Any, where: str) -> str:
    """A value that must be non-empty text.

    Raises:
        BadRow: it is not text, or empty.
    """
    text = text_of(value, where)
    if not text.strip():
        raise empty(where)
    return text


def _pair(item: dict[str, Any], where: str, column: str, notes: Notes) -> Iterator[Turn]:
    speakers: dict[str, Speaker] = {"input": "user", "output": "assistant"}
    for key, role in speakers.items():
        at = f"{where}.{key}"
        yield Turn(role, non_empty_text(field_of(item, key, at, OF_A_MESSAGE), at), True, at)
    notes.unread(item, speakers.keys(), within=f"{column}[].")


def _message(item: dict[str, Any], keys: Keys, where: str, column: str, settings: PoolSettings, notes: Notes) -> Turn:
    role_key, content_key = keys
    name = field_of(item, role_key, f"{where}.{role_key}", OF_A_MESSAGE)
    role, only_calls = speaker_of(name, f"{where}.{role_key}", settings)
    if only_calls:
        at = f"{where}.{content_key}"
        text = call_text(field_of(item, content_key, at, OF_A_MESSAGE), at, settings)
    else:
        text = message_text(item, content_key, where, role, settings, notes)
    trained = role != "assistant" or _is_trained(item, where, notes)
    if len(item) > len(keys):
        read = _WEIGHTS if only_calls else _READ[role]
        notes.unread(item, read.union(keys), within=f"{column}[].")
    return Turn(role, text, trained, where)


def speaker_of(name: Any, where: str, settings: PoolSettings) -> tuple[Speaker, bool]:
    """The speaker that a role name means, and whether the message has only tool calls.

    Raises:
        UnknownRole: the name is unknown.
    """
    known = name.lower() if isinstance(name, str) else ""
    if known in settings.roles:
        return settings.roles[known], False
    if known in RESULT_ROLES:
        return "result", False
    if known in CALL_ROLES:
        return "assistant", True
    if known not in ROLE_NAMES:
        names = ", ".join((*ROLE_NAMES, *RESULT_ROLES, *CALL_ROLES))
        raise UnknownRole("unknown role", where, NO_ROLE.format(repr(name)[:40], names), OF_A_ROLE)
    return ROLE_NAMES[known], False


def _is_trained(item: dict[str, Any], where: str, notes: Notes) -> bool:
    for name in WEIGHT_FIELDS:
        weight = item.get(name)
        if weight is None:
            continue
        if not isinstance(weight, int | float) or (isinstance(weight, float) and not math.isfinite(weight)):
            raise BadRow(
                "a weight is not a number", f"{where}.{name}", "is neither a number nor true or false", "write 0 or 1"
            )
        if weight == 0:
            return False
        if weight != 1:
            notes.left_out(OTHER_WEIGHT)
    return True


_WEIGHTS = frozenset(WEIGHT_FIELDS)
_READ: dict[Speaker, frozenset[str]] = {
    "assistant": frozenset((*tools.CALL_FIELDS, *THINKING_FIELDS, *WEIGHT_FIELDS)),
    "system": frozenset((*tools.DEFINITION_FIELDS, *WEIGHT_FIELDS)),
    "user": _WEIGHTS,
    "result": _WEIGHTS,
}
"""Fields of a message that are read, by speaker. A weight matters only for answers."""
