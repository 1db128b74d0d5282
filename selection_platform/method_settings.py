"""The parts of a profile that say how methods score. Defaults are those of arXiv 2410.09335, where they are known."""

from typing import Literal

from pydantic import Field, model_validator

from selection_platform.settings import FineTuningSettings, LoraSettings, Settings


class ZipScheduleSettings(Settings):
    """The three stages of ZIP (paper: K1, K2, K3)."""

    k1: int = Field(default=10_000, gt=0)
    k2: int = Field(default=200, gt=0)
    k3: int = Field(default=100, gt=0)


PUBLISHED_LESS_WEIGHTS = (1.6854e-05, 1.4868e-05, 1.2483e-05, 9.9999e-06)
"""Of the warm-up's checkpoints, in the paper's scripts. They do not fit the learning rates of the same scripts."""


class KMeansSettings(Settings):
    """The clusters of `km_*`. The paper does not say how many it made."""

    clusters: int = Field(default=1000, gt=0)
    seed: int = 0


class LessSettings(Settings):
    """LESS: the warm-up on a sample of the pool, and what the pool's gradients are compared with."""

    warmup_samples: int = Field(default=10_000, gt=0, description="Conversations drawn from the pool to train on.")
    targets: Literal["pool"] | tuple[str, ...] = Field(
        default="pool",
        description="`pool`: a random sample of the pool, as the paper ran it. Or a list of benchmarks, whose worked "
        "examples are the targets: a sample counts for the group that it serves best, as in LESS.",
    )
    target_samples: int = Field(default=1000, gt=0, description="Conversations drawn where the pool is the target.")
    seed: int = Field(default=0, description="Of both draws and of the training.")
    training: FineTuningSettings = Field(
        default=FineTuningSettings(
            epochs=4,
            learning_rate=2e-5,
            schedule="linear",
            warmup_ratio=0.03,
            weight_decay=0.0,
            lora=LoraSettings(rank=128, alpha=512, dropout=0.1),
        ),
        description="The warm-up's recipe: LoRA, one checkpoint an epoch.",
    )
    tokens_per_batch: int = Field(default=16_384, gt=0, description="Padded tokens of one forward and backward pass.")

    @model_validator(mode="after")
    def _lora(self) -> "LessSettings":
        if self.training.lora is None:
            raise ValueError("training: needs `lora`: the gradients that are compared are those of an adapter")
        return self


class PreExperienceSettings(Settings):
    """The model that `ifd.pre_experience` scores with: trained on middling prompts of every cluster."""

    clusters: int = Field(default=1000, gt=0, description="k-means clusters of the pool's prompts.")
    samples_per_cluster: int = Field(default=10, gt=0)
    epochs: int = Field(default=1, gt=0, description="Of the recipe of `fine_tuning` otherwise.")
    seed: int = 0


class SelectItSettings(Settings):
    """SelectIT: how ratings become a score."""

    level: Literal["token", "sentence", "model"] = Field(
        default="model", description="One prompt; five prompts; five prompts and every rating model."
    )
    alpha: float = Field(default=0.2, ge=0, description="Weight of the disagreement between prompts.")
    helpers: dict[str, tuple[str, ...]] = Field(
        default={}, description="For each base model, the models that rate beside it, weighted by their parameters."
    )


class DiverseEvolSettings(Settings):
    """DiverseEvol: a random start, then rounds of training on what is selected and adding what lies farthest."""

    initial_share: float = Field(default=0.1, gt=0, lt=1, description="Share of the budget that is drawn at random.")
    rounds: int = Field(default=3, gt=0)
    seed: int = 0
