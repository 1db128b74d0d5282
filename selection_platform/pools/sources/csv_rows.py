"""Rows of .csv and .tsv files. Every value is text and stays unchanged, also NA, 007 and True."""

import csv
import re
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow, Rows, SourceError, to_json
from selection_platform.pools.sources.texts import open_bytes

BEGINNING = 1 << 16
"""Bytes of the first line that are searched for the delimiter."""

_QUOTED = re.compile(rb'"[^"]*"')
MOST_CHARACTERS = 1 << 28
"""Longest value: a longer one has an unclosed quote."""


def read_csv(path: Path, name: str, after: int = 0) -> Rows:
    """Rows of a file with commas, semicolons or tabs. The first line names the fields; rows are counted after it.

    Raises:
        SourceError: the first line names no fields, or one field twice; or the whole file is broken.
    """
    with open_bytes(path) as file:
        lines = _lines(path, file)
        header = _header(path, lines)
        number = 0
        while True:
            try:
                values = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                values = BadRow("not CSV", None, f"not CSV: {error}", "repair its quotes")
            # A blank line is not a row.
            if values:
                number += 1
                if number > after:
                    yield _row(header, values, name, number)


def fields_in_header(path: Path) -> list[str]:
    """The fields that the first line names.

    Raises:
        SourceError: as for `read_csv`.
    """
    with open_bytes(path) as file:
        return _header(path, _lines(path, file))


def _lines(path: Path, file: BinaryIO) -> "csv.Reader":  # pyright: ignore[reportAttributeAccessIssue]
    csv.field_size_limit(MOST_CHARACTERS)
    # Bytes that are not UTF-8 become halves of surrogate pairs, so that only their row is bad.
    text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    return csv.reader(text, delimiter=_delimiter(path), strict=True)


def _delimiter(path: Path) -> str:
    """The delimiter. Spreadsheets use semicolons in countries with a decimal comma."""
    if ".tsv" in path.name.lower():
        return "\t"
    with open_bytes(path) as file:
        first_line = file.read(BEGINNING).lstrip().partition(b"\n")[0]
    outside = _QUOTED.sub(b"", first_line)
    return next((mark for mark in ",;\t" if mark.encode() in outside), ",")


def _header(path: Path, lines: "csv.Reader") -> list[str]:  # pyright: ignore[reportAttributeAccessIssue]
    try:
        header = next((values for values in lines if values), [])
    except csv.Error as error:
        raise SourceError(f"{path}: the first line does not name the fields ({error}); repair its quotes") from error
    if not all(map(_is_text, header)):
        raise SourceError(f"{path}: the first line is not UTF-8; save the file as UTF-8")
    twice = [field for field in header if header.count(field) > 1]
    if twice:
        raise SourceError(f"{path}: two columns are called {twice[0]!r}; rename one in the first line")
    return header


def _row(header: list[str], values: list[str] | BadRow, name: str, number: int) -> RawRow | BadRow:
    if isinstance(values, BadRow):
        return values.at(name, number)
    if len(values) != len(header):
        problem = f"has {len(values)} values, but the first line names {len(header)} fields"
        return BadRow("another number of fields", None, problem, "repair its delimiters and quotes").at(name, number)
    for field, value in zip(header, values, strict=True):
        if not value.isascii() and not _is_text(value):
            return BadRow("not UTF-8", field, "is not UTF-8", "save the file as UTF-8").at(name, number)
    return RawRow(name, number, to_json(dict(zip(header, values, strict=True)), may_hold_floats=False))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
