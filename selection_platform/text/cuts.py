"""The names of the rules of `cutting`, for settings: importable without numpy."""

from typing import Literal

TrainingCut = Literal["shared", "tail"]
ScoringCut = Literal["prompt_start", "answer_end"]
