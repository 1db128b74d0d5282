"""A profile: what to run, and at which size, in one YAML file.

Profiles that ship are in `selection_platform/profiles/`; any other file can be named by its path.
"""

import os
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.base import FOLDER, UPKEEP
from selection_platform.configuration.checks import check_profile
from selection_platform.configuration.elsewhere_settings import ElsewhereSettings
from selection_platform.configuration.evaluation_settings import EvaluationSettings
from selection_platform.configuration.method_settings import MethodSettings
from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.configuration.problems import problems
from selection_platform.configuration.run_settings import AutomationSettings, JobSettings
from selection_platform.configuration.settings import (
    CheckpointSettings,
    FineTuningSettings,
    ModelSettings,
    Name,
    PoolSizeStudySettings,
    ScoringSettings,
    VerdictSettings,
)
from selection_platform.configuration.strict_yaml import NotYaml, parse_yaml, read_yaml
from selection_platform.configuration.text_settings import TextSettings, overridden
from selection_platform.errors import PlatformError
from selection_platform.evaluation.sandbox import can_contain
from selection_platform.experiments.keys import Experiment, PoolTargets, Scored, Scoring, SubPool
from selection_platform.experiments.methods import (
    ALL_DATA,
    BASE,
    DEFAULT_TARGETS,
    METHODS,
    PRE_EXPERIENCE,
    Method,
    methods_with,
)

PROFILE_VARIABLE = "SELECTION_PLATFORM_PROFILE"
HOME_VARIABLE = "SELECTION_PLATFORM_HOME"
DEFAULT_PROFILE = "demo"


class ProfileError(PlatformError):
    """A profile that cannot be used, with what is wrong and how to fix it."""


class Profile(MethodSettings):
    """Everything that decides what is run."""

    name: Annotated[Name, UPKEEP] = Field(
        description="Name of the folder that holds all results; the name of the profile's file if left out."
    )
    description: str = Field(default="", description="What the profile is for. The report shows it.")
    disclaimer: str | None = Field(default=None, description="Printed under every result of this profile.")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="bfloat16",
        description="Number type of computation. In scoring and evaluation weights have it too; in training those that "
        "the optimiser updates are float32. Many CPUs are very slow at bfloat16: `selection-platform estimate` says "
        "which is faster on a machine.",
    )
    pools: dict[Name, PoolSettings] = Field(min_length=1, description="The pools to select from, by name.")
    models: dict[Name, ModelSettings] = Field(
        default={},
        description="The base models, by name. Arms that only select (`train: false`) and score by the pool alone, "
        "such as `zip` and `random`, need none.",
    )
    text: TextSettings = Field(
        default=TextSettings(),
        description="How conversations become text, in scoring, training, evaluation and checkpoints.",
    )
    scoring: ScoringSettings = Field(default=ScoringSettings(), description="The forward passes that scores come from.")
    fine_tuning: FineTuningSettings = Field(
        default=FineTuningSettings(), description="The recipe that every arm is trained with."
    )
    trained_elsewhere: dict[str, ElsewhereSettings] = Field(
        default={},
        description="Checkpoints that another trainer fine-tuned on exported selections, by the key of their "
        "experiment. They are evaluated and compared like those that are trained here.",
    )
    checkpoints: Annotated[CheckpointSettings, UPKEEP] = Field(
        default=CheckpointSettings(), description="Which weights stay on the disk after the evaluation."
    )
    evaluation: EvaluationSettings = Field(default=EvaluationSettings(), description="What each model is measured on.")
    budgets: tuple[int, ...] = Field(
        default=(10_000,), min_length=1, description="How many samples each arm selects; one experiment per budget."
    )
    arms: dict[str, ArmSettings] = Field(
        min_length=1,
        description="The arms, by method. A method without a value has the defaults. An arm with `column` or `scores` "
        "has a name of your choice.",
    )
    verdict: VerdictSettings = Field(
        default=VerdictSettings(),
        description="Which measure answers the question, and which differences are too small to matter.",
    )
    pool_size_study: PoolSizeStudySettings = Field(
        default=PoolSizeStudySettings(), description="Parts of the pools that some arms also select from."
    )
    automation: Annotated[AutomationSettings, UPKEEP] = Field(
        default=AutomationSettings(), description="What the schedules `refresh_nightly` and `verify_nightly` do."
    )
    jobs: Annotated[JobSettings, UPKEEP] = Field(default=JobSettings(), description="Where the jobs run.")

    _file: Path | None = PrivateAttr(default=None)
    _decided_by_machine: bool = PrivateAttr(default=False)

    @property
    def file(self) -> Path | None:
        """The file that it was read from; None if it was not read from a file."""
        return self._file

    @property
    def decided_by_machine(self) -> bool:
        """Whether it left `run_generated_code` to the machine, which has decided it since."""
        return self._decided_by_machine

    @model_validator(mode="after")
    def _parts_fit(self) -> "Profile":
        check_profile(self)
        return self

    @cached_property
    def methods(self) -> dict[str, Method]:
        """The methods that arms can name: those of the platform, the user's own, and the wrappers of these."""
        own = {name: arm.own_summary for name, arm in self.arms.items() if arm.own_summary is not None}
        named = [name for name in self.targets or () if name != DEFAULT_TARGETS]
        return methods_with(own, named) if own or named else METHODS

    @property
    def pool_targets(self) -> dict[str, PoolTargets]:
        """Every target set beside every pool, by key."""
        found = (PoolTargets(pool, targets) for pool in self.pools for targets in self.target_sets)
        return {each.key: each for each in found}

    @cached_property
    def fine_tuned_models(self) -> list[str]:
        """The base models that arms are fine-tuned from; the other models only rate."""
        return [name for name, model in self.models.items() if model.fine_tune]

    @cached_property
    def scorings(self) -> dict[str, Scoring]:
        """Every pool with every model that is fine-tuned, by key."""
        scorings = (Scoring(pool, model) for pool in self.pools for model in self.fine_tuned_models)
        return {scoring.key: scoring for scoring in scorings}

    @property
    def sub_pools(self) -> dict[str, SubPool]:
        """The sub-pools that arms select from, by name."""
        study = self.pool_size_study
        sub_pools = (SubPool(pool, size) for pool, sizes in study.sizes.items() for size in sizes if study.arms)
        return {sub_pool.name: sub_pool for sub_pool in sub_pools}

    def text_of(self, model: str | None) -> TextSettings:
        """How conversations become text for a model: the profile's `text`, overridden by the model's own."""
        if model is None:
            return self.text
        settings = self.models[model]
        text = overridden(self.text, settings.text)
        if settings.pretraining is None:
            return text
        # A model that is pre-trained here uses the paper's text, and its tokenizer adds nothing.
        known = {"template": text.template or "paper", "bos": "never" if text.bos == "auto" else text.bos}
        return text.model_copy(update=known)

    def text_of_scoring(self, key: str) -> TextSettings:
        """How conversations become text for the model of a scoring."""
        return self.text_of(self.scorings[key].model)

    def keys_of(self, model: str) -> set[str]:
        """The keys of all partitions that use a base model."""
        keyed = [*self.scorings.items(), *self.clustered.items(), *self.ratings.items(), *self.experiments.items()]
        return {key for key, partition in keyed if partition.model == model}

    def whole_pool(self, name: str) -> str:
        """The name of the pool that a sub-pool is part of; for a whole pool, its own name."""
        return self.sub_pools[name].pool if name in self.sub_pools else name

    def scored(self, method: str) -> dict[str, Scored]:
        """What a method scores, by partition key: pools, and the sub-pools that need scores of their own."""
        sub_pools = self.sub_pools if self.methods[method].set_dependent and method in self.pool_size_study.arms else ()
        pools = [*self.pools, *sub_pools]
        if self.methods[method].scored_per == "pool":
            return {pool: Scored(pool, None) for pool in pools}
        models = self.fine_tuned_models
        return {Scoring(pool, model).key: Scored(pool, model) for pool in pools for model in models}

    @cached_property
    def clustered(self) -> dict[str, Scoring]:
        """Every pool, and every sub-pool that an arm needs clusters of, with every base model, by key."""
        arms = (self.methods[name] for name in self.pool_size_study.arms)
        sub_pools = self.sub_pools if any(arm.wraps for arm in arms) else ()
        pools = [*self.pools, *sub_pools]
        scorings = (Scoring(pool, model) for pool in pools for model in self.fine_tuned_models)
        return {scoring.key: scoring for scoring in scorings}

    @cached_property
    def ratings(self) -> dict[str, Scoring]:
        """Every pool with every model that rates it, by key."""
        used = {rater for model in self.fine_tuned_models for rater in self.raters_of(model)}
        raters = [name for name in self.models if name in used]
        ratings = (Scoring(pool, model) for pool in self.pools for model in raters)
        return {rating.key: rating for rating in ratings}

    @cached_property
    def used_models(self) -> list[str]:
        """The models that must be available: those that an arm is fine-tuned from, scored by or rated by."""
        methods = [self.methods[name] for name in self.arms]
        used: set[str] = set()
        if self.trained_experiments or any(method.scored_per == "scoring" for method in methods):
            used |= set(self.fine_tuned_models)
        if self.uses("selectit"):
            used |= {rating.model for rating in self.ratings.values()}
        return [name for name in self.models if name in used]

    def uses(self, method: str) -> bool:
        """Whether an arm is a method, a variant of it, or a wrapper of one of these."""
        methods = self.methods
        scored_by = (methods[methods[name].wraps or name] for name in self.arms)
        return any(method in (each.without_targets, each.variant_of) for each in scored_by)

    @property
    def uses_pre_experience(self) -> bool:
        """Whether an arm scores with IFD's pre-experience model."""
        return any(name in self.arms for name in PRE_EXPERIENCE)

    def raters_of(self, model: str) -> list[str]:
        """The models whose ratings select for a base model: itself, and at SelectIT's model level its helpers."""
        return [model, *self.selectit.helpers.get(model, ())]

    @cached_property
    def cluster_pairs(self) -> dict[str, str]:
        """The trained arms whose k-means wrapper is trained too, with the wrapper's name."""
        trained = [self.methods[name] for name, arm in self.arms.items() if arm.train]
        names = {method.name for method in trained}
        wrappers = {method.best_of_clusters: method.name for method in trained if method.best_of_clusters}
        return {name: wrapper for name, wrapper in wrappers.items() if name in names}

    @property
    def has_clusters(self) -> bool:
        """Whether an arm selects by k-means clusters of the pools' samples."""
        return any(self.methods[name].wraps for name in self.arms)

    @property
    def uses_encoder(self) -> bool:
        """Whether an arm selects by the vectors of the sentence encoder, or by clusters of them."""
        by_clusters = self.has_clusters and self.k_means.vectors == "encoder"
        return by_clusters or self.uses("embedding") or self.uses("k_center")

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        """Every experiment of the profile, by key."""
        experiments = [
            experiment
            for model in self.fine_tuned_models or [None]
            for name, arm in self.arms.items()
            for experiment in self._experiments_of(self.methods[name], arm, model)
        ]
        experiments += [
            replace(experiment, pool_size=sub_pool.size)
            for sub_pool in self.sub_pools.values()
            for experiment in experiments
            if experiment.pool == sub_pool.pool and experiment.method in self.pool_size_study.arms
            if experiment.seed in self.arms[experiment.method].first_seeds
        ]
        return {experiment.key: experiment for experiment in experiments}

    @cached_property
    def trained_experiments(self) -> dict[str, Experiment]:
        """The experiments that are fine-tuned and evaluated, by key; the others only select."""
        experiments = self.experiments.items()
        return {key: experiment for key, experiment in experiments if self.arms[experiment.method].train}

    @cached_property
    def only_if_planned(self) -> dict[str, Experiment]:
        """The experiments that are made only where a plan says so, by key."""
        return {
            key: each
            for key, each in self.experiments.items()
            if each.seed not in self.arms[each.method].first_seeds and key not in self.trained_elsewhere
        }

    @property
    def compares_with_items(self) -> bool:
        """Whether samples are compared with benchmark items: where models are trained and evaluated on some."""
        return bool(self.evaluation.benchmarks and self.trained_experiments)

    @cached_property
    def first_selections(self) -> dict[str, Experiment]:
        """The first seed's experiment of each method that selects, in each whole pool, model and budget, by key."""
        first: dict[tuple[str, str | None, str | None, int | None], Experiment] = {}
        for experiment in self.experiments.values():
            if self.methods[experiment.method].scored_per is not None and experiment.pool_size is None:
                cell = experiment.method, experiment.pool, experiment.model, experiment.budget
                first.setdefault(cell, experiment)
        return {experiment.key: experiment for experiment in first.values()}

    def _experiments_of(self, method: Method, arm: ArmSettings, model: str | None) -> list[Experiment]:
        if method is BASE:
            return [Experiment(method.name, None, model, 0, 0)]
        budgets = (None,) if method is ALL_DATA else self.budgets
        return [
            Experiment(method.name, pool, model, budget, seed)
            for pool in self.pools
            for budget in budgets
            for seed in arm.all_seeds
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
        ProfileError: no such profile, or a value in it is wrong; the message names the file, the key and what to write.
    """
    wanted = name_or_file or os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE
    shipped = shipped_profiles()
    path = shipped.get(wanted) or Path(wanted)
    if not path.is_file():
        known = ", ".join(shipped)
        raise ProfileError(f"no profile {wanted!r}: name one of {known}, or the path of a YAML file")
    return _on_this_machine(read_profile(path))


def _on_this_machine(profile: Profile) -> Profile:
    """The profile with what it leaves to the machine decided: the content of an evaluation names what was done."""
    if profile.evaluation.run_generated_code != "where_contained":
        return profile
    decided = "sandboxed" if can_contain() else "never"
    evaluation = profile.evaluation.model_copy(update={"run_generated_code": decided})
    copy = profile.model_copy(update={"evaluation": evaluation})
    copy._decided_by_machine = True
    return copy


def read_profile(path: Path, text: str | None = None) -> Profile:
    """Read the profile in a file.

    Args:
        path: the file.
        text: content to check before it is written there; the file's own content if left out.

    Raises:
        ProfileError: a value in it is wrong; the message names the file, the key and what to write.
    """
    try:
        content = read_yaml(path) if text is None else parse_yaml(text)
    except NotYaml as error:
        raise ProfileError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ProfileError(f"{path}: expected keys and values at the top, such as `pools:`")
    try:
        profile = Profile.model_validate({"name": path.stem, **content}, context={FOLDER: path.resolve().parent})
    except ValidationError as error:
        raise ProfileError("\n".join(f"{path}: {problem}" for problem in problems(error, Profile))) from error
    profile._file = path
    return profile


def home(profile: Profile) -> Path:
    """The folder for warehouse, models and Dagster's instance: one for each profile, under SELECTION_PLATFORM_HOME."""
    return homes() / profile.name


def homes() -> Path:
    """The folder of all homes. Raises PlatformError where the environment names an address."""
    named = os.environ.get(HOME_VARIABLE) or ".platform"
    if "://" in named:
        raise PlatformError(f"{HOME_VARIABLE}: {named} is an address; name a folder, as a home needs locks and renames")
    return Path(named).absolute()


def make_private(folder: Path) -> None:
    """Make a home folder, and the folder of all homes, for their owner alone: conversations lie in it.

    Those that are there already keep their mode.
    """
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
