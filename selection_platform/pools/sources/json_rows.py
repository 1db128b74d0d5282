"""Rows of JSON files: one object per line, or one list of objects, which is read piece by piece."""

import codecs
import json
import re
from io import DEFAULT_BUFFER_SIZE
from pathlib import Path
from typing import BinaryIO

from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow, Rows, SourceError
from selection_platform.pools.sources.json_text import check_text, needs_exact_look, parse_line
from selection_platform.pools.sources.texts import open_bytes

BYTES_PER_READ = 1 << 20
MOST_BYTES_IN_FIRST_LINE = 1 << 26
"""A longer first line of a .json file is not a row, and is not read to its end."""

MOST_CHARACTERS_IN_ROW = 1 << 27
"""A longer row of a list must lack a bracket, so it is not read to the end of the file."""

_DECODE = json.JSONDecoder().raw_decode
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[{}\[\],]', re.DOTALL)
"""A text with its closing quote, or a bracket or comma outside texts."""


def read_json_lines(path: Path, name: str, after: int = 0) -> Rows:
    r"""Rows of a file with one JSON object per line, compressed or not. Empty lines are not rows.

    Lines end only at "\n": texts may have other characters, such as U+2028, at which `str.splitlines` would split.

    Raises:
        SourceError: the file is not what its ending says, or is compressed and broken.
    """
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            if number > after and not line.isspace():
                yield parse_line(line, name, number)


def read_json(path: Path, name: str, after: int = 0) -> Rows:
    """Rows of a .json file: one list of objects, or one object per line.

    Raises:
        SourceError: it is one object over several lines, or the whole file is broken.
    """
    with open_bytes(path) as file:
        beginning = _beginning(file)
        is_list = beginning.startswith(b"[")
        if beginning.startswith(b"{"):
            _check_one_line(path, beginning, file)
    return (read_json_list if is_list else read_json_lines)(path, name, after)


def _beginning(file: BinaryIO) -> bytes:
    """The first bytes that are not space; empty if there are none."""
    while block := file.read(DEFAULT_BUFFER_SIZE):
        text = block.removeprefix(codecs.BOM_UTF8).lstrip()
        if text:
            return text
    return b""


def _check_one_line(path: Path, beginning: bytes, file: BinaryIO) -> None:
    line = beginning.split(b"\n")[0]
    if line == beginning:
        line += file.readline(MOST_BYTES_IN_FIRST_LINE)
    if not line.rstrip().endswith(b"}"):
        raise SourceError(
            f"{path}: is one JSON object, and neither a list of rows nor one object per line; write its rows as lines, "
            f"for example those of a field `data` with: jq -c '.data[]' {path.name} > {path.stem}.jsonl"
        )


def read_json_list(path: Path, name: str, after: int = 0) -> Rows:
    """Rows of a file with one JSON list of objects. Memory depends on the longest row.

    A row that is not JSON is skipped up to its closing bracket. A list that is cut off ends with a bad row.

    Raises:
        SourceError: a row has no end, or the file is compressed and broken.
    """
    with open_bytes(path) as file:
        window = _Window(path, file)
        window.open_list()
        number = 0
        # Commas are not checked: one too many or too few does not lose a row.
        while (character := window.next_character(",")) not in ("", "]"):
            row = window.take(name, number + 1)
            if row is None:
                character = ""
                break
            number += 1
            if number > after:
                yield row
        if character == "":
            problem, fix = "the file ends before its list does", "download it again"
            yield BadRow("the file is cut off", None, problem, fix).at(name, number + 1)
        elif window.next_character("]"):
            problem = "not JSON: there is text after the end of the list"
            yield BadRow("not JSON", None, problem, "remove it").at(name, number + 1)


class _Window:
    """The part of a list's text that is in memory, and the position in it where the next row begins."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        # Bytes that are not UTF-8 become halves of surrogate pairs, so that only their row is bad.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text = ""
        self._start = 0

    def open_list(self) -> None:
        """Move behind the bracket that opens the list."""
        self.next_character("")
        self._start += 1

    def next_character(self, skip: str) -> str:
        """The next character that is neither space nor to be skipped; empty at the end of the file."""
        skipped = f" \t\r\n\ufeff{skip}"
        while True:
            text, at = self._text, self._start
            while at < len(text) and text[at] in skipped:
                at += 1
            self._start = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def take(self, name: str, number: int) -> RawRow | BadRow | None:
        """The row that begins here; None if the file ends inside it."""
        while True:
            try:
                record, end = _DECODE(self._text, self._start)
            except (ValueError, RecursionError):
                record, end = None, _end_of_value(self._text, self._start)
            # A number may continue in the next block.
            if end is not None and (end < len(self._text) or isinstance(record, dict)):
                break
            if len(self._text) - self._start > MOST_CHARACTERS_IN_ROW:
                problem = f"row {number} of the list has no end within {MOST_CHARACTERS_IN_ROW:,} characters"
                raise SourceError(f"{self._path}: {problem}; repair its brackets and quotes")
            if not self._more():
                return None
        text, self._start = self._text[self._start : end], end
        return _row(text, record, name, number)

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        # Read as much again as is left, so that a long row is parsed only a few times.
        left = len(self._text) - self._start
        data = self._file.read(max(BYTES_PER_READ, left))
        self._text = self._text[self._start :] + self._decode(data, final=not data)
        self._start = 0
        return bool(data) or len(self._text) > left


def _row(text: str, record: object, name: str, number: int) -> RawRow | BadRow:
    try:
        line = text.encode()
    except UnicodeEncodeError as error:
        problem = f"character {error.start + 1} of the row is not UTF-8"
        return BadRow("not UTF-8", None, problem, "save the file as UTF-8").at(name, number)
    if isinstance(record, dict) and not needs_exact_look(line, record):
        return RawRow(name, number, text)
    return check_text(text, name, number, "row")


def _end_of_value(text: str, start: int) -> int | None:
    """Where the value that begins at `start` ends, by its brackets and quotes; None if the end is not in memory."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        mark = token[0][0]
        if mark == '"':
            if not token[1]:
                return None
        elif mark in "{[":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth <= 0:
                # An unmatched closing bracket counts as a row, so that reading continues after it.
                return token.start() if depth < 0 < token.start() - start else token.end()
        elif depth == 0:
            return token.start()
    return None
