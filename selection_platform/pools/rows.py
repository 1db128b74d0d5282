"""Raw rows and their sources."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from selection_platform.errors import PlatformError
from selection_platform.pools.bad_rows import BadRow


class SourceError(PlatformError):
    """A source that cannot be read. The message says what is wrong and how to fix it."""


class RawRow(NamedTuple):
    """An unchanged row of a source.

    Attributes:
        file: name of the file, as in the profile.
        row: number of the row or line in the file, from 1.
        record: the row as the text of a JSON object.
    """

    file: str
    row: int
    record: str


Rows = Iterator[RawRow | BadRow]
Reader = Callable[[Path, str, int], Rows]
"""Reads the rows of a file, given its path, its name, and the number of the row to continue after (0 for all rows)."""


@dataclass(frozen=True)
class SourceFile:
    """A file of rows.

    Attributes:
        name: its path, relative to the profile's folder or to the dataset's.
        digest: SHA-256 of its bytes; for a small file on the hub, `git:` and its object id.
        locate: returns the file's place on this machine, after downloading it if necessary.
        read: reads its rows.
    """

    name: str
    digest: str
    locate: Callable[[], Path]
    read: Reader


@dataclass(frozen=True)
class Source:
    """A source with fixed content, ready to be read.

    Attributes:
        identity: what decides its rows. The only paths in it are those in the profile.
        find: finds the files with rows, in order, and other files that are left out.
        revision: commit of the hub dataset.
    """

    identity: Mapping[str, Any]
    find: Callable[[], tuple[Sequence[SourceFile], Sequence[str]]]
    revision: str | None = None

    @cached_property
    def _found(self) -> tuple[Sequence[SourceFile], Sequence[str]]:
        return self.find()

    @property
    def files(self) -> dict[str, str]:
        """The hash of each file that is read, by name."""
        return {file.name: file.digest for file in self._found[0]}

    @property
    def left_out(self) -> list[str]:
        """Other files in the folder, whose kind cannot be read."""
        return list(self._found[1])

    def rows(self, after: tuple[str, int] | None = None) -> Rows:
        """Read all rows, or those after a row, given by its file's name and its number."""
        files = list(self._found[0])
        name, row = after or (None, 0)
        if name is not None:
            files = files[[file.name for file in files].index(name) :]
        for file in files:
            yield from file.read(file.locate(), file.name, row if file.name == name else 0)


def to_json(record: Mapping[str, Any], *, may_hold_floats: bool = True) -> str:
    """A record as ASCII JSON text. Dates and other values that JSON does not have become strings.

    Without floats, which it formats differently, and without characters beyond ASCII, orjson gives the same text in a
    fifth of the time.
    """
    if not may_hold_floats:
        try:
            text = orjson.dumps(record, _plain, _LEAVE_TO_PLAIN)
        except orjson.JSONEncodeError:
            pass
        else:
            if text.isascii() and b"\x7f" not in text:
                return text.decode()
    return _ENCODER.encode(record)


def _plain(value: Any) -> Any:
    """Convert a value that JSON does not have. Bytes become text if possible, as older writers stored text."""
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        # Not text, so that it makes a bad row if it is needed as text.
        return {"bytes": len(value)}


_LEAVE_TO_PLAIN = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS
# Escaped to ASCII, because Parquet cannot store half of a surrogate pair in any other form.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain)
