"""The settings of an arm: its seeds, whether it is trained, and whose scores it selects by."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from selection_platform.configuration.base import FOLDER, Settings
from selection_platform.configuration.settings import Seed


class StatedCost(Settings):
    """What scores that were computed elsewhere cost there, for each pool. The cost ledger adds it to the arm."""

    gpu_seconds: float = Field(default=0.0, ge=0, description="Seconds by the clock on a GPU.")
    cpu_seconds: float = Field(default=0.0, ge=0, description="Seconds of CPU time, over all cores.")


class ArmSettings(Settings):
    """One arm of the experiment: a method, or scores of your own under a name of your choice."""

    seeds: tuple[Seed, ...] = Field(
        default=(0,),
        min_length=1,
        description="One experiment per seed. The seed decides the draw, if the method draws, and the training.",
    )
    train: bool = Field(default=True, description="Whether to fine-tune and evaluate, or only to select.")
    column: str | None = Field(
        default=None, min_length=1, description="Select by a number in this field of the pools' raw rows."
    )
    scores: str | None = Field(
        default=None,
        description="Select by the numbers in this Parquet file: columns `sample_id` or `row_hash`, and `score`. A "
        "relative path starts from the profile's folder.",
    )
    order: Literal["descending", "ascending"] = Field(
        default="descending",
        description="With `column` or `scores`: whether the highest number is picked first, or the lowest.",
    )
    cost: StatedCost | None = Field(
        default=None, description="With `column` or `scores`: what the numbers cost, where you know it."
    )

    # Kept beside `scores`, which stays as written: a profile that was moved with its file is the same profile.
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, given: Any) -> Any:
        """A key without a value is an arm with the defaults."""
        return {} if given is None else given

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> "ArmSettings":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: must differ from each other")
        if self.column is not None and self.scores is not None:
            raise ValueError("column and scores: each gives all scores of the arm; leave out one of the two")
        if self.own_summary is None:
            for name in sorted(self.model_fields_set & {"order", "cost"}):
                raise ValueError(f"{name}: is for arms with `column` or `scores`; add one of them, or leave it out")
        self._folder = Path((info.context or {}).get(FOLDER) or "")
        return self

    @property
    def own_summary(self) -> str | None:
        """What an arm with scores of the user's own picks, in one line; None for a method of the platform."""
        which = "highest" if self.order == "descending" else "lowest"
        if self.column is not None:
            return f"the {which} by the field `{self.column}` of the raw rows"
        return None if self.scores is None else f"the {which} by the numbers in {Path(self.scores).name}"

    @property
    def scores_file(self) -> Path | None:
        """The file that `scores` names."""
        return None if self.scores is None else self._folder / Path(self.scores).expanduser()
