"""Which settings of the profile each asset's content depends on.

`status` compares them with those that a partition was made with. A setting that is missing here is a change that nobody
notices, so `tests/assets/record/test_settings_used.py` changes each setting of a profile and looks for it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import BaseModel

from selection_platform.configuration.profile import Profile
from selection_platform.experiments.keys import Experiment
from selection_platform.experiments.methods import METHODS
from selection_platform.pools.sources import source_state
from selection_platform.text.rendering import template_hash

if TYPE_CHECKING:
    from selection_platform.methods.less.gradient_influence import Direction

Settings = Mapping[str, Any]


def settings_used(profile: Profile, asset: dg.AssetKey, partition_key: str | None) -> dict[str, Any]:
    """The settings that decide a partition's content, each by its dotted path in the profile."""
    name = asset.to_user_string()
    group, _, method = name.partition("/")
    if group == "scores":
        settings = _of_scores(profile, method)
    elif group in _OF_POOL:
        settings = _OF_POOL[group](profile, partition_key or "")
    elif group in _OF_EXPERIMENT:
        settings = _OF_EXPERIMENT[group](profile, profile.experiments[partition_key or ""])
    else:
        settings = _OF_ASSET[group](profile)
    return dict(_flat(settings))


def _raw_pool(profile: Profile, pool: str) -> Settings:
    settings = profile.pools[pool]
    return {
        f"pools.{pool}": settings.model_dump(include={"source", "on_bad_row"}),
        "source": source_state(settings.source),
    }


def _pool(profile: Profile, pool: str) -> Settings:
    return {f"pools.{pool}": profile.pools[pool].model_dump(exclude={"source"})}


def _base_model(profile: Profile, model: str) -> Settings:
    settings = profile.models[model]
    # What is pre-trained here reads conversations as they are rendered; what others trained does not.
    rendered = _template(profile) if settings.pretraining else {}
    return {**rendered, f"models.{model}": settings.model_dump(exclude={"fine_tune"})}


def _template(profile: Profile) -> Settings:
    return {"template": template_hash()}


def _forward_pass(profile: Profile) -> Settings:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "scoring": profile.scoring,
        "prompt_embedding": profile.uses_pre_experience,
    }


def _pre_experience_checkpoint(profile: Profile) -> Settings:
    return {
        **_template(profile),
        "pre_experience": profile.pre_experience.model_dump(exclude={"clusters"}),
        "fine_tuning": profile.fine_tuning.model_dump(exclude={"epochs"}),
    }


def _pre_experience_likelihood(profile: Profile) -> Settings:
    return {**_template(profile), "dtype": profile.dtype, "scoring": profile.scoring}


def _warmup_checkpoint(profile: Profile) -> Settings:
    return {**_template(profile), "less": profile.less.model_dump(include={"warmup_samples", "seed", "training"})}


def _gradient_influence(profile: Profile) -> Settings:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "scoring": profile.scoring.model_dump(exclude={"tokens_per_batch"}),
        "less": profile.less.model_dump(include={"targets", "target_samples", "seed", "tokens_per_batch"}),
        "directions": influence_directions(profile),
    }


def _rating_probability(profile: Profile) -> Settings:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "scoring": profile.scoring.model_dump(exclude={"logit_rows"}),
    }


def _of_scores(profile: Profile, method: str) -> Settings:
    if METHODS[method].best_of_clusters:
        return {"budgets": profile.budgets}
    base = METHODS[method].variant_of or method
    return _OF_METHOD[base](profile) if base in _OF_METHOD else {}


def _diverse_evol(profile: Profile) -> Settings:
    return {
        **_template(profile),
        "budgets": profile.budgets,
        "dtype": profile.dtype,
        "scoring": profile.scoring.model_dump(exclude={"logit_rows"}),
        "fine_tuning": profile.fine_tuning,
        "diverse_evol": profile.diverse_evol,
    }


def _selectit(profile: Profile) -> Settings:
    return {"selectit": profile.selectit}


def _checkpoint(profile: Profile, experiment: Experiment) -> Settings:
    if experiment.pool is None:
        return {}
    return {**_template(profile), "fine_tuning": profile.fine_tuning}


def _benchmark_result(profile: Profile, experiment: Experiment) -> Settings:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "evaluation": profile.evaluation,
        "scoring": profile.scoring.model_dump(include={"tokens_per_batch"}),
        "fine_tuning": profile.fine_tuning.model_dump(include={"max_length"}),
    }


_OF_POOL: dict[str, Callable[[Profile, str], Settings]] = {
    "raw_pool": _raw_pool,
    "pool": _pool,
    "base_model": _base_model,
}

_OF_ASSET: dict[str, Callable[[Profile], Settings]] = {
    "sub_pool": lambda profile: {},
    "benchmark_data": lambda profile: {},
    "token_count": _template,
    "answer_likelihood": _forward_pass,
    "sample_embedding": _forward_pass,
    "sample_cluster": lambda profile: {"k_means": profile.k_means},
    "prompt_cluster": lambda profile: {
        "pre_experience": profile.pre_experience.model_dump(include={"clusters", "seed"})
    },
    "pre_experience_checkpoint": _pre_experience_checkpoint,
    "pre_experience_likelihood": _pre_experience_likelihood,
    "pre_experience_likelihood.published": _pre_experience_likelihood,
    "warmup_checkpoint": _warmup_checkpoint,
    "gradient_influence": _gradient_influence,
    "rating_probability": _rating_probability,
    "cost_ledger": lambda profile: {},
    "pool_size_curve": lambda profile: {},
    "leaderboard": lambda profile: {"disclaimer": profile.disclaimer},
    "verdict": lambda profile: {"verdict": profile.verdict},
    "diversity_ablation": lambda profile: {},
    "selection_overlap": lambda profile: {},
    "selection_profile": lambda profile: {},
    "report": lambda profile: {
        "description": profile.description,
        "disclaimer": profile.disclaimer,
        "verdict": profile.verdict,
    },
}

_OF_METHOD: dict[str, Callable[[Profile], Settings]] = {
    "random": lambda profile: {"arms.random.seeds": profile.arms["random"].seeds},
    "selectit": _selectit,
    "diverse_evol": _diverse_evol,
    "zip": lambda profile: {"zip": profile.zip, "budgets": max(profile.budgets)},
}

_OF_EXPERIMENT: dict[str, Callable[[Profile, Experiment], Settings]] = {
    "selection": lambda profile, experiment: {},
    "checkpoint": _checkpoint,
    "benchmark_result": _benchmark_result,
}


def influence_directions(profile: Profile) -> "tuple[Direction, ...]":
    """The kinds of Adam step that LESS compares with, as the profile's arms need them."""
    return ("adam", "published") if "less.published" in profile.arms else ("adam",)


def _flat(settings: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(settings, BaseModel):
        settings = settings.model_dump()
    if isinstance(settings, Mapping) and settings:
        return [
            leaf for name, value in settings.items() for leaf in _flat(value, f"{path}.{name}" if path else str(name))
        ]
    return [(path, list(settings) if isinstance(settings, tuple) else settings)] if path else []
