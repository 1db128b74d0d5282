"""What must hold between the parts of a profile. Each check raises ValueError with the key and what to do."""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from selection_platform.configuration.method_settings import PUBLISHED_LESS_WEIGHTS
from selection_platform.configuration.settings import NAME_PATTERN, LoraSettings, did_you_mean
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import SubPool
from selection_platform.experiments.methods import (
    ALL_DATA,
    BASE,
    BEST_OF_CLUSTERS,
    COVERAGE,
    PRE_EXPERIENCE,
    Method,
    methods_with,
)

if TYPE_CHECKING:
    from selection_platform.configuration.profile import Profile


NAME_A_MODEL = "name one, such as\n  models:\n    my-model: {path: models/my-model}"


def check_profile(profile: "Profile") -> None:
    """Run every check of this module.

    Raises:
        PlatformError: what does not fit, one line for each part of the profile.
    """
    _check_names(profile)
    found: list[str] = []
    for check in (_check_arms, _check_models, _check_contexts, _check_less, _check_helpers, _check_processes,
                  _check_optimizer, _check_pool_size_study, _check_trained_elsewhere, _check_primary,
                  _check_limits):  # fmt: skip
        try:
            check(profile)
        except PlatformError as error:
            found.append(str(error))
    if found:
        raise PlatformError("\n".join(dict.fromkeys(found)))


def _check_names(profile: "Profile") -> None:
    """Before all others, which look methods and models up by their names."""
    methods = profile.methods
    found = [f"arms: unknown method {name!r}{did_you_mean(name, methods)}" for name in profile.arms
             if name not in methods]  # fmt: skip
    taken = methods_with({}, profile.targets or ())
    for name, arm in profile.arms.items():
        if arm.own_summary is not None:
            found += _problems_of_own_name(name, taken)
    if found:
        raise PlatformError("\n".join(found))


def _problems_of_own_name(name: str, taken: Collection[str]) -> Iterator[str]:
    """What is wrong with the name of an arm whose scores the user gives: it becomes a table, a folder and a key."""
    if name in taken:
        yield f"arms.{name}: is a method of the platform, and has no `column` or `scores`; name the arm otherwise"
    elif not NAME_PATTERN.fullmatch(name):
        yield f"arms: {name!r} is not a name: use lower-case letters, digits and . _ @ - only"
    elif name.startswith(BEST_OF_CLUSTERS):
        yield f"arms.{name}: such a name is for the best of each k-means cluster; name the arm otherwise"
    elif name.startswith(COVERAGE):
        yield f"arms.{name}: such a name is for picks that cover all k-means clusters; name the arm otherwise"


def _check_contexts(profile: "Profile") -> None:
    for name, model in profile.models.items():
        if model.pretraining is not None:
            check_positions(profile, name, model.pretraining.context)


def _check_limits(profile: "Profile") -> None:
    for name, pool in profile.pools.items():
        if pool.limit is not None:
            _check_samples(profile, pool.limit, f"pools.{name}.limit, which is {pool.limit}")


def check_pool_size(profile: "Profile", pool: str, size: int, counted: str = "samples") -> None:
    """Check, as soon as a pool is counted, that no arm wants more of it than there is.

    Args:
        profile: whose arms will use the pool.
        pool: its name.
        size: how many samples can be selected, or a number that they cannot exceed.
        counted: what was counted, for the message.

    Raises:
        PlatformError: a setting is above the pool's size; the message names it.
    """
    _check_samples(profile, size, f"the {size} {counted} of pool {pool!r}")
    for part in profile.pool_size_study.sizes.get(pool, ()):
        check_sub_pool(SubPool(pool, part), size, counted)


def check_positions(profile: "Profile", model: str, positions: int) -> None:
    """Check, as soon as it is known how long a text a model takes, that nothing longer is given to it.

    Args:
        profile: whose arms use the model.
        model: its name.
        positions: the longest sequence, in tokens.

    Raises:
        PlatformError: a setting is beyond it; the message names it.
    """
    for key, length in _lengths(profile, model).items():
        if length > positions:
            raise PlatformError(
                f"{key}: {length} is beyond the {positions} tokens that model {model!r} takes; lower it"
            )


def _is_read_for(profile: "Profile", arm: Method) -> bool:
    """Whether a base model reads conversations for an arm's scores."""
    if arm.wraps and profile.k_means.vectors == "base_model":
        return True
    scored = profile.methods[arm.wraps or arm.name]
    # Counting tokens needs only the tokenizer.
    return scored.scored_per == "scoring" and "token_length" not in (scored.name, scored.variant_of)


def _lengths(profile: "Profile", model: str) -> dict[str, int]:
    """The settings that say how long a text a model is given."""
    fine_tuned = profile.models[model].fine_tune
    helpers = {name for names in profile.selectit.helpers.values() for name in names}
    is_rater = profile.uses("selectit") and (fine_tuned or model in helpers)
    arms = [profile.methods[name] for name in profile.arms] if fine_tuned else []
    scores = any(_is_read_for(profile, arm) for arm in arms)
    lengths: dict[str, int] = {}
    if is_rater or scores:
        lengths["scoring.max_length"] = profile.scoring.max_length
    if arms and any(arm.train for arm in profile.arms.values()):
        lengths["fine_tuning.max_length"] = profile.fine_tuning.max_length
    if arms and profile.uses("less"):
        lengths["less.training.max_length"] = profile.less.training.max_length
    return lengths


def adapters(profile: "Profile", model: str) -> list[LoraSettings]:
    """The adapters that the profile's arms train on a model."""
    if not profile.models[model].fine_tune:
        return []
    trains = any(arm.train for arm in profile.arms.values()) or profile.uses("diverse_evol")
    of_arms = profile.fine_tuning.lora if trains else None
    of_less = profile.less.training.lora if profile.uses("less") else None
    return [lora for lora in (of_arms, of_less) if lora is not None]


def check_sub_pool(sub_pool: SubPool, samples: int, counted: str = "samples") -> None:
    """Raise ValueError where a pool of so many samples is too small for a part of it."""
    pool, size = sub_pool.pool, sub_pool.size
    if size > samples:
        raise PlatformError(
            f"pool_size_study.sizes.{pool}: {size} is above the {samples} {counted} of pool {pool!r}; leave it out, or "
            "enlarge the pool"
        )


def _check_samples(profile: "Profile", samples: int, where: str) -> None:
    for key, needed in pool_needs(profile, profile.arms).items():
        if needed > samples:
            raise PlatformError(f"{key}: {needed} is above {where}; lower it, or enlarge the pool")


def pool_needs(profile: "Profile", arms: Iterable[str]) -> dict[str, int]:
    """How many samples of a pool each setting takes, of those that some arms use."""
    needs: dict[str, int] = {}
    methods = [profile.methods[name] for name in arms]
    if any(method not in (BASE, ALL_DATA) for method in methods):
        needs["budgets"] = max(profile.budgets)
    if any(method.wraps for method in methods):
        needs["k_means.clusters"] = profile.k_means.clusters
    if any(method.name in PRE_EXPERIENCE for method in methods):
        needs["pre_experience.clusters"] = profile.pre_experience.clusters
    if any(method.name == "zip.published" for method in methods):
        # The published search does not scale its rounds to the pool.
        needs["zip.k1"] = profile.zip.k1
    return needs


def _check_arms(profile: "Profile") -> None:
    base = profile.arms.get(BASE.name)
    if base is not None and (base.seeds != (0,) or not base.train):
        raise PlatformError(f"arms.{BASE.name}: is not trained, and has no seeds; write `{BASE.name}: {{}}`")
    for name, arm in profile.arms.items():
        if arm.all_seeds != arm.first_seeds and (name == ALL_DATA.name or not arm.train):
            why = "is not trained" if not arm.train else "answers another question"
            raise PlatformError(f"arms.{name}.seeds: the arm {why}, so no seeds are planned for it; write a list")
    if len(set(profile.budgets)) != len(profile.budgets) or min(profile.budgets) < 1:
        raise PlatformError("budgets: must be positive and differ from each other")


def _check_models(profile: "Profile") -> None:
    if profile.models:
        return
    for name, arm in profile.arms.items():
        method = profile.methods[name]
        if method is BASE or method.scored_per == "scoring":
            raise PlatformError(f"arms.{name}: needs a base model; {NAME_A_MODEL}")
        if arm.train:
            raise PlatformError(
                f"arms.{name}: is trained, and there is no base model; write `{name}: {{train: false}}` to select "
                f"only, or {NAME_A_MODEL}"
            )


def _check_less(profile: "Profile") -> None:
    less, longest = profile.less, profile.scoring.max_length
    epochs, weights = less.training.epochs, len(PUBLISHED_LESS_WEIGHTS)
    methods = profile.methods
    if any(methods[name].without_targets == "less.published" for name in profile.arms) and epochs != weights:
        raise PlatformError(
            f"arms: less.published has weights for {weights} checkpoints, and less.training has {epochs} epochs; "
            "change its epochs, or leave out the arm"
        )
    given = sorted(less.model_fields_set & {"targets", "target_samples"})
    if profile.targets is not None and given:
        raise PlatformError(f"less.{given[0]}: `targets` at the top says what is selected for; leave it out here")
    if profile.uses("less") and less.tokens_per_batch < longest:
        raise PlatformError(
            f"less.tokens_per_batch: {less.tokens_per_batch} is less than scoring.max_length {longest}, so that the "
            "longest sample fits no batch; raise it, or lower scoring.max_length"
        )


def _check_processes(profile: "Profile") -> None:
    processes = profile.jobs.processes
    for key, recipe in (("fine_tuning", profile.fine_tuning), ("less.training", profile.less.training)):
        if recipe.global_batch % (recipe.batch_per_device * processes):
            raise PlatformError(
                f"jobs.processes: {key}.global_batch {recipe.global_batch} is not a multiple of batch_per_device "
                f"{recipe.batch_per_device} x {processes} processes; change one of them"
            )


def _check_optimizer(profile: "Profile") -> None:
    if profile.fine_tuning.optimizer == "adamw":
        return
    key = f"fine_tuning.optimizer: {profile.fine_tuning.optimizer}"
    if profile.dtype != "bfloat16":
        raise PlatformError(f"{key} keeps weights in bfloat16, and dtype is {profile.dtype}; change one of them")
    if profile.jobs.processes > 1:
        raise PlatformError(
            f"{key} trains in one process, and jobs.processes is {profile.jobs.processes}; set it to 1, and `slots` to "
            "the number of GPUs, so that each trains another experiment"
        )


def _check_pool_size_study(profile: "Profile") -> None:
    study, key = profile.pool_size_study, "pool_size_study"
    selecting = [arm for arm in profile.arms if arm != BASE.name]
    for name in study.arms:
        if name not in selecting:
            known = did_you_mean(name, selecting)
            raise PlatformError(f"{key}.arms: {name!r} is no arm of this profile that selects{known}")
    for pool, sizes in study.sizes.items():
        if pool not in profile.pools:
            raise PlatformError(f"{key}.sizes: unknown pool {pool!r}{did_you_mean(pool, profile.pools)}")
        _check_sub_pool_sizes(profile, pool, sizes)
    for name in profile.sub_pools.keys() & profile.pools.keys():
        raise PlatformError(f"pools: {name!r} is the name of a sub-pool of {key}; name it otherwise")


def _check_trained_elsewhere(profile: "Profile") -> None:
    if not profile.trained_elsewhere:
        return
    trained = [key for key, each in profile.trained_experiments.items() if each.pool]
    for key in profile.trained_elsewhere:
        if key not in trained:
            known = did_you_mean(key, trained)
            raise PlatformError(f"trained_elsewhere: {key!r} is no experiment that is trained{known}")


def _check_primary(profile: "Profile") -> None:
    primary, benchmarks = profile.verdict.primary, profile.evaluation.benchmarks
    held_out = any(pool.held_out for pool in profile.pools.values())
    known = [*(["average"] if benchmarks else []), *(["held_out_loss"] if held_out else []), *benchmarks]
    if primary is not None and not known:
        raise PlatformError("verdict.primary: nothing is measured; name benchmarks, or set `held_out` of a pool")
    if primary is not None and primary not in known:
        raise PlatformError(f"verdict.primary: {primary!r} is no measure of this profile{did_you_mean(primary, known)}")


def _check_sub_pool_sizes(profile: "Profile", pool: str, sizes: tuple[int, ...]) -> None:
    key = f"pool_size_study.sizes.{pool}"
    if len(set(sizes)) != len(sizes):
        raise PlatformError(f"{key}: must differ from each other")
    for setting, needed in pool_needs(profile, profile.pool_size_study.arms).items():
        if needed > min(sizes):
            raise PlatformError(f"{key}: {min(sizes)} is less than {setting}, which is {needed}; raise it")
    limit = profile.pools[pool].limit
    if limit is not None and max(sizes) > limit:
        raise PlatformError(f"{key}: {max(sizes)} is above pools.{pool}.limit, which is {limit}; lower it")


def _check_helpers(profile: "Profile") -> None:
    models = profile.models
    if models and not any(model.fine_tune for model in models.values()):
        raise PlatformError("models: none is fine-tuned; leave out `fine_tune: false` of at least one")
    for model, helpers in profile.selectit.helpers.items():
        for name in (model, *helpers):
            if name not in models:
                raise PlatformError(f"selectit.helpers: unknown model {name!r}{did_you_mean(name, models)}")
        key = f"selectit.helpers.{model}"
        if not models[model].fine_tune:
            raise PlatformError(f"{key}: {model!r} is not fine-tuned, so nothing is rated for it; leave it out")
        if model in helpers:
            raise PlatformError(f"{key}: {model!r} rates for itself anyway; leave it out of its helpers")
        if len(set(helpers)) != len(helpers):
            raise PlatformError(f"{key}: must differ from each other")
