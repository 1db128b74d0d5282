"""The settings of an arm: its seeds, whether it is trained, and whose scores it selects by."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PrivateAttr, Tag, ValidationInfo, model_validator

from selection_platform.configuration.base import FOLDER, LIST, PART, Settings
from selection_platform.configuration.settings import Seed


class StatedCost(Settings):
    """What scores that were computed elsewhere cost there, for each pool. The cost ledger adds it to the arm."""

    gpu_seconds: float = Field(default=0.0, ge=0, description="Seconds by the clock on a GPU.")
    cpu_seconds: float = Field(default=0.0, ge=0, description="Seconds of CPU time, over all cores.")


class SeedRange(Settings):
    """The seeds 0 to `max` - 1, of which all but the `first` are made only where a plan says so."""

    first: int = Field(
        default=3, gt=0, description="Seeds that are made in any case: each comparison is looked at when they are made."
    )
    max: int = Field(
        gt=0,
        le=1000,
        description="All seeds that there may be. `run --until-settled` makes as many as a verdict needs. Choose it "
        "before the runs: the verdict's error rate is for this number.",
    )

    @model_validator(mode="after")
    def _rising(self) -> "SeedRange":
        if self.first > self.max:
            raise ValueError(f"first {self.first} is above max {self.max}; lower `first`, or raise `max`")
        return self


def _kind_of_seeds(given: Any) -> str:
    return PART if isinstance(given, dict | SeedRange) else LIST


Seeds = Annotated[
    Annotated[tuple[Seed, ...], Field(min_length=1), Tag(LIST)] | Annotated[SeedRange, Tag(PART)],
    Discriminator(_kind_of_seeds),
]


class ArmSettings(Settings):
    """One arm of the experiment: a method, or scores of your own under a name of your choice."""

    seeds: Seeds = Field(
        default=(0,),
        description="One experiment per seed. The seed decides the draw, if the method draws, and the training. With "
        "`{max: 10}` instead of a list, seeds are added until the verdict is settled.",
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
        if len(set(self.all_seeds)) != len(self.all_seeds):
            raise ValueError("seeds: must differ from each other")
        if self.column is not None and self.scores is not None:
            raise ValueError("column and scores: each gives all scores of the arm; leave out one of the two")
        if self.own_summary is None:
            for name in sorted(self.model_fields_set & {"order", "cost"}):
                raise ValueError(f"{name}: is for arms with `column` or `scores`; add one of them, or leave it out")
        self._folder = Path((info.context or {}).get(FOLDER) or "")
        return self

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Every seed that there may be."""
        return tuple(range(self.seeds.max)) if isinstance(self.seeds, SeedRange) else self.seeds

    @property
    def first_seeds(self) -> tuple[int, ...]:
        """The seeds that are made in any case; the others only where a plan says so."""
        return self.all_seeds[: self.seeds.first] if isinstance(self.seeds, SeedRange) else self.seeds

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
