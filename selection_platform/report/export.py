"""Writes a selection as files for training frameworks, with a data card."""

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
"""Last line of a card: the files next to it may be overwritten."""

DOCUMENT = "docs/elsewhere.md of selection-platform says how to train with it, and how to compare the result."
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
            `file_row` (its place in the source), best first. If some answers are not trained on, also `untrained`
            (their indices in `messages`, from 0).
        facts: names and values of the card's table.
        folder: the folder to write to; created if missing.
        formats: "jsonl" (train.jsonl), "parquet" (train.parquet), "dataset" (a folder for
            `datasets.load_from_disk`); each trainer has a folder of its name.
        training: the training of a model on them, which the formats of trainers need.

    Returns:
        The written paths, with the card (README.md) last.
    """
    writers = {"jsonl": _write_jsonl, "parquet": _write_parquet, "dataset": _write_dataset}
    written = [writers[name](rows, folder) for name in formats if name in PLAIN]
    trainers = _write_for_trainers(rows, folder, [name for name in TRAINERS if name in formats], training)
    written += [file for trainer in trainers for file in trainer.files]
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
        f"{rows.height:,} conversations, in the method's order.",
        "Columns: `position`, `sample_id`, `source`, `licence`, `messages` (list of `role` and `content`), `file` and "
        "`file_row` (its place in the source)"
        + (", `untrained` (indices in `messages`, from 0, of answers to leave out of the loss)." if masked else "."),
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
        lines += ["", "## For trainers", "", f"Rendered text, in segments. {DOCUMENT}", ""]
        lines += [f"- `{FILES[trainer.trainer]}`: {trainer.note}" for trainer in trainers]
    if rows["licence"].null_count():
        lines += ["", "Some rows have no stated licence: find out what you may do with them before you use them."]
    return "\n".join([*lines, "", MARK]) + "\n"


def check_place(folder: Path, formats: Sequence[Format]) -> None:
    """Check that an export would overwrite nothing except an earlier export.

    Raises:
        PlatformError: it would overwrite another file.
    """
    card = folder / CARD
    if card.exists() and MARK.encode() in card.read_bytes():
        return
    for path in (card, *(folder / FILES[name] for name in formats)):
        if path.exists():
            raise PlatformError(f"--to: {path} was not written by an export; name another folder")


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
