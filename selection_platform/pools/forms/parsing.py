"""Parses the JSON text of a row. Duplicate fields were already refused when the row was read from its source."""

import json
import re
from typing import Any

import orjson

from selection_platform.pools.bad_rows import BadRow

_JSON_IN_TEXT = ("tool", "function", "environment", "observation", "ipython")
"""Words in rows whose values may be written as JSON text, where every digit counts."""
_LONG_INTEGER = re.compile(r"[0-9]{19}")
_BEYOND_INT64 = 2.0**63
"""orjson rounds integers of more than 64 bits."""


def parse_row(text: str) -> dict[str, Any]:
    """The object in a row's JSON text.

    Raises:
        BadRow: it is nested too deeply.
    """
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        # NaN, infinity, and halves of surrogate pairs: only Python accepts them as JSON.
        return _parsed_slowly(text)
    return _parsed_slowly(text) if _is_rounded(record, text) else record


def too_deep() -> BadRow:
    """The error of a row that is nested too deeply."""
    # The limit also depends on the call stack, which was smaller when the raw pool was written.
    return BadRow("not JSON", None, "JSON that is nested too deeply", "repair the line")


def _is_rounded(record: dict[str, Any], text: str) -> bool:
    """Whether an integer that is compared or written may have been rounded."""
    if any(type(value) is float and abs(value) >= _BEYOND_INT64 for value in record.values()):
        return True
    return any(word in text for word in _JSON_IN_TEXT) and _LONG_INTEGER.search(text) is not None


def _parsed_slowly(text: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except RecursionError:
        raise too_deep() from None
