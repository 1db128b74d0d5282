"""Warnings before a run about benchmarks that take long because their items are not limited."""

from collections.abc import Iterable, Iterator

from assets.keys import BENCHMARK_RESULT
from orchestration.graph import Step
from orchestration.workspace import Workspace
from selection_platform.job.folder import read_manifest
from selection_platform.text.numbers import duration

LONG = 60.0
"""Seconds per model."""


def long_benchmarks(workspace: Workspace, steps: Iterable[Step]) -> Iterator[str]:
    """A line for each benchmark without `limit` that took a minute or more per model, or was never run."""
    models = sum(BENCHMARK_RESULT in step.asset.keys for step in steps)
    if not models:
        return
    measured = _seconds(workspace)
    for name, benchmark in workspace.profile.evaluation.benchmarks.items():
        seconds = measured.get((name, benchmark.task or benchmark.file))
        if benchmark.limit is None and (seconds is None or seconds >= LONG):
            took = "an unknown time" if seconds is None else duration(seconds)
            yield (
                f"benchmark {name} has no `limit`, so {models} models answer all of its items, in {took} per model; "
                "with `limit: 100` they answer 100 of each task"
            )


def _seconds(workspace: Workspace) -> dict[tuple[str, str | None], float]:
    """The longest time of each benchmark without a limit, by its name and task, in seconds."""
    longest: dict[tuple[str, str | None], float] = {}
    for key in workspace.profile.trained_experiments:
        manifest = read_manifest(workspace.resources.artifacts.benchmark_result(key)) or {}
        for name, facts in manifest.get("benchmarks", {}).items():
            if "task" in facts and facts["limit"] is None:
                place = name, facts["task"]
                longest[place] = max(facts["seconds"], longest.get(place, 0.0))
    return longest
