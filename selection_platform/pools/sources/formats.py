"""The readable files, by their endings."""

from pathlib import Path, PurePosixPath
from typing import Literal

from selection_platform.pools.rows import Reader, SourceError
from selection_platform.pools.sources.arrow_rows import read_arrow, read_parquet
from selection_platform.pools.sources.csv_rows import read_csv
from selection_platform.pools.sources.json_rows import read_json, read_json_lines
from selection_platform.pools.sources.texts import GZIP, ZSTD

Format = Literal["json", "csv", "parquet", "arrow"]

FORMATS: dict[str, tuple[Format, Reader]] = {
    ".jsonl": ("json", read_json_lines),
    ".ndjson": ("json", read_json_lines),
    ".json": ("json", read_json),
    ".csv": ("csv", read_csv),
    ".tsv": ("csv", read_csv),
    ".parquet": ("parquet", read_parquet),
    ".arrow": ("arrow", read_arrow),
    ".feather": ("arrow", read_arrow),
}
TEXT: frozenset[Format] = frozenset({"json", "csv"})

READABLE = (
    "Readable are .jsonl and .ndjson (one JSON object per line), .json (a list of objects, or one object per line), "
    ".csv and .tsv, each of these also compressed with .gz or .zst, .parquet, .arrow and .feather"
)

NO_ROWS = frozenset({"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""Files without rows, which `datasets` writes to describe the rows."""


def _known(name: str) -> tuple[Format, Reader] | None:
    path = PurePosixPath(name.lower())
    compressed = path.suffix in (GZIP, ZSTD)
    known = FORMATS.get((path.with_suffix("") if compressed else path).suffix)
    return known if known is None or not compressed or known[0] in TEXT else None


def format_of(name: str) -> Format | None:
    """The format of a file of rows; None for other files."""
    known = None if PurePosixPath(name).name in NO_ROWS else _known(name)
    return known[0] if known else None


def reader_of(path: Path | PurePosixPath) -> Reader:
    """The reader of a file.

    Raises:
        SourceError: files of its ending cannot be read.
    """
    known = _known(path.name)
    if known is None:
        raise SourceError(f"{path}: a file with this ending cannot be read. {READABLE}")
    return known[1]
