"""Checks the JSON text of one row: it must be an object without duplicate fields."""

import json
import re
import sys
from typing import Any

import orjson

from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow

MOST_CONTAINERS = 500
"""A row with more objects and lists may be nested more deeply than the standard library reads."""

_SPACE_BEFORE_COLON = re.compile(rb'"[ \t\r\n]+:')


class _TwoOfOneName(Exception):
    """An object has two fields with the same name."""


def parse_line(line: bytes, name: str, number: int) -> RawRow | BadRow:
    """The row in a line.

    orjson parses first, because it is three times as fast. If it refuses the line, or might read it differently, the
    standard library decides: it accepts NaN, halves of surrogate pairs and integers of any length.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parse_exactly(line, name, number)
    if type(record) is not dict or needs_exact_look(line, record):
        return _parse_exactly(line, name, number)
    return RawRow(name, number, line.decode().strip())


def needs_exact_look(line: bytes, record: Any) -> bool:
    """Whether a parsed row may have a duplicate field, or something that the standard library refuses.

    Each field has a colon: if the text has as many colons as the parsed row has fields, no field is duplicate. If texts
    also have colons, the check is more exact.
    """
    fields, containers = _sizes(record)
    return (
        (line.count(b":") != fields and _fields_in_text(line) != fields)
        or containers > MOST_CONTAINERS
        or _may_hold_long_number(line)
    )


def _fields_in_text(line: bytes) -> int | None:
    """Number of fields in a JSON text, plus texts that begin with a colon; None if that cannot be counted."""
    if _SPACE_BEFORE_COLON.search(line) is not None or b'\\\\":' in line:
        return None
    # Inside a text, a quote is escaped by a backslash.
    return line.count(b'":') - line.count(b'\\":')


def _sizes(value: Any) -> tuple[int, int]:
    """Number of fields in all objects of a value, and number of objects and lists."""
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
    """Whether there may be more consecutive digits than the standard library converts to a number."""
    most = sys.get_int_max_str_digits()
    # A longer run of digits has a digit at a multiple of the limit.
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
    """The row of this text, parsed by the standard library.

    Args:
        text: the row's text.
        name: the name of its file.
        number: the row's number in the file.
        unit: what the text is in the file, for messages: a line, or a row.
    """
    try:
        record = json.loads(text, object_pairs_hook=_fields_once)
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1} of the {unit}"
        return BadRow("not JSON", None, problem, f"repair the {unit}").at(name, number)
    except _TwoOfOneName as error:
        problem = "is twice in one object"
        return BadRow("two fields of one name", str(error), problem, "rename or remove one").at(name, number)
    except (ValueError, RecursionError) as error:
        # An integer with thousands of digits, or thousands of nested brackets.
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
