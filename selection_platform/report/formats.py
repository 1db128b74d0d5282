"""The formats of an export. This module imports no data frame library, because `--help` lists them."""

from typing import Literal, get_args

PlainFormat = Literal["jsonl", "parquet", "dataset"]
TrainerFormat = Literal["llamafactory", "axolotl", "trl"]
Format = PlainFormat | TrainerFormat

PLAIN: tuple[PlainFormat, ...] = get_args(PlainFormat)
"""Data formats."""
TRAINERS: tuple[TrainerFormat, ...] = get_args(TrainerFormat)
"""Trainers: data and configuration."""
FILES: dict[Format, str] = {
    "jsonl": "train.jsonl",
    "parquet": "train.parquet",
    **{name: name for name in ("dataset", *TRAINERS)},
}
"""The file or folder of each format."""
