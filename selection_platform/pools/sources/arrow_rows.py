"""Rows of Parquet and Arrow files, a batch at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow, Rows, SourceError, to_json

ROWS_PER_BATCH = 1000
BYTES_PER_READ = 1 << 20

_NO_PYTHON_VALUE = (pa.ArrowException, ValueError, OverflowError, TypeError, LookupError)
"""Exceptions of pyarrow for a value that Python cannot represent: a time out of range, or in an unknown time zone."""


def read_parquet(path: Path, name: str, after: int = 0) -> Rows:
    """Rows of a Parquet file.

    Raises:
        SourceError: the file is broken, or has two columns of one name.
    """
    try:
        # With pre-buffering, all row groups would stay in memory.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BYTES_PER_READ) as file:
            _check_names(path, file.schema_arrow)
            group, number = _group_behind(file.metadata, after)
            groups = list(range(group, file.num_row_groups))
            yield from _rows(file.iter_batches(ROWS_PER_BATCH, row_groups=groups), name, number, after)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


class StatedSize(NamedTuple):
    """What Parquet files say of their size.

    Attributes:
        rows: number of rows.
        size: bytes of their values, before compression.
    """

    rows: int
    size: int


def size_in_footer(path: Path) -> StatedSize | None:
    """What a Parquet file says of its size; None for other files, and for one that cannot be read."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return None
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return StatedSize(metadata.num_rows, sum(group.total_byte_size for group in groups))


def fields_in_footer(path: Path) -> list[str]:
    """The columns of a Parquet file.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        return pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path}: not a readable Parquet file ({error}); download it again")


def _group_behind(metadata: pq.FileMetaData, after: int) -> tuple[int, int]:
    """The first row group with a row after that number, and the number of rows before the group."""
    rows = 0
    for group in range(metadata.num_row_groups):
        in_group = metadata.row_group(group).num_rows
        if rows + in_group > after:
            return group, rows
        rows += in_group
    return metadata.num_row_groups, rows


def read_arrow(path: Path, name: str, after: int = 0) -> Rows:
    """Rows of an Arrow file, in the file format (Feather) or the stream format, which `datasets` writes.

    Raises:
        SourceError: the file is broken, or has two columns of one name.
    """
    try:
        with pa.memory_map(str(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            reader = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
            _check_names(path, reader.schema)
            yield from _rows(_pieces(reader), name, 0, after)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not a readable Arrow file ({error}); write or download it again") from error


def _pieces(reader: "pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader") -> Iterator[pa.RecordBatch]:
    """The batches, in pieces small enough that their rows fit into memory."""
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        batches: Iterable[pa.RecordBatch] = (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        batches = reader
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_PER_BATCH):
            yield batch.slice(start, ROWS_PER_BATCH)


def _check_names(path: Path, fields: Iterable[pa.Field]) -> None:
    """Raise SourceError if two fields on one level have the same name: a row can hold only one of them."""
    names: set[str] = set()
    for field in fields:
        if field.name in names:
            raise SourceError(f"{path}: two columns are called {field.name!r}; rename one")
        names.add(field.name)
        _check_names(path, _inner_fields(field.type))


def _inner_fields(type_: pa.DataType) -> list[pa.Field]:
    if isinstance(type_, pa.BaseExtensionType):
        return _inner_fields(type_.storage_type)
    return [type_.field(number) for number in range(type_.num_fields)]


def _rows(batches: Iterable[pa.RecordBatch], name: str, number: int, after: int) -> Rows:
    for batch in batches:
        floats = any(_may_hold_floats(field.type) for field in batch.schema)
        skipped = min(max(after - number, 0), batch.num_rows)
        number += skipped
        for record in _records(batch.slice(skipped)):
            number += 1
            if isinstance(record, BadRow):
                yield record.at(name, number)
            else:
                yield RawRow(name, number, to_json(record, may_hold_floats=floats))


def _may_hold_floats(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _may_hold_floats(type_.value_type)
    return pa.types.is_floating(type_) or any(_may_hold_floats(field.type) for field in _inner_fields(type_))


def _records(batch: pa.RecordBatch) -> Iterable[dict[str, Any] | BadRow]:
    try:
        return batch.to_pylist()
    except _NO_PYTHON_VALUE:
        # Arrow does not check texts when it reads. Row by row is slow, and only used if a value is broken.
        return (_record(batch.slice(row, 1)) for row in range(batch.num_rows))


def _record(row: pa.RecordBatch) -> dict[str, Any] | BadRow:
    record: dict[str, Any] = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            record[name] = _value(column)
        except UnicodeDecodeError as error:
            return BadRow("not UTF-8", None, f"byte {error.start + 1} of a text is not UTF-8", "write texts as UTF-8")
        except _NO_PYTHON_VALUE as error:
            return BadRow("a value that cannot be read", name, f"cannot be read ({error})", "remove the column")
    return record


def _value(column: pa.Array) -> Any:
    """The value of a column of one row. Times that Python cannot represent become text, as Arrow formats them."""
    try:
        return column.to_pylist()[0]
    except UnicodeDecodeError:
        raise
    except _NO_PYTHON_VALUE:
        # The zone is removed first, because Arrow cannot format a time in a zone that it does not know.
        return column.cast(_as_text(column.type, keep=True)).cast(_as_text(column.type, keep=False)).to_pylist()[0]


def _as_text(type_: pa.DataType, *, keep: bool) -> pa.DataType:
    """A type whose times are replaced by text, or, with `keep`, by the same times without zone."""
    if pa.types.is_timestamp(type_) and keep:
        return pa.timestamp(type_.unit)
    if pa.types.is_temporal(type_):
        return type_ if keep else pa.string()
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_as_text(field.type, keep=keep)) for field in _inner_fields(type_)])
    if pa.types.is_list(type_):
        return pa.list_(type_.value_field.with_type(_as_text(type_.value_type, keep=keep)))
    return type_
