"""What rows a materialization wrote, so that it can be checked later that they are still there.

A data version says less: many do not count all columns or tables, and some are hashes of a job's files.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import dagster as dg

from resources.replacement import Replacement, Written
from resources.warehouse import Warehouse, table_columns
from selection_platform.experiments.methods import METHODS
from selection_platform.job.folder import file_hash

ROWS, FILES = "rows written", "files written"


class Content(NamedTuple):
    """Rows of one partition of a table.

    Attributes:
        table: name with schema.
        partition: the columns and values that name the partition; none for a whole table.
        columns: the columns that count, as in a SELECT: a later version of the platform may add some.
    """

    table: str
    partition: Mapping[str, Any]
    columns: str

    @classmethod
    def of(cls, replacement: Replacement) -> Self:
        """What was replaced, with all columns that its table has now."""
        known, table = table_columns(), replacement.table
        if table not in known and table.startswith("scores."):
            # One of a profile's own: all tables of scores have the same columns.
            table = METHODS["random"].table
        columns = known[table]
        return cls(replacement.table, replacement.partition, ", ".join(f'"{name}"' for name in columns))

    def __str__(self) -> str:
        """Table and partition."""
        named = ", ".join(f"{column} {value}" for column, value in self.partition.items() if value is not None)
        return f"table {self.table}{f' ({named})' if named else ''}"

    def version(self, warehouse: Warehouse) -> str:
        """Identity of the rows, as they are now."""
        return warehouse.content_hash(self.table, self.partition, self.columns)


def what_was_written(warehouse: Warehouse | None, written: Written) -> dict[str, dg.MetadataValue]:
    """Metadata of a materialization: the rows that it wrote with their versions, and their files with hashes."""
    if warehouse is None or not written.replacements:
        return {}
    found = {str(content): content for content in map(Content.of, written.replacements)}
    rows = [{**content._asdict(), "version": content.version(warehouse)} for content in found.values()]
    # What the same run replaced once more is gone.
    files = {str(file.relative_to(warehouse.tables)): file_hash(file) for file in written.files if file.exists()}
    return {ROWS: dg.MetadataValue.json(rows), FILES: dg.MetadataValue.json(files)}


def recorded_rows(metadata: Mapping[str, Any]) -> list[tuple[Content, str]]:
    """What rows a materialization wrote, with their versions then; nothing of one by an earlier version."""
    return [
        (Content(each["table"], each["partition"], each["columns"]), each["version"]) for each in metadata.get(ROWS, [])
    ]


def recorded_files(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The files that a materialization wrote to the warehouse, by their paths among the tables, with their hashes."""
    return metadata.get(FILES, {})
