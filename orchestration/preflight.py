"""Checks before a run. `status` prints the problems that would stop a run, and `run` does not start if there are any.

Slow checks, such as reading rows or weights, are left to the step that does it. No hub is contacted.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg

from assets.keys import POOL, RAW_POOL
from orchestration.disk_usage import bytes_of
from orchestration.estimate import memory_faults, more_room
from orchestration.graph import Step
from orchestration.workspace import Workspace
from selection_platform.configuration.checks import check_pool_size, check_positions
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import NO_TORCHAO, ModelSettings
from selection_platform.data_packages import packaged_file
from selection_platform.errors import PlatformError
from selection_platform.estimate.machines import devices_here
from selection_platform.evaluation.spec import check_engine
from selection_platform.job.slots import slots_here
from selection_platform.models.dropped_weights import weight_files, weights_dropped
from selection_platform.models.files import checkpoint_files, stated_positions, used_weights
from selection_platform.text.numbers import in_words
from sql.queries import load_sql

BLOCK_OF_POOL = "pools:\n  {pool}:\n    base_model: 0.4"
TASKS_WITH_SENTENCES = ("ifeval", "offline_ifeval")

Steps = dict[str, list[str]]
"""The partition keys to materialise, by the name of the asset."""


def preflight(workspace: Workspace, steps: Iterable[Step], rebuilt: Iterable[Step] = ()) -> list[str]:
    """All problems that would stop some steps, one message each.

    Args:
        workspace: the workspace of the profile.
        steps: the steps that are due, or may become due.
        rebuilt: the checkpoints among them that are trained again because their weights were dropped.
    """
    wanted: Steps = {}
    for step in steps:
        for name in step.asset.keys:
            wanted.setdefault(name.to_user_string(), []).append(step.partition_key or "")
    problems = [
        *_benchmark_items(wanted),
        *_sources(workspace.profile, wanted),
        *_given_scores(workspace.profile, wanted),
        *_columns(workspace, wanted),
        *_pool_sizes(workspace, wanted),
        *_base_models(workspace, wanted),
        *_encoder(workspace.profile, wanted),
        *_lengths(workspace, wanted),
        *_engine(workspace, wanted),
        *_elsewhere(workspace.profile, wanted),
        *_benchmarks(workspace.profile, wanted),
        *_ray(workspace.profile, wanted),
        *_optimizer(workspace, wanted),
        *_slots(workspace.profile, wanted),
        *memory_faults(workspace, wanted),
        *_room(workspace, wanted, {step.partition_key for step in rebuilt}),
    ]
    return list(dict.fromkeys(problems))


def _problems_of(check: Callable[..., Any], *arguments: Any) -> Iterator[str]:
    """The problem that a check reports, if there is one."""
    try:
        check(*arguments)
    except PlatformError as error:
        yield str(error)


def _known(look: Callable[..., Any], *arguments: Any) -> Any:
    """What a look at files finds; None if they are damaged, so that a run that makes them again may start."""
    try:
        return look(*arguments)
    except PlatformError:
        return None


def _benchmark_items(wanted: Steps) -> Iterator[str]:
    from selection_platform.evaluation.benchmark_data import check_packages_of_items

    if "benchmark_data" in wanted:
        yield from _problems_of(check_packages_of_items)


def _sources(profile: Profile, wanted: Steps) -> Iterator[str]:
    from selection_platform.pools.sources import check_source

    for pool in wanted.get("raw_pool", []):
        for message in _problems_of(check_source, profile.pools[pool].source):
            yield f"pools.{pool}.source.{message}"
    for name in dict.fromkeys(profile.pool_targets[key].targets for key in wanted.get("target_samples", [])):
        examples = profile.target_sets[name].examples
        for message in [] if examples is None else _problems_of(check_source, examples.source):
            yield f"targets.{name}.examples.source.{message}"


def _given_scores(profile: Profile, wanted: Steps) -> Iterator[str]:
    for name, arm in profile.arms.items():
        file = arm.scores_file
        if file is not None and f"scores/{name}" in wanted and not file.is_file():
            yield f"arms.{name}.scores: there is no file {file}; correct the path"


def _columns(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    """Fields of scores that no row has, as far as that is known: JSON may have a field in later rows only."""
    from selection_platform.methods.given_scores import check_field

    arms = workspace.profile.arms.items()
    fields = cache(partial(_fields, workspace))
    for name, column in [(name, arm.column) for name, arm in arms if arm.column is not None]:
        for pool in wanted.get(f"scores/{name}", []):
            known = _known(fields, pool) if pool in workspace.profile.pools else None
            if known is not None:
                yield from _problems_of(check_field, column, known, f"arms.{name}.column, pool {pool!r}")


def _fields(workspace: Workspace, pool: str) -> set[str] | None:
    """All fields of a pool's rows; None if that is not known yet."""
    from selection_platform.pools.raw_pool import read_raw_fields
    from selection_platform.pools.sources import stated_fields

    fields = stated_fields(workspace.profile.pools[pool].source)
    staleness = workspace.staleness
    raw = next(step for step in staleness.graph.steps if RAW_POOL in step.asset.keys and step.partition_key == pool)
    if fields is not None or staleness.cause(raw):
        return fields
    return read_raw_fields(workspace.resources.artifacts.raw_pool(pool))


def _pool_sizes(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    """Settings that need more samples than a pool has, or than its rows can give.

    A pool that is there is looked at whatever is due, because a budget is not a setting of the pool.
    """
    staleness, resources = workspace.staleness, workspace.resources
    pools = [step for step in staleness.graph.steps if POOL in step.asset.keys]
    due = {pool: {step.name for step in staleness.graph.upstream([pool]) if staleness.cause(step)} for pool in pools}
    is_counted = not all(due.values())
    sizes = dict(resources.warehouse.query(load_sql("10_pools/sizes")).iter_rows()) if is_counted else {}
    for pool, due_here in due.items():
        name = str(pool.partition_key)
        if not due_here:
            yield from _problems_of(check_pool_size, workspace.profile, name, sizes[name])
        elif name in wanted.get(pool.name, []):
            known = _known(_known_size, workspace, name, due_here)
            yield from [] if known is None else _problems_of(check_pool_size, workspace.profile, name, *known)


def _known_size(workspace: Workspace, pool: str, due: set[str]) -> tuple[int, str] | None:
    """How many samples a pool that is due has, or a number that they cannot exceed, and what was counted.

    Args:
        workspace: the workspace of the profile.
        pool: its name.
        due: the assets that are due, of the pool's own and those before it.

    Returns:
        None if neither is cheaply known: the pool's own step counts it.
    """
    from selection_platform.evaluation.benchmark_data import benchmark_texts
    from selection_platform.pools.pool import finished_pool
    from selection_platform.pools.raw_pool import read_raw_pool_report
    from selection_platform.pools.sources import stated_size

    settings, artifacts = workspace.profile.pools[pool], workspace.resources.artifacts
    raw = artifacts.raw_pool(pool)
    if due == {POOL.to_user_string()}:
        # The step's own check may have stopped it after its files were written.
        report = finished_pool(settings, raw, benchmark_texts(artifacts.benchmark_data()), artifacts.pool(pool))
        if report is not None:
            return report.kept["pool"], "samples"
    counted = stated_size(settings.source) if RAW_POOL.to_user_string() in due else read_raw_pool_report(raw)
    # A row gives one sample at most.
    return None if counted is None else (counted.rows, "rows")


def _base_models(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    for name in wanted.get("base_model", []):
        model = workspace.profile.models[name]
        if model.folder is not None:
            yield from _folder(name, model)
        elif model.package is not None:
            for message in _problems_of(packaged_file, model.package):
                yield f"models.{name}: {message}"
        elif model.pretraining is not None:
            yield from _set_aside(workspace, wanted, name)


def _encoder(profile: Profile, wanted: Steps) -> Iterator[str]:
    settings = profile.encoder
    if not any(name.startswith(("sentence_embedding", "target_sentence_embedding")) for name in wanted):
        return
    if settings.folder is not None:
        if not (settings.folder / "modules.json").is_file():
            yield f"encoder.path: {settings.folder} has no modules.json; name a model that sentence-transformers saved"
    elif settings.hub is None:
        for message in _problems_of(packaged_file, settings.package):
            yield f"encoder.package: {message}"


def _folder(name: str, model: ModelSettings) -> Iterator[str]:
    folder = model.folder
    if folder is None or not folder.is_dir():
        yield f"models.{name}.path: {folder}: no such folder; correct the path, or fetch the model"
    elif not used_weights(folder):
        yield f"models.{name}.path: {folder} has no *.safetensors; name a folder with the model's weights"
    elif not (folder / "config.json").is_file():
        yield f"models.{name}.path: {folder} has no config.json; name a folder with the whole model"


def _set_aside(workspace: Workspace, wanted: Steps, name: str) -> Iterator[str]:
    """A problem if no pool sets rows aside for the pre-training of a model."""
    pools = workspace.profile.pools
    some = [pool for pool, settings in pools.items() if settings.base_model > 0]
    lines = "\n  ".join(BLOCK_OF_POOL.format(pool=next(iter(pools))).splitlines())
    if not some:
        yield f"models.{name}.pretraining: no pool sets rows aside for it; write for example\n  {lines}"
    elif POOL.to_user_string() not in wanted:
        counts = dict(workspace.resources.warehouse.query(load_sql("20_models/set_aside")).iter_rows())
        if not sum(counts.get(pool, 0) for pool in some):
            yield f"models.{name}.pretraining: the pools set no rows aside for it; raise a share, such as\n  {lines}"


def _lengths(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    """Settings that are longer than a model's longest input, if its configuration is on this machine."""
    for name in workspace.profile.used_models:
        given = _model_folder(workspace, wanted, name)
        positions = None if given is None else stated_positions(given)
        if positions is not None:
            yield from _problems_of(check_positions, workspace.profile, name, positions)


def _engine(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    """Models that the engine of the evaluations computes otherwise, if their configuration is on this machine."""
    profile = workspace.profile
    for name in dict.fromkeys(profile.experiments[key].base_model for key in wanted.get("benchmark_result", [])):
        given = _model_folder(workspace, wanted, name)
        if given is not None:
            yield from (f"models.{name}: {said}" for said in _problems_of(check_engine, profile.evaluation, given))


def _model_folder(workspace: Workspace, wanted: Steps, name: str) -> Path | None:
    """Where a base model is read, or will be copied from; None where it comes from elsewhere."""
    is_made = name not in wanted.get("base_model", [])
    return workspace.resources.artifacts.base_model(name) if is_made else workspace.profile.models[name].folder


def _elsewhere(profile: Profile, wanted: Steps) -> Iterator[str]:
    for key in wanted.get("checkpoint", []):
        folder = profile.trained_elsewhere[key].folder if key in profile.trained_elsewhere else None
        if folder is not None and not checkpoint_files(folder):
            yield f"trained_elsewhere.{key}.path: there is no model in {folder}; correct the path"


def _benchmarks(profile: Profile, wanted: Steps) -> Iterator[str]:
    from selection_platform.evaluation.ifeval import check_sentence_splitter
    from selection_platform.evaluation.own_benchmarks import check_benchmark
    from selection_platform.evaluation.sandbox import check_sandbox
    from selection_platform.evaluation.spec import CODE_TASK

    if "benchmark_result" not in wanted:
        return
    evaluation = profile.evaluation
    tasks = [benchmark.task for benchmark in evaluation.benchmarks.values()]
    for name, benchmark in evaluation.benchmarks.items():
        for message in _problems_of(check_benchmark, name, benchmark):
            yield f"evaluation.benchmarks: {message}"
    python = evaluation.vllm_python
    if python is not None and profile.jobs.run in ("in_process", "child") and not Path(python).expanduser().is_file():
        yield f"evaluation.vllm_python: there is no {python}; correct the path, or make an environment with vLLM there"
    if CODE_TASK in tasks and evaluation.run_generated_code == "sandboxed":
        yield from _problems_of(check_sandbox)
    if any(task in TASKS_WITH_SENTENCES for task in tasks):
        yield from _problems_of(check_sentence_splitter)


def _ray(profile: Profile, wanted: Steps) -> Iterator[str]:
    missing = [name for name in ("ray", "dagster_ray") if find_spec(name) is None]
    if wanted and profile.jobs.run == "ray" and missing:
        yield f"jobs.run is ray, and {missing[0]} is not installed; install selection-platform[ray]"


def _optimizer(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    profile = workspace.profile
    here = profile.jobs.run in ("in_process", "child")
    if profile.fine_tuning.optimizer != "adamw_8bit" or not here or find_spec("torchao"):
        return
    declared = workspace.staleness.graph.declared
    for name, keys in wanted.items():
        asset = declared(dg.AssetKey.from_user_string(name))
        if any("fine_tuning.optimizer" in asset.content(key) for key in keys):
            yield f"fine_tuning.{NO_TORCHAO}"


def _slots(profile: Profile, wanted: Steps) -> Iterator[str]:
    slots = profile.jobs.slots
    if not wanted or slots is None or profile.jobs.run != "child":
        return
    found = devices_here()
    if found is not None and slots > found[0]:
        yield f"jobs.slots: {slots}, and this machine has {found[0]} GPUs; write at most `slots: {found[0]}`"


def _room(workspace: Workspace, wanted: Steps, rebuilt: set[str | None]) -> Iterator[str]:
    """A problem if the disk is too small for new weights. Their size is that of a base model on this machine."""
    profile, artifacts = workspace.profile, workspace.resources.artifacts
    if profile.fine_tuning.lora is not None:
        return
    new: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for key in wanted.get("checkpoint", []):
        experiment, folder = profile.experiments[key], artifacts.checkpoint(key)
        # An arm without a pool is the base model itself, which has its weights already.
        if experiment.pool is not None:
            is_trained = key not in rebuilt and (weight_files(folder) or weights_dropped(folder))
            (trained if is_trained else new)[experiment.base_model] += 1
    needed = {name: _checkpoints_at_once(profile, new[name], trained[name]) for name in {*new, *trained}}
    size = sum(count * _weights(workspace, name) for name, count in needed.items())
    free = shutil.disk_usage(workspace.home).free
    if size > free:
        yield (
            f"{workspace.home}: the weights of {sum(needed.values())} more checkpoints would take about "
            f"{in_words(size)}, and {in_words(free)} are free; {more_room(profile)}"
        )


def _checkpoints_at_once(profile: Profile, new: int, trained: int) -> int:
    """The smallest number of additional checkpoints of a model that are on the disk at once.

    Args:
        profile: says how many checkpoints are kept.
        new: number of checkpoints to train for the first time.
        trained: number of checkpoints that may be replaced. Most do not change; one that does is kept until its
            replacement is complete.
    """
    slots = slots_here(profile.jobs)
    most = {"all": new, "best": profile.checkpoints.best * len(profile.pools) + slots, "none": slots}
    return min(new, most[profile.checkpoints.keep]) + min(trained, slots)


def _weights(workspace: Workspace, model: str) -> int:
    artifact = workspace.resources.artifacts.base_model(model)
    folder = artifact if artifact.is_dir() else workspace.profile.models[model].folder
    return 0 if folder is None else sum(map(bytes_of, used_weights(folder)))
