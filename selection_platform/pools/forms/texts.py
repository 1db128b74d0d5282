"""Values of a row as text, and the errors if they are not text."""

import json
import math
from collections.abc import Iterable
from typing import Any

from selection_platform.pools.bad_rows import BadRow

OF_THE_ROW = "set the pool's form, column or columns to match the data, or leave form out to have it recognised"
OF_A_MESSAGE = "rename the key, or leave form out, so that other usual keys are recognised"
OF_A_PART = "repair the row"
"""The fix for a missing field, by what it is a field of."""

OF_THE_FORM = (
    "name the list of messages with `form` and `column`, or question and answer with `columns: {prompt: ..., "
    "answer: ...}`"
)
"""The fix for a form that is not recognised."""

OF_A_ROLE = (
    "say in the pool's `roles` what it means, such as roles: {customer: user, agent: assistant}, or set "
    "out_of_turn: cut to end conversations there"
)
"""The fix for an unknown role."""

MISSING, NO_ROLE = "is missing; the fields are {}", "{} is not a known role ({})"
"""What is wrong with a field, and with a role. The command line names its options after them: `cli/data_options.py`."""


def field_of(record: dict[str, Any], key: str, where: str, fix: str = OF_THE_ROW) -> Any:
    """The value of a key.

    Raises:
        BadRow: the key is missing.
    """
    if key not in record:
        present = ", ".join(sorted(record)) or "nothing"
        raise BadRow("a field is missing", where, MISSING.format(present), fix)
    return record[key]


def text_of(value: Any, where: str) -> str:
    """The value, which must be text that can be stored.

    Raises:
        BadRow: it is not text, or cannot be stored.
    """
    if not isinstance(value, str):
        raise BadRow("a text is not a string", where, f"is {kind_of(value)}, not a string", "write it as text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRow(
            "broken Unicode", where, r"holds half of a surrogate pair (\ud800 to \udfff)", "replace that character"
        ) from None
    return value


def json_line(value: Any) -> str:
    """A value as one line of JSON, as chat templates write it."""
    return json.dumps(value, ensure_ascii=False)


def parsed_json(text: str) -> Any:
    """The list or object in a JSON text; None if the text is neither."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def empty(where: str) -> BadRow:
    """The error of a message without text."""
    return BadRow("empty message", where, "is empty", "fill it in or remove the row")


def is_blank(value: Any) -> bool:
    """Whether a value is blank: null, NaN, blank text, or a collection of only blank values."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, dict):
        return all(map(is_blank, value.values()))
    if isinstance(value, list):
        return all(map(is_blank, value))
    return value is None or (isinstance(value, float) and math.isnan(value))


def escape_surrogates(text: str) -> str:
    """A text with escapes for halves of surrogate pairs, which no file can hold."""
    return text.encode(errors="backslashreplace").decode()


def kind_of(value: Any) -> str:
    """What a JSON value is, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def first_non_blank(record: dict[str, Any], names: Iterable[str]) -> str | None:
    """The first of some fields that is not blank; None if all are."""
    return next((name for name in names if not is_blank(record.get(name))), None)
