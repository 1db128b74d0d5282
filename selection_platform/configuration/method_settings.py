"""The parts of a profile that say how methods score. Defaults are those of arXiv 2410.09335, where they are known."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from selection_platform.configuration.base import SPEED, Later, Settings
from selection_platform.configuration.encoder_settings import EncoderSettings
from selection_platform.configuration.settings import FineTuningSettings, LoraSettings, Seed
from selection_platform.configuration.target_settings import (
    TargetName,
    TargetSettings,
    check_worked_examples,
    named_sets,
    with_arms_of_targets,
)
from selection_platform.experiments.methods import DEFAULT_TARGETS


class ZipScheduleSettings(Settings):
    """The three stages of ZIP (paper: K1, K2, K3)."""

    k1: int = Field(default=10_000, gt=0, description="Samples per round whose compression ratio is computed again.")
    k2: int = Field(default=200, gt=0, description="Samples per round that are shortlisted from those k1.")
    k3: int = Field(default=100, gt=0, description="Samples per round that are picked from the shortlist.")

    @model_validator(mode="after")
    def _narrowing(self) -> "ZipScheduleSettings":
        if not self.k1 >= self.k2 >= self.k3:
            raise ValueError(
                f"k1 {self.k1}, k2 {self.k2} and k3 {self.k3} must not rise: each stage takes from the one before; "
                "set all three"
            )
        return self


PUBLISHED_LESS_WEIGHTS = (1.6854e-05, 1.4868e-05, 1.2483e-05, 9.9999e-06)
"""Weights of the warm-up's checkpoints in the paper's scripts. They do not fit the scripts' own learning rates."""


class KMeansSettings(Settings):
    """The clusters of `km_*` and `coverage_*`. The paper does not say how many it used."""

    clusters: int = Field(default=1000, gt=0, description="k-means clusters of the pool's samples.")
    seed: Seed = Field(default=0, description="Seed of the initial centres.")
    vectors: Annotated[Literal["base_model", "encoder"], Later("base_model")] = Field(
        default="base_model",
        description="What is clustered. `base_model`: means of the base model's last hidden state. `encoder`: the "
        "vectors of the sentence encoder, which need no pass of the base model.",
    )


class CoverageSettings(Settings):
    """What `coverage_*` maximises. The defaults are MIG's (arXiv 2504.13835)."""

    power: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Each cluster counts as the sum of its picks' ranks to this power. The lower it is, the more "
        "clusters are picked from.",
    )
    similarity: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Lowest cosine of two clusters' centres at which a pick of one counts for the other too.",
    )


class FacilityLocationSettings(Settings):
    """What `facility_location` covers."""

    covered_samples: int = Field(
        default=20_000,
        gt=0,
        description="Samples that the picks must be near to. Of a larger pool, these are the ones with the lowest ids, "
        "a random part as ids are hashes; every sample can be picked. Time grows with them.",
    )


class WarmUpLoraSettings(LoraSettings):
    """The adapter of LESS's warm-up. The defaults are LESS's (arXiv 2402.04333), and so the paper's."""

    rank: int = Field(default=128, gt=0, description="Rank of the adapters.")
    alpha: int = Field(default=512, gt=0, description="The adapters are scaled by alpha / rank.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout on the adapters' input.")


class WarmUpSettings(FineTuningSettings):
    """The recipe of LESS's warm-up. Every default is LESS's, so a profile names only what differs."""

    epochs: int = Field(default=4, gt=0, description="Passes over the warm-up's samples. Each saves a checkpoint.")
    learning_rate: float = Field(default=2e-5, gt=0, description="Learning rate at its peak.")
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = Field(
        default="linear", description="How the learning rate falls after the warm-up."
    )
    warmup_ratio: float = Field(
        default=0.03, ge=0, lt=1, description="Share of the steps in which the learning rate rises from 0."
    )
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's weight decay, for all but biases and norms.")
    # Narrower types than the parent's: pyright does not know that pydantic freezes them.
    optimizer: Annotated[Literal["adamw"], Later("adamw")] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="adamw", description="An adapter is small enough for AdamW in float32."
    )
    lora: WarmUpLoraSettings = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=WarmUpLoraSettings(), description="The adapter, whose gradients are compared."
    )

    @field_validator("lora", mode="before")
    @classmethod
    def _no_full_training(cls, given: Any) -> Any:
        if given is None:
            raise ValueError("cannot be left empty: the gradients that are compared are those of an adapter")
        return given


class LessSettings(Settings):
    """LESS: the warm-up on a sample of the pool, and what the pool's gradients are compared with."""

    warmup_samples: int = Field(
        default=10_000, gt=0, description="Conversations drawn from the pool to train the warm-up on."
    )
    targets: Literal["pool"] | tuple[str, ...] = Field(
        default="pool",
        description="If the profile has no `targets`. `pool`: a random sample of the pool, as the paper ran it. Or a "
        "list of benchmarks, whose worked examples are the targets: a sample's score is its best over these groups, as "
        "in LESS.",
    )
    target_samples: int = Field(default=1000, gt=0, description="With `targets: pool`: how many samples to draw.")
    seed: Seed = Field(default=0, description="Seed of both draws and of the warm-up's training.")
    training: WarmUpSettings = Field(default=WarmUpSettings(), description="The warm-up's recipe.")
    tokens_per_batch: Annotated[int, SPEED] = Field(
        default=16_384, gt=0, description="Tokens per forward and backward pass, padding included."
    )

    def target_sets(self) -> dict[str, TargetSettings]:
        """The one target set that these settings name."""
        if self.targets == "pool":
            return {DEFAULT_TARGETS: TargetSettings(pool_samples=self.target_samples, seed=self.seed)}
        # The names were checked already.
        return {DEFAULT_TARGETS: TargetSettings.model_construct(benchmarks=self.targets)}

    @field_validator("targets", mode="before")
    @classmethod
    def _known_targets(cls, given: Any) -> Any:
        if given == "pool":
            return given
        # Checked before pydantic does: its message would explain both types.
        if not isinstance(given, list | tuple) or not given or not all(isinstance(name, str) for name in given):
            raise ValueError("write `pool`, or a list of benchmarks with worked examples, such as [gsm8k, mmlu]")
        check_worked_examples(given)
        return given


class PreExperienceSettings(Settings):
    """The model that `ifd.pre_experience` scores with: trained on middling prompts of every cluster."""

    clusters: int = Field(default=1000, gt=0, description="k-means clusters of the pool's prompts.")
    samples_per_cluster: int = Field(default=10, gt=0, description="Samples of each cluster to train on.")
    epochs: int = Field(
        default=1, gt=0, description="Passes over these samples. The rest of the recipe is that of `fine_tuning`."
    )
    seed: Seed = Field(default=0, description="Seed of the clusters and of the training.")


class SelectItSettings(Settings):
    """SelectIT: how ratings become a score."""

    level: Literal["token", "sentence", "model"] = Field(
        default="model",
        description="What rates: one prompt (token), five prompts (sentence), or five prompts and every model (model).",
    )
    alpha: float = Field(default=0.2, ge=0, description="Weight of the disagreement between prompts.")
    helpers: dict[str, tuple[str, ...]] = Field(
        default={}, description="For each base model, the models that rate beside it, weighted by their parameters."
    )

    @model_validator(mode="after")
    def _helpers_are_used(self) -> "SelectItSettings":
        if self.helpers and self.level != "model":
            raise ValueError(
                f"helpers: they rate only at level `model`, and the level is `{self.level}`; leave out one of the two"
            )
        return self


class DiverseEvolSettings(Settings):
    """DiverseEvol: a random start, then rounds of training on what is selected and adding what lies farthest."""

    initial_share: float = Field(default=0.1, gt=0, lt=1, description="Share of the budget that is drawn at random.")
    rounds: int = Field(
        default=3, gt=0, description="Rounds after the random start. They share the rest of the budget."
    )
    seed: Seed = Field(default=0, description="Seed of the random start and of the trainings.")


class MethodSettings(Settings):
    """The parts of a profile that belong to one method, or to several related ones. `Profile` inherits them."""

    zip: ZipScheduleSettings = Field(default=ZipScheduleSettings(), description="The stages of ZIP's search.")
    k_means: KMeansSettings = Field(default=KMeansSettings(), description="The clusters of `km_*` and `coverage_*`.")
    coverage: CoverageSettings = Field(
        default=CoverageSettings(), description="`coverage_*`: how picks cover the clusters."
    )
    encoder: EncoderSettings = Field(
        default=EncoderSettings(),
        description="The sentence encoder of `embedding`, `k_center` and `k_means: {vectors: encoder}`.",
    )
    facility_location: FacilityLocationSettings = Field(
        default=FacilityLocationSettings(), description="Facility location: what its picks are to cover."
    )
    less: LessSettings = Field(default=LessSettings(), description="LESS: its warm-up and its targets.")
    pre_experience: PreExperienceSettings = Field(
        default=PreExperienceSettings(), description="The model that `ifd.pre_experience` scores with."
    )
    selectit: SelectItSettings = Field(default=SelectItSettings(), description="SelectIT: which models rate, and how.")
    diverse_evol: DiverseEvolSettings = Field(
        default=DiverseEvolSettings(), description="DiverseEvol: its start and its rounds."
    )
    targets: dict[TargetName, TargetSettings] | None = Field(
        default=None,
        min_length=1,
        description="What targeted methods, such as `less`, select for, by names of your choice. Each of these arms "
        "stands once for each set, as `less.NAME`, and for a set called `default` as `less`. `pool` and a list of "
        "benchmarks are short for that one. What the settings of `less` say if left out.",
    )

    @model_validator(mode="before")
    @classmethod
    def _arms_of_targets(cls, given: Any) -> Any:
        return with_arms_of_targets(given)

    @field_validator("targets", mode="before")
    @classmethod
    def _named_targets(cls, given: Any) -> Any:
        return named_sets(given)

    @property
    def target_sets(self) -> dict[str, TargetSettings]:
        """What targeted methods select for, by name."""
        return self.less.target_sets() if self.targets is None else self.targets
