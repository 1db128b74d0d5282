"""A selection as files that a training framework reads, with a card that says what it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file
from selection_platform.report.formats import FILES, PLAIN, TRAINERS, Format, TrainerFormat
from selection_platform.text.printable import markdown_text

if TYPE_CHECKING:
    from selection_platform.report.trainers import Training, Written

CARD = "README.md"
MARK = "<!-- Written by selection-platform, which writes over it again. -->"
"""Last line of a card: what lies beside it may be written over."""

DOCUMENT = "docs/elsewhere.md of selection-platform says how to train with it, and how to have the result judged."
SECTIONS = {"source": "Sources", "licence": "Licences"}


def export_selection(
    rows: pl.DataFrame,
    facts: dict[str, Any],
    folder: Path,
    formats: Sequence[Format],
    training: "Training | None" = None,
) -> list[Path]:
    """Write the selected conversations and their data card.

    Args:
        rows: columns `position`, `sample_id`, `source`, `licence`, `messages` (list of `{role, content}`), `file` and
            `file_row` (where it stands in the source), best first;
            where answers of some are not trained on, also `untrained` (their places in `messages`, from 0).
        facts: what the card's table says: name and value.
        folder: where the files go; made if missing.
        formats: "jsonl" (train.jsonl), "parquet" (train.parquet), "dataset" (a folder that
            `datasets.load_from_disk` reads); for a trainer a folder of its name.
        training: how a model would be trained on them; the formats of trainers need it.

    Returns:
        What was written, the card (README.md) last.
    """
    writers = {"jsonl": _write_jsonl, "parquet": _write_parquet, "dataset": _write_dataset}
    written = [writers[name](rows, folder) for name in formats if name in PLAIN]
    trainers = _write_for_trainers(rows, folder, [name for name in TRAINERS if name in formats], training)
    written += [file for each in trainers for file in each.files]
    card = folder / CARD
    with whole_file(card) as temporary:
        temporary.write_text(data_card(rows, facts, trainers), encoding="utf-8")
    return [*written, card]


def _write_for_trainers(
    rows: pl.DataFrame, folder: Path, trainers: Sequence[TrainerFormat], training: "Training | None"
) -> "list[Written]":
    if not trainers:
        return []
    from selection_platform.report.trainers import write_for_trainer

    assert training is not None
    return [write_for_trainer(name, rows, training, folder / FILES[name]) for name in trainers]


def data_card(rows: pl.DataFrame, facts: dict[str, Any], trainers: "Sequence[Written]" = ()) -> str:
    """The data card, in Markdown."""
    masked = "untrained" in rows.columns
    lines = [
        f"# {facts['experiment']}",
        "",
        f"{rows.height:,} conversations, in the order in which the method ranks them.",
        "Columns: `position`, `sample_id`, `source`, `licence`, `messages` (list of `role` and `content`), `file` and "
        "`file_row` (where it stands in the source)"
        + (", `untrained` (places in `messages`, from 0, of answers to leave out of the loss)." if masked else "."),
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {markdown_text(value)} |" for name, value in facts.items() if value is not None),
    ]
    for column, title in SECTIONS.items():
        counts = rows.group_by(column).len("rows").sort(["rows", column], descending=[True, False])
        lines += ["", f"## {title}", "", f"| {column} | rows |", "|---|---:|"]
        lines += [f"| {markdown_text(name or 'not stated')} | {count:,} |" for name, count in counts.iter_rows()]
    if trainers:
        lines += ["", "## For trainers", "", f"Text that is rendered already, in pieces. {DOCUMENT}", ""]
        lines += [f"- `{FILES[each.trainer]}`: {each.note}" for each in trainers]
    if rows["licence"].null_count():
        lines += ["", "No licence is stated for some rows: find out what you may do with them before you use them."]
    return "\n".join([*lines, "", MARK]) + "\n"


def check_place(folder: Path, formats: Sequence[Format]) -> None:
    """Check that an export would write over nothing but an earlier one.

    Raises:
        PlatformError: a file that is in its way is somebody else's.
    """
    card = folder / CARD
    if card.exists() and MARK.encode() in card.read_bytes():
        return
    for path in (card, *(folder / FILES[name] for name in formats)):
        if path.exists():
            raise PlatformError(f"--to: {path} was not written by an export, and is left as it is; name another folder")


def _write_jsonl(rows: pl.DataFrame, folder: Path) -> Path:
    path = folder / FILES["jsonl"]
    with whole_file(path) as temporary:
        rows.write_ndjson(temporary)
    return path


def _write_parquet(rows: pl.DataFrame, folder: Path) -> Path:
    path = folder / FILES["parquet"]
    with whole_file(path) as temporary:
        rows.write_parquet(temporary)
    return path


def _write_dataset(rows: pl.DataFrame, folder: Path) -> Path:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    path = folder / FILES["dataset"]
    Dataset.from_polars(rows).save_to_disk(path)
    return path
