"""The text of one row as JSON: whether it is an object, and says each field once."""

import json
import re
import sys
from typing import Any

import orjson

from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow

MOST_CONTAINERS = 500
"""A row with more objects and lists may be nested deeper than the standard library reads."""

_SPACE_BEFORE_COLON = re.compile(rb'"[ \t\r\n]+:')


class _TwoOfOneName(Exception):
    """An object says a field twice."""


def parse_line(line: bytes, name: str, number: int) -> RawRow | BadRow:
    """The row that a line holds.

    orjson looks first, as it is three times as fast. Where it refuses, or where the line may be one of those that the
    standard library reads otherwise, that decides: it knows NaN, half of surrogate pairs and integers of any length.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parse_exactly(line, name, number)
    if type(record) is not dict or needs_exact_look(line, record):
        return _parse_exactly(line, name, number)
    return RawRow(name, number, line.decode().strip())


def needs_exact_look(line: bytes, record: Any) -> bool:
    """Whether a row that was parsed may say a field twice, or hold what the standard library refuses.

    Each field brings a colon: where there are as many in the text as fields in what was parsed, there is none twice. A
    row whose texts have colons too is looked at more closely.
    """
    fields, containers = _sizes(record)
    return (
        (line.count(b":") != fields and _fields_in_text(line) != fields)
        or containers > MOST_CONTAINERS
        or _may_hold_long_number(line)
    )


def _fields_in_text(line: bytes) -> int | None:
    """How many fields a text has, and texts that begin with a colon; None where that cannot be told."""
    if _SPACE_BEFORE_COLON.search(line) is not None or b'\\\\":' in line:
        return None
    # Within a text, a quote has a backslash before it.
    return line.count(b'":') - line.count(b'\\":')


def _sizes(value: Any) -> tuple[int, int]:
    """How many fields there are in all objects of a value, and how many objects and lists."""
    fields = containers = 0
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if type(inner) is dict:
            fields += len(inner)
            containers += 1
            waiting.extend(inner.values())
        elif type(inner) is list:
            containers += 1
            waiting.extend(inner)
    return fields, containers


def _may_hold_long_number(line: bytes) -> bool:
    """Whether there may be more digits in a row than the standard library makes a number of."""
    most = sys.get_int_max_str_digits()
    # A run of more digits than that has one at a multiple of it.
    return (
        0 < most < len(line)
        and any(48 <= byte <= 57 for byte in line[most::most])
        and bool(re.search(rb"[0-9]{%d}" % (most + 1), line))
    )


def _parse_exactly(line: bytes, name: str, number: int) -> RawRow | BadRow:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} of the line is not UTF-8"
        return BadRow("not UTF-8", None, problem, "save the file as UTF-8").at(name, number)
    return check_text(text, name, number, "line")


def check_text(text: str, name: str, number: int, unit: str) -> RawRow | BadRow:
    """The row of this text, looked at by the standard library.

    Args:
        text: of the row.
        name: of its file.
        number: of the row in it.
        unit: what the text is in the file, for messages: a line, or a row.
    """
    try:
        record = json.loads(text, object_pairs_hook=_fields_once)
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1} of the {unit}"
        return BadRow("not JSON", None, problem, f"repair the {unit}").at(name, number)
    except _TwoOfOneName as error:
        problem = "stands twice in one object"
        return BadRow("two fields of one name", str(error), problem, "rename or remove one").at(name, number)
    except (ValueError, RecursionError) as error:
        # An integer of thousands of digits, or brackets nested by the thousand.
        return BadRow("not JSON", None, f"JSON that cannot be read: {error}", f"repair the {unit}").at(name, number)
    if not isinstance(record, dict):
        return BadRow(
            "not a JSON object",
            None,
            f"the {unit} is not a JSON object",
            "write each row as one {...}" + (" on its own line" if unit == "line" else ""),
        ).at(name, number)
    return RawRow(name, number, text)


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwoOfOneName(next(name for name in names if names.count(name) > 1))
    return fields
