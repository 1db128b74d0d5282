"""A profile: what to run, at which size. One YAML file says all of it.

The profiles that ship lie in `selection_platform/profiles/`; any other file can be named by its path.
"""

import difflib
import os
import re
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from selection_platform.experiments import Experiment, Scoring
from selection_platform.methods import ALL_DATA, BASE, METHODS, Method
from selection_platform.pools.settings import FOLDER, PoolSettings

PROFILE_VARIABLE = "SELECTION_PLATFORM_PROFILE"
HOME_VARIABLE = "SELECTION_PLATFORM_HOME"
DEFAULT_PROFILE = "demo"

COMMIT_PATTERN = re.compile(r"[0-9a-f]{7,40}")
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._@-]*")


class ProfileError(ValueError):
    """A profile that cannot be used, with what is wrong and how to mend it."""


def _check_name(name: str) -> str:
    if not NAME_PATTERN.fullmatch(name):
        # Names become folder names and parts of partition keys.
        raise ValueError(f"{name!r} is not a name: use lower-case letters, digits and . _ @ - only")
    return name


Name = Annotated[str, AfterValidator(_check_name)]


class Settings(BaseModel):
    """Base of all parts of a profile: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    seed: int = 0


class ModelSettings(Settings):
    """A base model: of a hub, of an installed package, or pre-trained by the platform. Name exactly one."""

    hub: str | None = Field(default=None, description="Hugging Face id, such as Qwen/Qwen2-7B.")
    revision: str | None = Field(default=None, description="Commit of the hub repository.")
    package: str | None = Field(default=None, description="Installed package that holds the weights.")
    pretraining: PretrainingSettings | None = Field(
        default=None, description="Pre-train on the rows that the pools set aside (`base_model` fraction)."
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
    tokens_per_batch: int = Field(default=32_768, gt=0, description="Padded tokens of one forward pass.")
    logit_rows: int = Field(default=4096, gt=0, description="Rows of logits made at once.")
    samples_per_shard: int = Field(default=10_000, gt=0, description="Samples between two points to resume from.")


class ZipScheduleSettings(Settings):
    """The three stages of ZIP (paper: K1, K2, K3)."""

    k1: int = Field(default=10_000, gt=0)
    k2: int = Field(default=200, gt=0)
    k3: int = Field(default=100, gt=0)


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
    warmup_ratio: float = Field(default=0.01, ge=0, lt=1)
    weight_decay: float = Field(default=0.1, ge=0)
    global_batch: int = Field(default=128, gt=0, description="Conversations an optimizer step.")
    batch_per_device: int = Field(default=4, gt=0, description="Conversations a forward pass.")
    max_length: int = Field(default=4096, gt=1, description="Tokens after which a conversation is cut.")
    lora: LoraSettings | None = Field(default=None, description="Leave out for full fine-tuning.")
    save_steps: int = Field(default=100, gt=0, description="Steps between two points to resume from.")
    gradient_checkpointing: bool = False


class BenchmarkSettings(Settings):
    """One benchmark: which lm-eval task, how many shots, how many items."""

    task: str = Field(description="Name of the lm-eval task; those that start with offline_ are ours.")
    shots: int | None = Field(default=None, ge=0, description="Worked examples; the task's own if left out.")
    limit: int | None = Field(default=None, gt=0, description="Items of each (sub)task; all if left out.")
    max_new_tokens: int | None = Field(default=None, gt=0, description="Longest answer; the task's own if left out.")


class EvaluationSettings(Settings):
    """What a model is measured on."""

    benchmarks: dict[Name, BenchmarkSettings]
    batch_size: int = Field(default=8, gt=0)
    run_generated_code: Literal["never", "sandboxed"] = Field(
        default="never",
        description="HumanEval runs code that the model wrote. `sandboxed`: in a child process with limits of time and "
        "memory and without a network. `never`: HumanEval is left out.",
    )
    held_out_limit: int | None = Field(
        default=None, gt=0, description="Held-out conversations of each pool that the held-out loss is measured on."
    )


class ArmSettings(Settings):
    """One arm of the experiment."""

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)

    @model_validator(mode="after")
    def _seeds_differ(self) -> "ArmSettings":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: must differ from each other")
        return self


class Profile(Settings):
    """Everything that decides what is run."""

    name: Name
    description: str
    disclaimer: str | None = Field(default=None, description="Printed under every result of this profile.")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="bfloat16", description="Of the weights when scoring and evaluating."
    )
    pools: dict[Name, PoolSettings] = Field(min_length=1)
    models: dict[Name, ModelSettings] = Field(min_length=1)
    scoring: ScoringSettings = ScoringSettings()
    zip: ZipScheduleSettings = ZipScheduleSettings()
    fine_tuning: FineTuningSettings = FineTuningSettings()
    evaluation: EvaluationSettings
    budgets: tuple[int, ...] = Field(min_length=1, description="Samples to select.")
    arms: dict[str, ArmSettings] = Field(min_length=1)

    @model_validator(mode="after")
    def _arms_exist(self) -> "Profile":
        for name in self.arms:
            if name not in METHODS:
                raise ValueError(f"arms: unknown method {name!r}{_did_you_mean(name, METHODS)}")
        if BASE.name in self.arms and self.arms[BASE.name].seeds != (0,):
            raise ValueError("arms.base: is not trained and has no seeds; write `base: {}`")
        if len(set(self.budgets)) != len(self.budgets) or min(self.budgets) < 1:
            raise ValueError("budgets: must be positive and differ from each other")
        return self

    @cached_property
    def scorings(self) -> dict[str, Scoring]:
        """Every pool with every model, by key."""
        scorings = (Scoring(pool, model) for pool in self.pools for model in self.models)
        return {scoring.key: scoring for scoring in scorings}

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        """Every experiment of the profile, by key."""
        experiments = [
            experiment
            for model in self.models
            for name, arm in self.arms.items()
            for experiment in self._experiments_of(METHODS[name], arm, model)
        ]
        return {experiment.key: experiment for experiment in experiments}

    def _experiments_of(self, method: Method, arm: ArmSettings, model: str) -> list[Experiment]:
        if method is BASE:
            return [Experiment(method.name, None, model, 0, 0)]
        budgets = (None,) if method is ALL_DATA else self.budgets
        return [
            Experiment(method.name, pool, model, budget, seed)
            for pool in self.pools
            for budget in budgets
            for seed in arm.seeds
        ]


def shipped_profiles() -> dict[str, Path]:
    """The profiles that ship with the platform, by name."""
    folder = Path(str(files("selection_platform") / "profiles"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_profile(name_or_file: str | None = None) -> Profile:
    """Read a profile.

    Args:
        name_or_file: name of a shipped profile or path of a YAML file; by default what the environment variable
            SELECTION_PLATFORM_PROFILE says, else `demo`.

    Raises:
        ProfileError: no such profile, or a value in it is wrong; the message names the file, the key and the mend.
    """
    wanted = name_or_file or os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE
    shipped = shipped_profiles()
    path = shipped.get(wanted) or Path(wanted)
    if not path.is_file():
        known = ", ".join(shipped)
        raise ProfileError(f"no profile {wanted!r}: name one of {known}, or the path of a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ProfileError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ProfileError(f"{path}: expected keys and values at the top, such as `pools:`")
    try:
        return Profile.model_validate({"name": path.stem, **content}, context={FOLDER: path.absolute().parent})
    except ValidationError as error:
        raise ProfileError("\n".join(f"{path}: {problem}" for problem in _problems(error))) from error


def _problems(error: ValidationError) -> list[str]:
    return [_problem(detail["loc"], detail["type"], detail["msg"]) for detail in error.errors()]


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    place = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"{place}: unknown key{_did_you_mean(str(location[-1]), _known_keys())}"
    text = message.removeprefix("Value error, ")
    return f"{place}: {text}" if place else text


def _known_keys() -> set[str]:
    keys: set[str] = set()
    parts: list[type[BaseModel]] = [Profile]
    while parts:
        part = parts.pop()
        keys |= set(part.model_fields)
        parts += [value for field in part.model_fields.values() for value in _models_in(field.annotation)]
    return keys


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def home(profile: Profile) -> Path:
    """The folder for warehouse, models and Dagster's instance: one for each profile, under SELECTION_PLATFORM_HOME."""
    return Path(os.environ.get(HOME_VARIABLE) or ".platform").absolute() / profile.name
