"""Rows of sources, read one after the other."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from selection_platform.errors import PlatformError
from selection_platform.pools.bad_rows import BadRow

MAGIC = {b"\x1f\x8b": ("compressed with gzip", ".jsonl.gz"), b"PAR1": ("Parquet", ".parquet")}
"""How files begin that are no lines of text, what they are, and the ending that they need."""


class SourceError(PlatformError):
    """A source that cannot be read at all, with what is wrong and how to fix it."""


class RawRow(NamedTuple):
    """A row as its source holds it.

    Attributes:
        file: path of the file, or id of the hub data set.
        row: number of the row or line in the file, from 1.
        record: the row as the text of a JSON object.
    """

    file: str
    row: int
    record: str


Rows = Iterator[RawRow | BadRow]


@dataclass(frozen=True)
class Source:
    """A source whose content is pinned down, ready to be read.

    Attributes:
        files: SHA-256 of each file that is read, by path; none for a hub data set.
        revision: commit of the hub data set.
        rows: starts to read; each call from the beginning.
    """

    files: dict[str, str]
    revision: str | None
    rows: Callable[[], Rows]


def read_json_lines(path: Path, name: str) -> Rows:
    r"""Rows of a file with one JSON object a line, compressed or not. Empty lines are no rows.

    Lines end at "\n" only: texts hold other characters, such as U+2028, that `str.splitlines` would break them at.

    Raises:
        SourceError: the file is not what its ending says, or is compressed and broken.
    """
    _check_beginning(path)
    with _open_binary(path) as file:
        lines = enumerate(file, start=1)
        while True:
            try:
                number, line = next(lines)
            except StopIteration:
                return
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise SourceError(f"{path}: the compressed file is broken ({error}); fetch it again") from error
            if line.strip():
                yield _parse_line(line, name, number)


def _check_beginning(path: Path) -> None:
    """Raise SourceError where uncompressed lines are expected and the file is of another kind.

    All of its lines would be bad rows, which can be skipped.
    """
    if path.suffix == ".gz":
        return
    with path.open("rb") as file:
        beginning = file.read(4)
    for magic, (kind, ending) in MAGIC.items():
        if beginning.startswith(magic):
            raise SourceError(f"{path}: the file is {kind}; give it the ending {ending}")


def _open_binary(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _parse_line(line: bytes, name: str, number: int) -> RawRow | BadRow:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        record = json.loads(text)
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} of the line is not UTF-8"
        return BadRow("not UTF-8", None, problem, "save the file as UTF-8").at(name, number)
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1} of the line"
        return BadRow("not JSON", None, problem, "repair the line").at(name, number)
    except (ValueError, RecursionError) as error:
        # An integer of thousands of digits, or brackets nested by the thousand.
        return BadRow("not JSON", None, f"JSON that cannot be read: {error}", "repair the line").at(name, number)
    if not isinstance(record, dict):
        return BadRow(
            "not a JSON object", None, "the line is not a JSON object", "write each row as one {...} on its own line"
        ).at(name, number)
    return RawRow(name, number, text)


def to_json(record: dict[str, Any]) -> str:
    """A record as JSON text; dates and other values that JSON does not know become strings."""
    # Escaped to ASCII: half of a surrogate pair has no other form that Parquet can hold.
    return json.dumps(record, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    """A value that JSON does not know as one that it does. Bytes are text where they can be, as older writers did."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        # No text, so that where one is wanted this is a bad row.
        return {"bytes": len(value)}
