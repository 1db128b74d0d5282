"""The settings of target sets: examples of what a model is to do well, which targeted methods select for."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from selection_platform.configuration.base import Settings
from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.configuration.settings import Seed, did_you_mean
from selection_platform.evaluation.worked_examples import WORKED_EXAMPLES
from selection_platform.experiments.methods import DEFAULT_TARGETS, METHODS, name_for_targets

_NAME = re.compile("[a-z0-9][a-z0-9_-]*")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of targets: use lower-case letters, digits and _ - only")
    if any(name_for_targets(method, name) in METHODS for method in METHODS if name != DEFAULT_TARGETS):
        raise ValueError(f"{name!r} is the name of a variant of a method; name the targets otherwise")
    return name


TargetName = Annotated[str, AfterValidator(_check_name)]
"""It becomes the end of methods' names."""


def check_worked_examples(names: Iterable[Any]) -> None:
    """Raise ValueError unless these are benchmarks with worked examples, each named once."""
    given = list(names)
    for name in given:
        if name not in WORKED_EXAMPLES:
            raise ValueError(f"no worked examples ship for {name!r}{did_you_mean(str(name), WORKED_EXAMPLES)}")
    if len(set(given)) != len(given):
        raise ValueError("must differ from each other")


class TargetSettings(Settings):
    """One target set. Name exactly one of examples, benchmarks and pool_samples."""

    examples: PoolSettings | None = Field(
        default=None,
        description="Examples of your own, with the settings of a pool: `{source: {files: wanted.jsonl}}`.",
    )
    benchmarks: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="The worked examples that ship with these benchmarks, a group for each subtask: gsm8k, bbh, mmlu.",
    )
    pool_samples: int | None = Field(
        default=None, gt=0, description="So many samples of the pool itself, drawn at random, as the paper ran LESS."
    )
    seed: Seed = Field(default=0, description="With `pool_samples`: seed of the draw.")

    @field_validator("benchmarks")
    @classmethod
    def _known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        check_worked_examples(names or ())
        return names

    @model_validator(mode="after")
    def _consistent(self) -> "TargetSettings":
        origins = self.examples, self.benchmarks, self.pool_samples
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("name exactly one of examples, benchmarks and pool_samples")
        if self.pool_samples is None and "seed" in self.model_fields_set:
            raise ValueError("seed: belongs to pool_samples; leave it out")
        if self.examples is not None:
            if self.examples.held_out or self.examples.base_model:
                raise ValueError("examples: held_out and base_model set rows of a pool aside; leave them out")
            if not self.examples.decontaminate:
                raise ValueError("examples: targets must not overlap the benchmarks; leave decontaminate out")
        return self


def named_sets(given: Any) -> Any:
    """Target sets by name, also where a profile names just one: `pool`, or a list of benchmarks."""
    if given == "pool":
        return {DEFAULT_TARGETS: {"pool_samples": 1000}}
    return {DEFAULT_TARGETS: {"benchmarks": given}} if isinstance(given, list | tuple) else given


def with_arms_of_targets(profile: Any) -> Any:
    """A profile as it was read, in which each arm that selects for targets stands once for each target set."""
    if not isinstance(profile, dict):
        return profile
    sets, arms, study = (named_sets(profile.get(name)) for name in ("targets", "arms", "pool_size_study"))
    if not isinstance(sets, dict) or not isinstance(arms, dict):
        return profile

    def for_sets(arm: Any) -> list[Any]:
        known = METHODS.get(arm) if isinstance(arm, str) else None
        return [name_for_targets(arm, str(name)) for name in sets] if known and known.targeted else [arm]

    made = {
        name: settings for arm, settings in arms.items() for name in for_sets(arm) if name == arm or name not in arms
    }
    found = {**profile, "arms": made}
    if isinstance(study, dict) and isinstance(study.get("arms"), list | tuple):
        of_study = dict.fromkeys(name for arm in study["arms"] for name in for_sets(arm))
        found["pool_size_study"] = {**study, "arms": list(of_study)}
    return found
