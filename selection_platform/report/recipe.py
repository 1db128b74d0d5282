"""The settings behind the numbers (models, pools, recipe and benchmarks), and the program's version."""

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import ModelSettings
from selection_platform.evaluation.engine_names import engine_name
from selection_platform.evaluation.spec import answers_with_vllm

PROGRAM = "selection-platform"


def recipe(profile: Profile) -> dict[str, str]:
    """The settings that the numbers depend on, by subject. Files are named without their folders."""
    return {
        "profile": profile.name,
        **{f"model {name}": _model(model) for name, model in profile.models.items()},
        **{f"pool {name}": _pool(pool) for name, pool in profile.pools.items()},
        "samples": ", ".join(f"{budget:,}" for budget in profile.budgets),
        "arms": "; ".join(f"{name} ({_seeds(arm)})" for name, arm in profile.arms.items()),
        "fine-tuning": _on_one_line(profile.fine_tuning.content()),
        "number type of scoring, training and evaluation": profile.dtype,
        **({"evaluation": engine_name(profile.evaluation)} if answers_with_vllm(profile.evaluation) else {}),
        **{f"benchmark {name}": _benchmark(each) for name, each in profile.evaluation.benchmarks.items()},
    }


def program() -> str:
    """The program's version and commit, if the commit is known."""
    commit = _commit()
    return distribution(PROGRAM).version + (f", commit {commit}" if commit else "")


def _commit() -> str | None:
    # PEP 610: pip records the origin of an installed package.
    origin = json.loads(distribution(PROGRAM).read_text("direct_url.json") or "{}")
    if "vcs_info" in origin:
        return origin["vcs_info"]["commit_id"]
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=, with changes", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        # Git is not installed, or does not trust the folder: give only the version.
        return None


def _model(model: ModelSettings) -> str:
    if model.hub is not None:
        return f"{model.hub} at revision {model.revision}"
    if model.path is not None:
        return Path(model.path).name
    return (
        model.package or f"pre-trained here: {_on_one_line(model.pretraining.content() if model.pretraining else {})}"
    )


def _pool(pool: PoolSettings) -> str:
    source = pool.source
    named = [source.package or "", source.hub or "", *(Path(pattern).name for pattern in source.patterns)]
    at = [f"at revision {source.revision}"] if source.revision else []
    settings = _on_one_line(pool.model_dump(exclude_defaults=True, exclude={"source"}))
    return "; ".join(text for text in [" ".join([*filter(None, named), *at]), settings] if text)


def _benchmark(benchmark: BenchmarkSettings) -> str:
    return _on_one_line(benchmark.content())


def _seeds(arm: ArmSettings) -> str:
    first, most = arm.first_seeds, len(arm.all_seeds)
    more = f", and more until settled, {most} at most" if most > len(first) else ""
    return f"seed{'s' * (len(first) > 1)} {', '.join(map(str, first))}{more}"


def _on_one_line(settings: Mapping[str, Any]) -> str:
    """Settings on one line, as names and values. Settings without a value are left out."""
    parts = []
    for name, value in settings.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            parts.append(f"{words} ({_on_one_line(value)})")
        elif value is not None:
            parts.append(f"{words} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    return ", ".join(parts)
