"""The first half of building a pool: each shard of raw rows is read separately, without looking at other rows.

A candidate is a conversation that passed every filter on a single row. The other rows are counted by reason.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.job.folder import whole_file
from selection_platform.pools.bad_rows import BadRow, BadRowTally
from selection_platform.pools.contamination import ContaminationFilter
from selection_platform.pools.filters import (
    count_characters,
    count_turns,
    field_reason,
    language_reason,
    shape_reason,
)
from selection_platform.pools.forms.conversation import read_conversation
from selection_platform.pools.forms.parsing import parse_row
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.texts import text_of
from selection_platform.pools.shards import ROWS_PER_BATCH, write_table
from selection_platform.pools.splits import split_of
from selection_platform.text.conversation import Message, sample_id, untrained_places

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
POOL_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("messages", MESSAGES),
        ("turns", pa.int32()),
        ("characters", pa.int64()),
        ("split", pa.string()),
        ("untrained", pa.list_(pa.int32())),
        ("file", pa.string()),
        ("file_row", pa.int64()),
    ]
)

CONTAMINATED = "shares 13 words in a row with a benchmark item"
SYSTEM_LEFT_OUT = "system message left out"


@dataclass
class ShardReport:
    """What happened to the rows of one shard.

    Attributes:
        rows: raw rows.
        dropped: rows that are not candidates, by reason.
        examples: the message of the first bad row, by reason.
        trimmed: parts that candidates lost, with the positions of these candidates in their file.
        ignored: fields that were not read.
    """

    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    trimmed: dict[str, list[int]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shard:
    """A shard of raw rows, and the files for its candidates."""

    raw: Path
    candidates: Path

    @property
    def report(self) -> Path:
        """The report. It is written last: if it exists, the shard is done."""
        return self.candidates.with_suffix(".json")


class CandidateReader:
    """Reads shards of raw rows. Each process has one."""

    def __init__(self, settings: PoolSettings, reading: Reading, benchmark_texts: Sequence[str]) -> None:
        self._settings = settings
        self._reading = reading
        self._contamination = ContaminationFilter(benchmark_texts)

    def __call__(self, shard: Shard) -> ShardReport | BadRow:
        """Write the candidates of a shard, or return the first bad row if the settings say stop."""
        if shard.report.exists():
            return read_shard_report(shard)
        try:
            report, table = self._read(shard.raw)
        except BadRow as bad_row:
            # Returned, not raised: the caller raises that of the first shard.
            return bad_row
        # The file is read once and then removed, so speed matters more than size.
        write_table(table, shard.candidates, "snappy")
        with whole_file(shard.report) as temporary:
            temporary.write_text(json.dumps(vars(report)))
        return report

    def read_one(self, file: str, row: int, text: str) -> tuple[str | None, str | None]:
        """Why a raw row is no candidate, or the sample id of the candidate that it is.

        Raises:
            BadRow: it cannot be read and the settings say stop.
        """
        rows = _Columns()
        reason = self._take(file, row, text, rows, BadRowTally(self._settings.on_bad_row), ShardReport())
        return reason, next(iter(rows.table()["sample_id"].to_pylist()), None)

    def _read(self, path: Path) -> tuple[ShardReport, pa.Table]:
        report, tally, rows = ShardReport(), BadRowTally(self._settings.on_bad_row), _Columns()
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_BATCH):
                columns = (batch.column(name).to_pylist() for name in ("file", "row", "record"))
                for name, row, text in zip(*columns, strict=True):
                    reason = self._take(name, row, text, rows, tally, report)
                    report.rows += 1
                    if reason is not None:
                        report.dropped[reason] += 1
        report.examples = tally.examples
        return report, rows.table()

    def _take(
        self, name: str, row: int, text: str, rows: "_Columns", tally: BadRowTally, report: ShardReport
    ) -> str | None:
        """Keep a raw row, or say why not."""
        try:
            record = parse_row(text)
            return field_reason(record, self._settings) or self._take_record(name, row, record, rows, report)
        except BadRow as bad_row:
            tally.meet(bad_row.at(name, row))
            return bad_row.reason

    def _take_record(
        self, file: str, row: int, record: dict[str, object], rows: "_Columns", report: ShardReport
    ) -> str | None:
        conversation = read_conversation(record, self._reading, self._settings)
        if conversation.dropped is not None:
            return conversation.dropped
        report.ignored += conversation.ignored.difference(report.ignored)
        source, licence = _origin(record, file, self._settings)
        messages, trimmed = conversation.messages, conversation.trimmed
        if self._settings.system == "drop_message" and messages[0].role == "system":
            messages, trimmed = messages[1:], (*trimmed, SYSTEM_LEFT_OUT)
        reason = self._reason_to_drop(messages)
        if reason is None:
            for part in trimmed:
                report.trimmed.setdefault(part, []).append(len(rows))
            rows.add(messages, source, licence, split_of(messages, self._settings), file, row)
        return reason

    def _reason_to_drop(self, messages: tuple[Message, ...]) -> str | None:
        # Cheap checks first.
        reason = shape_reason(messages, self._settings) or language_reason(messages, self._settings.language)
        if reason is None and self._contamination.overlaps(messages):
            reason = CONTAMINATED
        return reason


def read_shard_report(shard: Shard) -> ShardReport:
    """The report of a shard that is done."""
    report = json.loads(shard.report.read_text())
    return ShardReport(**{**report, "dropped": Counter(report["dropped"])})


class _Columns:
    """The candidates of a shard, by column: a million dictionaries would take longer to turn into a table."""

    def __init__(self) -> None:
        self._columns: dict[str, list[object]] = {name: [] for name in POOL_SCHEMA.names if name != "messages"}
        self._roles: list[str] = []
        self._contents: list[str] = []
        self._ends = [0]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(
        self, messages: Sequence[Message], source: str, licence: str | None, split: str, file: str, row: int
    ) -> None:
        """Add a conversation."""
        values = (
            sample_id(messages), source, licence, count_turns(messages), count_characters(messages), split,
            untrained_places(messages), file, row,
        )  # fmt: skip
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        for message in messages:
            self._roles.append(message.role)
            self._contents.append(message.content)
        self._ends.append(len(self._roles))

    def table(self) -> pa.Table:
        """All candidates, with `POOL_SCHEMA`."""
        fields = [pa.array(self._roles, pa.string()), pa.array(self._contents, pa.string())]
        items = pa.StructArray.from_arrays(fields, fields=list(MESSAGES.value_type))
        messages = pa.ListArray.from_arrays(pa.array(self._ends, pa.int32()), items)
        return pa.table({**self._columns, "messages": messages}, POOL_SCHEMA)


def _origin(record: dict[str, object], file: str, settings: PoolSettings) -> tuple[str, str | None]:
    """Source and licence of a row."""
    if settings.source.package is not None:
        licence = record["licence"]
        return str(record["source"]), None if licence is None else str(licence)
    column = settings.source_column
    if column is None:
        return settings.source.hub or file.rsplit("/", 1)[-1], settings.licence
    if column not in record:
        raise BadRow("a field is missing", column, "is missing", "name another `source_column`")
    value = record[column]
    return ("not stated" if value is None else text_of(str(value), column)), settings.licence
