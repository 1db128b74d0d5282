"""Which settings of the profile each asset's content depends on.

`status` compares them with those that a partition was made with. A setting that is missing here is a change that nobody
notices, so `tests/assets/record/test_settings_used.py` changes each setting of a profile and looks for it.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import Settings
from selection_platform.experiments.keys import Experiment
from selection_platform.experiments.methods import METHODS
from selection_platform.pools.sources import source_state
from selection_platform.text.rendering import template_hash

if TYPE_CHECKING:
    from selection_platform.methods.less.gradient_influence import Direction

Used = Mapping[str, Any]
"""Parts of a profile, or values, by their dotted paths."""


def settings_used(profile: Profile, asset: dg.AssetKey, partition_key: str | None) -> dict[str, Any]:
    """The settings that decide a partition's content, each by its dotted path in the profile."""
    return dict(_flat(_used(profile, asset, partition_key), speed=False))


def speed_used(profile: Profile, asset: dg.AssetKey, partition_key: str | None) -> dict[str, Any]:
    """The settings that decide how fast a partition is made and in how much memory, likewise."""
    return dict(_flat(_used(profile, asset, partition_key), speed=True))


def _used(profile: Profile, asset: dg.AssetKey, partition_key: str | None) -> Used:
    name = asset.to_user_string()
    group, _, method = name.partition("/")
    if group == "scores":
        return _of_scores(profile, method)
    if group in _OF_POOL:
        return _OF_POOL[group](profile, partition_key or "")
    if group in _OF_EXPERIMENT:
        return _OF_EXPERIMENT[group](profile, profile.experiments[partition_key or ""])
    return _OF_ASSET[group](profile)


def _raw_pool(profile: Profile, pool: str) -> Used:
    settings = profile.pools[pool]
    return {
        f"pools.{pool}": _only(settings, "source", "on_bad_row"),
        "source": source_state(settings.source),
    }


def _pool(profile: Profile, pool: str) -> Used:
    return {f"pools.{pool}": _without(profile.pools[pool], "source")}


def _base_model(profile: Profile, model: str) -> Used:
    settings = profile.models[model]
    # What is pre-trained here reads conversations as they are rendered; what others trained does not.
    rendered = _template(profile) if settings.pretraining else {}
    return {**rendered, f"models.{model}": _without(settings, "fine_tune")}


def _template(profile: Profile) -> Used:
    return {"template": template_hash()}


def _forward_pass(profile: Profile) -> Used:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "scoring": profile.scoring,
        "prompt_embedding": profile.uses_pre_experience,
    }


def _pre_experience_checkpoint(profile: Profile) -> Used:
    return {
        **_template(profile),
        "pre_experience": _without(profile.pre_experience, "clusters"),
        "fine_tuning": _without(profile.fine_tuning, "epochs"),
    }


def _pre_experience_likelihood(profile: Profile) -> Used:
    return {**_template(profile), "dtype": profile.dtype, "scoring": profile.scoring}


def _warmup_checkpoint(profile: Profile) -> Used:
    return {**_template(profile), "less": _only(profile.less, "warmup_samples", "seed", "training")}


def _gradient_influence(profile: Profile) -> Used:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "scoring": _without(profile.scoring, "tokens_per_batch"),
        "less": _only(profile.less, "targets", "target_samples", "seed", "tokens_per_batch"),
        "directions": influence_directions(profile),
    }


def _rating_probability(profile: Profile) -> Used:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "scoring": _without(profile.scoring, "logit_rows"),
    }


def _of_scores(profile: Profile, method: str) -> Used:
    if METHODS[method].best_of_clusters:
        return {"budgets": profile.budgets}
    base = METHODS[method].variant_of or method
    return _OF_METHOD[base](profile) if base in _OF_METHOD else {}


def _diverse_evol(profile: Profile) -> Used:
    return {
        **_template(profile),
        "budgets": profile.budgets,
        "dtype": profile.dtype,
        "scoring": _without(profile.scoring, "logit_rows"),
        "fine_tuning": profile.fine_tuning,
        "diverse_evol": profile.diverse_evol,
    }


def _selectit(profile: Profile) -> Used:
    return {"selectit": profile.selectit}


def _checkpoint(profile: Profile, experiment: Experiment) -> Used:
    if experiment.pool is None:
        return {}
    return {**_template(profile), "fine_tuning": profile.fine_tuning}


def _benchmark_result(profile: Profile, experiment: Experiment) -> Used:
    return {
        **_template(profile),
        "dtype": profile.dtype,
        "evaluation": profile.evaluation,
        "scoring": _only(profile.scoring, "tokens_per_batch"),
        "fine_tuning": _only(profile.fine_tuning, "max_length"),
    }


_OF_POOL: dict[str, Callable[[Profile, str], Used]] = {
    "raw_pool": _raw_pool,
    "pool": _pool,
    "base_model": _base_model,
}

_OF_ASSET: dict[str, Callable[[Profile], Used]] = {
    "sub_pool": lambda profile: {},
    "benchmark_data": lambda profile: {},
    "token_count": _template,
    "answer_likelihood": _forward_pass,
    "sample_embedding": _forward_pass,
    "sample_cluster": lambda profile: {"k_means": profile.k_means},
    "prompt_cluster": lambda profile: {"pre_experience": _only(profile.pre_experience, "clusters", "seed")},
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

_OF_METHOD: dict[str, Callable[[Profile], Used]] = {
    "random": lambda profile: {"arms.random.seeds": profile.arms["random"].seeds},
    "selectit": _selectit,
    "diverse_evol": _diverse_evol,
    "zip": lambda profile: {"zip": profile.zip, "budgets": max(profile.budgets)},
}

_OF_EXPERIMENT: dict[str, Callable[[Profile, Experiment], Used]] = {
    "selection": lambda profile, experiment: {},
    "checkpoint": _checkpoint,
    "benchmark_result": _benchmark_result,
}


def influence_directions(profile: Profile) -> "tuple[Direction, ...]":
    """The kinds of Adam step that LESS compares with, as the profile's arms need them."""
    return ("adam", "published") if "less.published" in profile.arms else ("adam",)


@dataclass(frozen=True)
class _Part:
    """Some of the settings of a part of the profile."""

    settings: Settings
    names: Set[str]


def _only(settings: Settings, *names: str) -> _Part:
    return _Part(settings, set(names))


def _without(settings: Settings, *names: str) -> _Part:
    return _Part(settings, type(settings).model_fields.keys() - set(names))


def _flat(used: Any, path: str = "", *, speed: bool) -> list[tuple[str, Any]]:
    if isinstance(used, Settings):
        used = _without(used)
    if isinstance(used, _Part):
        chosen = used.settings.speed() if speed else used.settings.content()
        return [
            leaf for name, value in chosen.items() if name in used.names for leaf in _leaves(value, f"{path}.{name}")
        ]
    if isinstance(used, Mapping) and used:
        return [
            leaf
            for name, value in used.items()
            for leaf in _flat(value, f"{path}.{name}" if path else str(name), speed=speed)
        ]
    return [] if speed else list(_leaves(used, path))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif path:
        yield path, list(value) if isinstance(value, tuple) else value
