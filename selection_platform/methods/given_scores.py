"""Scores that the user gives: a field of the raw rows, or a Parquet file.

Both give each sample of a pool its number, or the reason why it has none. They are read a batch of raw rows at a time.
"""

import hashlib
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow.parquet as pq

from selection_platform.configuration.settings import did_you_mean
from selection_platform.errors import PlatformError
from selection_platform.job.folder import cached_hash, whole_file
from selection_platform.job.integrity import check_files
from selection_platform.job.progress import progress
from selection_platform.pools.forms.parsing import parse_row
from selection_platform.pools.forms.texts import escape_surrogates
from selection_platform.pools.shards import ROWS_PER_BATCH, shard_paths

Order = Literal["descending", "ascending"]

MISSING, NOT_A_NUMBER, NOT_FINITE = "the field is missing or empty", "the field is not a number", "NaN or infinite"
NOT_IN_FILE, EMPTY = "not in the file of scores", "no number in the file of scores"
"""Reasons why a sample has no score."""

NAMES_SHOWN = 12
"""Field names in a message, at most."""

_SCHEMA = {"sample_id": pl.String, "score": pl.Float64, "dropped": pl.String}
_ROW = ["file", "file_row"]


@dataclass(frozen=True)
class FileReport:
    """What a file of scores has beside the numbers of the pool's samples.

    Attributes:
        rows: its rows.
        strangers: ids of which the pool has no sample.
        repeated: rows that say again what an earlier row says.
    """

    rows: int
    strangers: int
    repeated: int


def score_by_column(raw_folder: Path, column: str, order: Order, samples: pl.DataFrame, into: Path, where: str) -> None:
    """Write the score of each sample by a field of its raw row. Of a tree of messages, that is its first message's.

    Text counts as a number if it reads as one, as in CSV files. True and false do not.

    Args:
        raw_folder: a finished raw pool.
        column: name of the field, at the top of the rows.
        order: which numbers are picked first.
        samples: sample_id, file and file_row of the pool's samples.
        into: Parquet file to write: sample_id; score (float64, higher is picked first; null: see dropped); dropped.
        where: the key in the profile and the pool, for messages.

    Raises:
        PlatformError: no sample has a number in the field.
    """
    found: list[pl.DataFrame] = []
    names: dict[str, None] = {}
    with progress("scores of the rows", len(samples), "samples") as bar:
        for rows in _rows(raw_folder):
            wanted = rows.join(samples, on=_ROW, how="inner", maintain_order="left")
            records = [parse_row(text) for text in wanted["record"]]
            names.update(dict.fromkeys(name for record in records[:NAMES_SHOWN] for name in record))
            numbers = [_number(record.get(column)) for record in records]
            found.append(_scores(wanted["sample_id"].to_list(), numbers, order))
            bar.advance(len(records))
    scores = pl.concat(found) if found else pl.DataFrame(schema=_SCHEMA)
    if scores["score"].null_count() == len(scores):
        known = [escape_surrogates(name) for name in names]
        said = "; ".join(
            f"{count:,}: {reason}" for reason, count in scores["dropped"].value_counts(sort=True).iter_rows()
        )
        # Where the field is there, no other name was meant.
        hint = "" if column in known else did_you_mean(column, known)
        raise PlatformError(f"{where}: no sample has a number in the field {column!r} ({said}){hint}")
    _write(samples, scores, MISSING, into)


def check_field(column: str, fields: Collection[str], where: str) -> None:
    """Check that a field of scores is among those of the rows.

    Args:
        column: its name.
        fields: all fields that some row has.
        where: the key in the profile and the pool, for messages.

    Raises:
        PlatformError: no row has it.
    """
    if column not in fields:
        hint = did_you_mean(column, map(escape_surrogates, fields))
        raise PlatformError(f"{where}: no row has the field {column!r}{hint}")


def score_by_file(
    path: Path, order: Order, samples: pl.DataFrame, raw_folder: Path, into: Path, where: str
) -> FileReport:
    """Write the score of each sample by a file, as `score_by_column` writes them.

    Args:
        path: Parquet with `score`, a number, and either `sample_id` or `row_hash`: the SHA-256 in hex of the text of a
            row as it stands in a JSON or JSON Lines file, without the line's end.
        order: which numbers are picked first.
        samples: sample_id, file and file_row of the pool's samples.
        raw_folder: a finished raw pool, for `row_hash`.
        into: Parquet file to write.
        where: the key in the profile and the pool, for messages.

    Raises:
        PlatformError: the file is missing or is no such file, says two things of one id, or has none of the pool's ids.
    """
    given, key = _read(path, where)
    distinct = given.unique(maintain_order=True)
    twice = distinct.filter(distinct[key].is_duplicated())
    if len(twice):
        first = twice[key][0]
        numbers = ", ".join(map(str, twice.filter(pl.col(key) == first)["score"].to_list()))
        raise PlatformError(f"{where}: {path} has several numbers for {key} {first!r} ({numbers}); leave one of them")
    by_id = distinct if key == "sample_id" else _by_row_hash(distinct, samples, raw_folder)
    known = by_id.join(samples, on="sample_id", how="semi", maintain_order="left")
    if known.is_empty():
        raise PlatformError(
            f"{where}: {path} has none of the pool's samples: its first {key} is {given[key][0]!r}, and the pool's "
            f'first sample_id is {samples["sample_id"][0]!r}; `selection-platform sql "FROM pools.samples"` lists all'
        )
    numbers = [_number(value) if value is not None else (None, EMPTY) for value in known["score"]]
    if all(score is None for score, _ in numbers):
        raise PlatformError(f"{where}: {path} has no finite number for any of the pool's samples; look at its `score`")
    _write(samples, _scores(known["sample_id"].to_list(), numbers, order), NOT_IN_FILE, into)
    return FileReport(len(given), len(distinct) - known[key].n_unique(), len(given) - len(distinct))


def file_state(path: Path | None) -> str | None:
    """SHA-256 of a file of scores; None if there is none."""
    return None if path is None or not path.is_file() else cached_hash(path)


def _number(value: Any) -> tuple[float | None, str | None]:
    """A value as a number, or the reason why it is none."""
    if value is None or value == "":
        return None, MISSING
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None, NOT_A_NUMBER
    try:
        number = float(value)
    except ValueError:
        return None, NOT_A_NUMBER
    except OverflowError:
        return None, NOT_FINITE
    return (number, None) if math.isfinite(number) else (None, NOT_FINITE)


def _scores(ids: list[str], numbers: list[tuple[float | None, str | None]], order: Order) -> pl.DataFrame:
    values = [number for number, _ in numbers]
    # 0.0 - 0.0 is 0.0, and not -0.0, as -(0.0) would be.
    scores = values if order == "descending" else [None if value is None else 0.0 - value for value in values]
    return pl.DataFrame({"sample_id": ids, "score": scores, "dropped": [reason for _, reason in numbers]}, _SCHEMA)


def _write(samples: pl.DataFrame, scores: pl.DataFrame, otherwise: str, into: Path) -> None:
    """Write a row for each sample, in the order of ids; those without a row in `scores` get the reason `otherwise`."""
    rows = samples.select("sample_id").join(scores, on="sample_id", how="left", maintain_order="left")
    dropped = pl.when(pl.col("score").is_null()).then(pl.col("dropped").fill_null(otherwise))
    with whole_file(into) as temporary:
        rows.with_columns(dropped.alias("dropped")).write_parquet(temporary)


def _rows(raw_folder: Path) -> Iterator[pl.DataFrame]:
    """The raw rows, in batches: file, file_row, record.

    Raises:
        ChangedFile: the folder's files are not what was written.
    """
    check_files(raw_folder)
    for path in shard_paths(raw_folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_BATCH):
                rows = pl.DataFrame(pl.from_arrow(batch))
                yield rows.rename({"row": "file_row"})


def _read(path: Path, where: str) -> tuple[pl.DataFrame, str]:
    """The file's ids and numbers, and the name of the column of ids."""
    if not path.is_file():
        raise PlatformError(f"{where}: there is no file {path}; correct the path")
    try:
        schema = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise PlatformError(f"{where}: {path} is not a readable Parquet file ({error}); write it again") from error
    keys = [name for name in ("sample_id", "row_hash") if name in schema]
    if len(keys) != 1 or "score" not in schema:
        names = ", ".join(list(map(escape_surrogates, schema))[:NAMES_SHOWN])
        raise PlatformError(
            f"{where}: {path} needs the columns score and either sample_id or row_hash, and has {names}; rename them"
        )
    (key,) = keys
    wrong = (
        {key: "text"} if schema[key] != pl.String else {"score": "numbers"} if not schema["score"].is_numeric() else {}
    )
    for name, kind in wrong.items():
        raise PlatformError(f"{where}: {path}: {name} holds {schema[name]}, and must hold {kind}; write it so")
    given = pl.read_parquet(path, columns=[key, "score"]).with_columns(pl.col("score").cast(pl.Float64))
    if given.is_empty():
        raise PlatformError(f"{where}: {path} has no rows; write it again")
    empty = given[key].is_null()
    if empty.any():
        row = empty.arg_true()[0] + 1
        raise PlatformError(f"{where}: {path}, row {row:,}: {key} is empty ({empty.sum():,} such rows); fill it in")
    return given, key


def _by_row_hash(given: pl.DataFrame, samples: pl.DataFrame, raw_folder: Path) -> pl.DataFrame:
    """The numbers of the pool's samples, with the column `sample_id` beside `row_hash`."""
    found = [
        wanted.select(
            "sample_id",
            pl.Series("row_hash", [hashlib.sha256(text.encode()).hexdigest() for text in wanted["record"]], pl.String),
        )
        for rows in _rows(raw_folder)
        if not (wanted := rows.join(samples, on=_ROW, how="inner", maintain_order="left")).is_empty()
    ]
    hashes = pl.concat(found) if found else pl.DataFrame(schema={"sample_id": pl.String, "row_hash": pl.String})
    return hashes.join(given, on="row_hash", how="inner", maintain_order="left")
