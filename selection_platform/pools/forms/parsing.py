"""The JSON text of a row as an object, and what is lost on the way."""

import json
import re
from typing import Any

import orjson

from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.texts import printable

_ESCAPED_QUOTE = "\\u0022"
"""A quote that is not written as one, which would hide a lost key from the count of quotes."""

_JSON_IN_TEXT = ("tool", "function", "environment", "observation", "ipython")
"""Words of rows whose values may become text as JSON, where every digit counts."""
_LONG_INTEGER = re.compile(r"[0-9]{19}")
_BEYOND_INT64 = 2.0**63
"""orjson rounds integers of more than 64 bits."""


def parse_row(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The object of a row's JSON text, and the parts of it that are lost: where an object has a key twice, the first.

    Raises:
        BadRow: it is nested too deep.
    """
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        # NaN, infinity, and halves of surrogate pairs: JSON to Python alone.
        return _parsed_slowly(text)
    # Where a key stands twice, quotes are missing when the object is written again.
    is_whole = _ESCAPED_QUOTE not in text and orjson.dumps(record).count(b'"') == text.count('"')
    return (record, ()) if is_whole and not _is_rounded(record, text) else _parsed_slowly(text)


def too_deep() -> BadRow:
    """The fault of a row that is nested too deep."""
    # How deep is too deep depends on the callers too, and it was not when the raw pool was written.
    return BadRow("not JSON", None, "JSON that is nested too deep", "repair the line")


def _is_rounded(record: dict[str, Any], text: str) -> bool:
    """Whether an integer that is compared or written may have been rounded."""
    if any(type(value) is float and abs(value) >= _BEYOND_INT64 for value in record.values()):
        return True
    return any(word in text for word in _JSON_IN_TEXT) and _LONG_INTEGER.search(text) is not None


def _parsed_slowly(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    lost: dict[str, None] = {}

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = (name for name, value in pairs if value != made[name])
            lost.update({f"first of two fields {printable(name)} left out": None for name in names})
        return made

    try:
        record = json.loads(text, object_pairs_hook=as_object)
    except RecursionError:
        raise too_deep() from None
    return record, tuple(lost)
