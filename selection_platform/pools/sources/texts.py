"""Text files, compressed or not, as a stream of bytes."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from selection_platform.pools.rows import SourceError

GZIP, ZSTD = ".gz", ".zst"
MAGIC = {
    b"\x1f\x8b": ("compressed with gzip", GZIP),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", ZSTD),
    b"PAR1": ("Parquet", ".parquet"),
    b"ARROW1": ("Arrow", ".arrow"),
}
"""First bytes of files that are not text, with their kind and the ending that they need."""


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The text of a file, decompressed.

    Raises:
        SourceError: the file is not what its ending says, or is compressed and broken.
    """
    ending = path.suffix.lower()
    if ending not in (GZIP, ZSTD):
        _check_beginning(path)
        with path.open("rb") as file:
            yield file
        return
    try:
        with _decompressed(path, ending) as file:
            yield file
    except (EOFError, zlib.error, pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: the compressed file is broken ({error}); download it again") from error


def _decompressed(path: Path, ending: str) -> BinaryIO:
    if ending == GZIP:
        return cast(BinaryIO, gzip.open(path))
    return BufferedReader(cast("BufferedReader", pa.input_stream(str(path), compression="zstd")), 1 << 20)


def _check_beginning(path: Path) -> None:
    """Raise SourceError if a file that should be text is of another kind.

    Otherwise all of its lines would be bad rows, which the settings may skip.
    """
    with path.open("rb") as file:
        beginning = file.read(6)
    for magic, (kind, ending) in MAGIC.items():
        if beginning.startswith(magic):
            # The name of a compressed file also has the ending of its content.
            name = f"{path.suffix}{ending}" if ending in (GZIP, ZSTD) else ending
            raise SourceError(f"{path}: the file is {kind}; give it the ending {name}")
