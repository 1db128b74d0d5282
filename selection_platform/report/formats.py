"""The forms that a selection is written in. Importable without a data frame library: the command line lists them."""

from typing import Literal, get_args

PlainFormat = Literal["jsonl", "parquet", "dataset"]
TrainerFormat = Literal["llamafactory", "axolotl", "trl"]
Format = PlainFormat | TrainerFormat

PLAIN: tuple[PlainFormat, ...] = get_args(PlainFormat)
"""Data, for whoever reads it."""
TRAINERS: tuple[TrainerFormat, ...] = get_args(TrainerFormat)
"""Data and configuration of a trainer."""
FILES: dict[Format, str] = {
    "jsonl": "train.jsonl",
    "parquet": "train.parquet",
    **{name: name for name in ("dataset", *TRAINERS)},
}
"""What each writes: a file, or a folder."""
